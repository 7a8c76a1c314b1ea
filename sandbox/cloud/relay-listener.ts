import { spawn } from "node:child_process";
import { Server } from "node:net";
import { join } from "node:path";
import { namespaceFile } from "./network.ts";

/**
 * Lets a server of ours answer on an address inside a network namespace. A socket belongs to the namespace in which it
 * was opened, so a child opens it there and hands it over; guests need no way to the machine itself.
 */
export async function listenInNamespace(
  server: Server,
  namespace: string,
  address: string,
  port: number,
): Promise<void> {
  const script = join(import.meta.dirname, "listen-in-namespace.ts");
  const enter = [`--net=${namespaceFile(namespace)}`];
  const child = spawn("nsenter", [...enter, process.execPath, script, address, String(port)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const socket = await new Promise<Server>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`Nothing can listen at ${address} port ${port} (${code}).`)),
    );
    child.once("message", (_, handle) => {
      if (handle instanceof Server) resolve(handle);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
}
