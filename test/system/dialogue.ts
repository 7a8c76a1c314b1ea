import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type SecureVersion, type TLSSocket } from "node:tls";

export interface DialogueOptions {
  host: string;
  port: number;
  /** The name that the certificate has to bear. */
  servername: string;
  /** PEM; null where any certificate will do. */
  ca: string | null;
  /** TLS from the start, as on 465 and 993. */
  wrapped?: boolean;
  /** A connection that is there already, by Tor for instance, instead of one to `host`. */
  socket?: Socket;
  tlsVersion?: SecureVersion;
}

/** A conversation with a line-based server, line by line: what a scanner or a rude client would type. */
export class Dialogue {
  #socket: Socket | TLSSocket;
  #buffer = "";
  #ended = false;
  #wake: () => void = () => {};
  readonly #options: DialogueOptions;

  private constructor(socket: Socket | TLSSocket, options: DialogueOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#listen();
  }

  static async open(options: DialogueOptions): Promise<Dialogue> {
    const tcp = options.socket ?? (await connected(options));
    return new Dialogue(options.wrapped ? await secure(tcp, options) : tcp, options);
  }

  /** With a mail server as another one, after STARTTLS and EHLO. */
  static async smtpOverTls(options: DialogueOptions): Promise<Dialogue> {
    const dialogue = await Dialogue.open(options);
    await dialogue.smtp();
    await dialogue.smtp("EHLO outside.example");
    await dialogue.smtp("STARTTLS");
    await dialogue.startTls();
    await dialogue.smtp("EHLO outside.example");
    return dialogue;
  }

  /** Goes over to TLS on the connection as it stands. */
  async startTls(): Promise<void> {
    this.#socket.removeAllListeners();
    this.#socket = await secure(this.#socket, this.#options);
    this.#listen();
  }

  /** The protocol in use, such as "TLSv1.3"; null in the clear. */
  get tls(): string | null {
    return "getProtocol" in this.#socket ? this.#socket.getProtocol() : null;
  }

  /** The names that the other side's certificate bears; empty in the clear. */
  get names(): string {
    return "getPeerCertificate" in this.#socket
      ? (this.#socket.getPeerCertificate().subjectaltname ?? "")
      : "";
  }

  /** Sends a line, if any, and returns SMTP's whole reply, its lines joined. */
  async smtp(line?: string): Promise<string> {
    if (line !== undefined) this.#socket.write(`${line}\r\n`);
    return this.#until(/^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/);
  }

  /** Sends a tagged IMAP command and returns all up to its tagged answer. */
  async imap(tag: string, line: string): Promise<string> {
    this.#socket.write(`${tag} ${line}\r\n`);
    return this.#until(new RegExp(`^[\\s\\S]*?^${tag} .*\\r\\n`, "m"));
  }

  /** Sends a ManageSieve command, if any, and returns all up to its answer (RFC 5804 section 1.2). */
  async sieve(line?: string): Promise<string> {
    if (line !== undefined) this.#socket.write(`${line}\r\n`);
    return this.#until(/^[\s\S]*?^(?:OK|NO|BYE)\b.*\r\n/m);
  }

  /** Waits in IDLE (RFC 2177) for what the server says by itself, then ends it. */
  async idle(tag: string, wanted: RegExp): Promise<string> {
    this.#socket.write(`${tag} IDLE\r\n`);
    await this.#until(/^\+.*\r\n/m);
    const said = await this.#until(wanted);
    this.#socket.write("DONE\r\n");
    await this.#until(new RegExp(`^${tag} OK.*\\r\\n`, "m"));
    return said;
  }

  /** The next line. */
  line(): Promise<string> {
    return this.#until(/^.*\r\n/);
  }

  close(): void {
    this.#socket.destroy();
  }

  #listen(): void {
    this.#socket.on("data", (data) => {
      this.#buffer += data.toString("latin1");
      this.#wake();
    });
    for (const event of ["end", "close", "error", "timeout"])
      this.#socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
  }

  async #until(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#buffer);
      if (match) {
        this.#buffer = this.#buffer.slice(match.index + match[0].length);
        return match[0].trimEnd();
      }
      if (this.#ended) throw new Error(`the server hung up after: ${JSON.stringify(this.#buffer)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function connected({ host, port }: DialogueOptions): Promise<Socket> {
  const tcp = connectTcp({ host, port, timeout: 10_000 });
  await once(tcp, "connect");
  return tcp;
}

function once(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once("error", reject);
    socket.once("timeout", () => reject(new Error("no answer within 10 s")));
  });
}

async function secure(socket: Socket, options: DialogueOptions): Promise<TLSSocket> {
  const { servername, ca, tlsVersion: version } = options;
  const tls = connectTls({
    socket,
    servername,
    ...(ca === null ? { rejectUnauthorized: false } : { ca }),
    ...(version && { minVersion: version, maxVersion: version }),
    // Our own OpenSSL would refuse what is older; here the server has to.
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  await once(tls, "secureConnect");
  return tls;
}

/** A login as SMTP and IMAP take it (RFC 4616). */
export const plainLogin = ({ address, password }: { address: string; password: string }) =>
  Buffer.from(`\0${address}\0${password}`).toString("base64");
