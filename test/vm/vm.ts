import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { freemem } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import ssh2 from "ssh2";
import type { Access } from "../../admin/access.ts";
import { ConnectionError, connect, type Server } from "../../admin/connect.ts";
import { run } from "../../sandbox/process.ts";
import { type Keys, vmImage } from "./vm-image.ts";

const megabytes = 1536;
/** Why there can be no virtual machine here; undefined where there can. */
export async function whyNoVm(): Promise<string | undefined> {
  if (process.arch !== "x64") return "the virtual machine of this test is an amd64 one";
  const { code } = await run("qemu-system-x86_64", ["--version"]);
  if (code !== 0) return "this machine lacks qemu (apt-get install qemu-system-x86)";
  if (freemem() < (megabytes + 512) * 2 ** 20)
    return `a virtual machine of ${megabytes} MiB needs more memory than is free here`;
  return undefined;
}

/**
 * A machine with a kernel of its own, in qemu's emulation: slow, but it needs nothing of this machine's kernel. Its disk
 * is forgotten at its end; `disks` are files that stay.
 */
export class Vm {
  readonly access: Access;
  readonly #process: ChildProcess;
  readonly #console: WriteStream;

  private constructor(access: Access, child: ChildProcess, console: WriteStream) {
    this.access = access;
    this.#process = child;
    this.#console = console;
  }

  static async start(folder: string, disks: string[]): Promise<Vm> {
    const image = await vmImage();
    const port = await freePort();
    const drives = disks.map((file, at) => [
      ...["-drive", `file=${file},format=raw,if=none,id=disk${at},discard=unmap`],
      ...["-device", `virtio-blk-pci,drive=disk${at},serial=disk${at}`],
    ]);
    const child = spawn(
      "qemu-system-x86_64",
      [
        ...["-accel", "tcg,thread=multi", "-cpu", "Westmere", "-smp", "2", "-m", String(megabytes)],
        ...[
          "-nodefaults",
          "-display",
          "none",
          "-serial",
          "stdio",
          "-kernel",
          join(image, "vmlinuz"),
          "-initrd",
          join(image, "initrd"),
        ],
        ...["-append", "root=LABEL=root rw console=ttyS0 mitigations=off"],
        ...["-drive", `file=${join(image, "root.img")},format=raw,if=virtio,snapshot=on`],
        ...drives.flat(),
        ...["-netdev", `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:22`],
        ...["-device", "virtio-net-pci,netdev=net,romfile="],
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, TMPDIR: folder } },
    );
    process.once("exit", () => child.kill("SIGKILL"));
    const console = createWriteStream(join(folder, "console.log"));
    child.stdout.pipe(console, { end: false });
    child.stderr.pipe(console, { end: false });
    const keys: Keys = JSON.parse(await readFile(join(image, "keys.json"), "utf8"));
    const access = {
      ...{ address: "127.0.0.1", port, user: "root" },
      ...{ hostKey: keys.host, privateKey: keys.login },
    };
    return new Vm(access, child, console);
  }

  /** Runs a shell command as root by SSH; its output, or an error with it. */
  async run(command: string, stdin = ""): Promise<string> {
    const { code, output } = await this.attempt(command, stdin);
    if (code !== 0) throw new Error(`${command}: status ${code}: ${output}`);
    return output;
  }

  async attempt(command: string, stdin = ""): Promise<{ code: number; output: string }> {
    const server = await this.reach();
    try {
      let output = "";
      const sink = () =>
        new Writable({
          write(chunk: Buffer, _encoding, done) {
            output += chunk.toString();
            done();
          },
        });
      const streams = { stdin, stdout: sink(), stderr: sink() };
      const code = await server.run(["/bin/sh", "-c", command], streams);
      return { code, output };
    } finally {
      server.close();
    }
  }

  /** A connection, once it answers. */
  async reach(): Promise<Server> {
    for (let tries = 0; tries < 180; tries++) {
      try {
        return await connect(this.access);
      } catch (error) {
        if (!(error instanceof ConnectionError) || this.#process.exitCode !== null) throw error;
        await sleep(1000);
      }
    }
    throw new Error("the virtual machine doesn't answer");
  }

  /** What a person sees who logs in. */
  login(): Promise<string> {
    const { address: host, port, user: username, privateKey } = this.access;
    const client = new ssh2.Client();
    return new Promise((resolve, reject) => {
      client.once("error", reject);
      client.once("ready", () =>
        client.shell((error, channel) => {
          if (error) return reject(error);
          let text = "";
          channel.on("data", (chunk: Buffer) => {
            text += chunk.toString();
          });
          channel.once("close", () => {
            client.end();
            resolve(text);
          });
          channel.write("exit\n");
        }),
      );
      client.connect({ host, port, username, privateKey });
    });
  }

  async reboot(): Promise<void> {
    const boot = await this.run("cat /proc/sys/kernel/random/boot_id");
    // It goes down when nobody is connected any more.
    await this.run("systemd-run --quiet --on-active=2 systemctl reboot");
    await sleep(5000);
    while ((await this.run("cat /proc/sys/kernel/random/boot_id").catch(() => boot)) === boot)
      await sleep(1000);
  }

  async end(): Promise<void> {
    if (this.#process.exitCode === null) {
      const ended = new Promise((resolve) => this.#process.once("exit", resolve));
      this.#process.kill("SIGKILL");
      await ended;
    }
    this.#console.end();
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address && typeof address === "object") resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}
