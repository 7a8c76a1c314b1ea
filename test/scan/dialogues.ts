import { Dialogue, plainLogin } from "../system/dialogue.ts";
import { type Place, withoutNames } from "./place.ts";

/** What a scan has seen: a name for each look, such as "25 EHLO", and what the server said. */
export type Seen = Record<string, string>;

type Say = (line?: string) => Promise<string>;

const wrappedPorts = [465, 993];

async function open(place: Place, port: number): Promise<Dialogue> {
  const socket = await place.connect(port);
  const wrapped = wrappedPorts.includes(port);
  return Dialogue.open({
    host: place.host(port),
    port,
    servername: place.servername(port),
    ca: null,
    wrapped,
    socket,
  });
}

/** Runs the steps one after the other and notes each answer under its name. */
async function ask(place: Place, seen: Seen, steps: [string, () => Promise<string>][]) {
  for (const [name, step] of steps) {
    seen[name] = withoutNames(
      place,
      await step().catch((error: unknown) => (error instanceof Error ? error.message : "")),
    );
  }
}

/** SMTP: greeting, EHLO before and after TLS, and answers to what is wrong. */
export async function smtp(place: Place, port: 25 | 465 | 587): Promise<Seen> {
  const seen: Seen = {};
  const dialogue = await open(place, port);
  const say: Say = (line) => dialogue.smtp(line);
  const step = (line: string): [string, () => Promise<string>] => [
    `${port} ${line}`,
    () => say(line),
  ];
  await ask(place, seen, [[`${port} greeting`, () => say()]]);
  if (!wrappedPorts.includes(port)) {
    await ask(place, seen, [
      step("EHLO outside.example"),
      [`${port} MAIL in the clear`, () => say("MAIL FROM:<bert@outside.example>")],
    ]);
    await say("RSET");
    await ask(place, seen, [[`${port} AUTH in the clear`, () => say("AUTH PLAIN AHRlc3QAeA==")]]);
    await ask(place, seen, [step("STARTTLS")]);
    await dialogue.startTls();
  }
  await ask(place, seen, [
    [`${port} MAIL before EHLO`, () => say("MAIL FROM:<a@outside.example>")],
  ]);
  await say("RSET");
  await ask(place, seen, [
    [`${port} EHLO in TLS`, () => say("EHLO outside.example")],
    step("HELO outside.example"),
    step("NONSENSE"),
    step("HELP"),
    step("VRFY test"),
    step("EXPN test"),
    step("ETRN outside.example"),
    step("AUTH NONSENSE"),
    step("RCPT TO:<nobody@outside.example>"),
    step("DATA"),
    step("MAIL FROM:nonsense"),
    step("MAIL FROM:<bert>"),
  ]);
  await say("RSET");
  await ask(place, seen, [step("MAIL FROM:<bert@outside.example>")]);
  await ask(place, seen, [
    [`${port} RCPT elsewhere`, () => say("RCPT TO:<nobody@outside.example>")],
    [`${port} RCPT nobody`, () => say(`RCPT TO:<nobody-of-this-name@${place.mailDomain}>`)],
    [`${port} RCPT mailbox`, () => say(`RCPT TO:<${place.login.address}>`)],
    step("RSET"),
    step("NOOP"),
    step("QUIT"),
  ]);
  dialogue.close();
  return seen;
}

/** A wrong password and a right one, and whether the refusal comes at once. */
export async function smtpLogin(place: Place, port: 465 | 587): Promise<Seen> {
  const seen: Seen = {};
  const dialogue = await open(place, port);
  await dialogue.smtp();
  await dialogue.smtp("EHLO outside.example");
  if (port === 587) {
    await dialogue.smtp("STARTTLS");
    await dialogue.startTls();
    await dialogue.smtp("EHLO outside.example");
  }
  const { address, password } = place.login;
  const login = (word: string) =>
    dialogue.smtp(`AUTH PLAIN ${plainLogin({ address, password: word })}`);
  await timed(seen, `${port} wrong password`, place, () => login("not the one"));
  await ask(place, seen, [
    [`${port} right password`, () => login(password)],
    [
      `${port} foreign sender`,
      async () => {
        await dialogue.smtp("MAIL FROM:<bert@outside.example>");
        return dialogue.smtp(`RCPT TO:<${address}>`);
      },
    ],
  ]);
  dialogue.close();
  return seen;
}

