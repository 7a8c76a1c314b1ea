// Run by nsenter inside the sandbox's network namespace: opens a socket there and hands it to our parent, which
// has the way out that the namespace lacks. usage: listen-in-namespace.ts ADDRESS PORT
import { createServer } from "node:net";

const [address, port] = process.argv.slice(2);
const server = createServer();
server.listen({ host: address, port: Number(port), backlog: 128 }, () => {
  process.send?.("listening", server, {}, () => {
    // Both processes have the socket now; this one would take connections that nobody answers.
    server.close();
    process.disconnect();
  });
});
