import assert from "node:assert/strict";
import { test } from "node:test";
import { lineReader } from "../../sandbox/up-display.ts";

/** As pulumi 3.250 prints it, shortened. */
const output = `Updating (dev):

 +  pulumi:pulumi:Stack mailfruit-dev creating (0s) 
@ updating.....
 +  tls:index:PrivateKey mail-ssh-key created (0.10s) 
 +  command:remote:Command mail-host-packages creating (34s) Setting up dovecot-lmtpd (1:2.4.1) ...
 +  command:remote:Command mail-host-packages creating (34s) (Reading ... 5%\r(Reading ... 100%\r100 files.
 +  command:remote:Command mail-host-packages created (35s) invoke-rc.d: denied
 +- digitalocean:index:Droplet mail-droplet replaced (3s) 
 +  command:remote:Command mail-host-postfix **creating failed** error: no room
    digitalocean:index:Firewall mail-firewall  
 ~  digitalocean:index:Firewall mail-firewall refreshing (0s) 
 ~  digitalocean:index:Firewall mail-firewall refresh (0.13s) 
    pulumi:pulumi:Stack mailfruit-dev running 
Diagnostics:
  command:remote:Command (mail-host-postfix):
    error: no room

Outputs:
    ipv4: "10.0.0.1"
    clientSettings: {
        imap: 993
    }

Resources:
    + 45 created

Duration: 1m1s
`;

test("while a stack goes up, what is done and what fails stays, outputs and dots don't show", () => {
  const read = lineReader();
  const lines = output.split("\n").map(read);
  assert.deepEqual(
    lines.flatMap((line) => (line.kind === "event" ? [line.text] : [])),
    [
      "Updating (dev):",
      "  + mail-ssh-key created (0.10s)",
      "  + mail-host-packages created (35s)",
      "  +- mail-droplet replaced (3s)",
      " +  command:remote:Command mail-host-postfix **creating failed** error: no room",
      "Diagnostics:",
      "  command:remote:Command (mail-host-postfix):",
      "    error: no room",
      "Resources:",
      "    + 45 created",
      "Duration: 1m1s",
    ],
  );
  assert.deepEqual(
    lines.flatMap((line) => (line.kind === "progress" ? [line.text] : [])),
    [
      "mailfruit-dev (0s) creating",
      "mail-host-packages (34s) Setting up dovecot-lmtpd (1:2.4.1) ...",
      "mail-host-packages (34s) 100 files.",
      "mail-firewall (0s) refreshing",
    ],
  );
});
