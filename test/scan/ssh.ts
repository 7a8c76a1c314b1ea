import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { Client } from "ssh2";
import type { Seen } from "./dialogues.ts";
import type { Place } from "./place.ts";

/** What an SSH server says before any login: its version and the lists of SSH_MSG_KEXINIT (RFC 4253 section 7.1). */
export async function ssh(place: Place): Promise<Seen> {
  const socket = await place.connect(22);
  try {
    socket.write("SSH-2.0-OpenSSH_10.0\r\n");
    const { version, packet } = await firstPacket(socket);
    return { "22 version": version, ...listsOf(packet) };
  } finally {
    socket.destroy();
  }
}

/** The host key that the server proves to have, as ssh-keygen shows it. */
export async function sshHostKey(place: Place): Promise<string> {
  const sock = await place.connect(22);
  const client = new Client();
  try {
    return await new Promise<string>((resolve, reject) => {
      client.on("error", reject);
      client.connect({
        sock,
        username: "scan",
        hostVerifier: (key: Buffer) => {
          resolve(`SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`);
          return false;
        },
      });
    });
  } finally {
    client.destroy();
  }
}

const lists = [
  ...["kex", "host key", "ciphers in", "ciphers out", "MACs in", "MACs out"],
  ...["compression in", "compression out", "languages in", "languages out"],
];

/** The ten name-lists behind packet length, padding length, message number and cookie. */
function listsOf(packet: Buffer): Seen {
  const seen: Seen = {};
  let offset = 4 + 1 + 1 + 16;
  for (const name of lists) {
    const length = packet.readUInt32BE(offset);
    seen[`22 ${name}`] = packet.toString("latin1", offset + 4, offset + 4 + length);
    offset += 4 + length;
  }
  return seen;
}

function firstPacket(socket: Socket): Promise<{ version: string; packet: Buffer }> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("end", () => reject(new Error("the SSH server hung up")));
    socket.on("data", (data) => {
      received = Buffer.concat([received, Buffer.from(data)]);
      const lineEnd = received.indexOf("\r\n");
      const packet = received.subarray(lineEnd + 2);
      if (lineEnd < 0 || packet.length < 4 || packet.length < 4 + packet.readUInt32BE(0)) return;
      resolve({ version: received.toString("latin1", 0, lineEnd), packet });
    });
  });
}
