// Run by a test inside a terminal: `node on-terminal.ts ACCESS.json COMMAND…` does what `npm run mailfruit` does.
import { readFileSync } from "node:fs";
import { connect } from "../../../admin/connect.ts";
import { runOnOurTerminal } from "../../../admin/terminal.ts";

const [access = "", ...command] = process.argv.slice(2);
const server = await connect(JSON.parse(readFileSync(access, "utf8")));
process.exitCode = await runOnOurTerminal(server, command);
server.close();
