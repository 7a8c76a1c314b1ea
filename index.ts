import { keyFingerprint } from "./components/keys.ts";
import { MailServer } from "./components/mail-server.ts";
import { clientSettings, sshAddress, sshCommand } from "./components/outputs.ts";
import { loadSettings } from "./settings.ts";

const settings = loadSettings();
const server = new MailServer("mail", settings);
const { machine } = server;

/** The stack's outputs; what each is for stands in docs/deploying.md. */
export default {
  mailDomain: settings.mailDomain,
  serverHostname: settings.serverHostname,
  ipv4: machine.ipv4,
  ipv6: machine.ipv6,
  clientSettings: settings.kind === "gateway" ? null : clientSettings(settings, server.onion.users),
  ca: server.ca,
  onion: server.onion,
  onionCa: server.onionCa,
  smtpFingerprint: server.smtpTls && keyFingerprint(server.smtpTls),
  zoneFile: server.zoneFile,
  ssh: sshAddress(machine.ssh),
  sshCommand: sshCommand(machine.ssh),
  sshHostKey: machine.ssh.hostKey,
  sshPrivateKey: machine.ssh.privateKey,
  volumeKey: server.volumeKey,
  testUser: server.testUser,
};