async function timed(seen: Seen, name: string, place: Place, step: () => Promise<string>) {
  const begun = performance.now();
  await ask(place, seen, [[name, step]]);
  seen[`${name}, time`] = waiting(performance.now() - begun);
}

/** Dovecot lets guessers wait longer and longer, so there is no telling how long; a scanner sees that it waits. */
const waiting = (milliseconds: number) => (milliseconds < 1000 ? "at once" : "after a while");

/** IMAP: greeting, capabilities before and after login, ID, and answers to what is wrong. */
export async function imap(place: Place): Promise<Seen> {
  const seen: Seen = {};
  const dialogue = await open(place, 993);
  const step = (name: string, line: string): [string, () => Promise<string>] => [
    `993 ${name}`,
    () => dialogue.imap("a", line),
  ];
  await ask(place, seen, [
    ["993 greeting", () => dialogue.line()],
    step("CAPABILITY", "CAPABILITY"),
    step("ID", 'ID ("name" "scan")'),
    step("NONSENSE", "NONSENSE"),
    step("SELECT before login", "SELECT INBOX"),
    step("AUTHENTICATE NONSENSE", "AUTHENTICATE NONSENSE"),
  ]);
  const { address, password } = place.login;
  await timed(seen, "993 wrong password", place, () =>
    dialogue.imap("a", `LOGIN ${address} wrong-password`),
  );
  await ask(place, seen, [
    step("LOGIN", `LOGIN ${address} "${password}"`),
    step("CAPABILITY after login", "CAPABILITY"),
    step("ID after login", "ID NIL"),
    step("NAMESPACE", "NAMESPACE"),
    step("NONSENSE after login", "NONSENSE"),
    step("LOGOUT", "LOGOUT"),
  ]);
  dialogue.close();
  return seen;
}

/** ManageSieve: capabilities before and after TLS and login. */
export async function sieve(place: Place): Promise<Seen> {
  const seen: Seen = {};
  const dialogue = await open(place, 4190);
  const { address, password } = place.login;
  const login = (word: string) =>
    dialogue.sieve(`AUTHENTICATE "PLAIN" "${plainLogin({ address, password: word })}"`);
  // On a connection of its own: after a refused login Dovecot takes the next one for its continuation.
  const clear = await open(place, 4190);
  await clear.sieve();
  const inTheClear = `AUTHENTICATE "PLAIN" "${plainLogin({ address, password })}"`;
  await ask(place, seen, [["4190 login in the clear", () => clear.sieve(inTheClear)]]);
  clear.close();
  await ask(place, seen, [
    ["4190 greeting", () => dialogue.sieve()],
    ["4190 NONSENSE", () => dialogue.sieve("NONSENSE")],
    ["4190 STARTTLS", () => dialogue.sieve("STARTTLS")],
  ]);
  await dialogue.startTls();
  await ask(place, seen, [["4190 capabilities in TLS", () => dialogue.sieve()]]);
  await timed(seen, "4190 wrong password", place, () => login("wrong"));
  await ask(place, seen, [
    ["4190 login", () => login(password)],
    ["4190 CAPABILITY", () => dialogue.sieve("CAPABILITY")],
    ["4190 LOGOUT", () => dialogue.sieve("LOGOUT")],
  ]);
  dialogue.close();
  return seen;
}

/** How long a client waits for the first word. */
export async function firstAnswers(place: Place): Promise<Seen> {
  const seen: Seen = {};
  for (const port of [22, 25, 587, 4190]) {
    const begun = performance.now();
    const socket = await place.connect(port);
    await new Promise<void>((resolve, reject) => {
      socket.resume();
      socket.once("data", () => resolve());
      socket.once("error", reject);
    });
    seen[`${port} first answer`] = waiting(performance.now() - begun);
    socket.destroy();
  }
  return seen;
}

/** All dialogues of a server. */
export async function dialogues(place: Place): Promise<Seen> {
  const parts = await Promise.all([
    smtp(place, 25),
    smtp(place, 587),
    smtp(place, 465),
    smtpLogin(place, 587),
    smtpLogin(place, 465),
    imap(place),
    sieve(place),
  ]);
  return Object.assign({}, ...parts);
}
