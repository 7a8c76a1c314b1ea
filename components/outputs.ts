import * as pulumi from "@pulumi/pulumi";
import { isOnionAddress } from "../settings/onion-address.ts";
import type { Settings } from "../settings.ts";
import type { SshAccess } from "./host.ts";

/** What a person types into a mail client; by Tor the same with `onion` in place of the host. */
export function clientSettings({ serverHostname }: Settings, onion?: pulumi.Input<string>) {
  return {
    ...(onion !== undefined && { onion }),
    username: "the whole mail address",
    imap: { host: serverHostname, port: 993, security: "TLS" },
    smtp: { host: serverHostname, port: 465, security: "TLS" },
    smtpAlternative: { host: serverHostname, port: 587, security: "STARTTLS" },
    sieve: { host: serverHostname, port: 4190, security: "STARTTLS" },
  };
}

/**
 * A command line that logs in by SSH: the key goes from the stack to ssh-agent for a minute and lies in no file, and the
 * host key is pinned (ssh_config(5), KnownHostsCommand).
 */
export function sshCommand(ssh: SshAccess): pulumi.Output<string> {
  return pulumi.all([ssh.address, ssh.hostKey]).apply(([address, hostKey]) => {
    const [type, key] = hostKey.split(" ");
    const known = `-o UserKnownHostsFile=/dev/null -o KnownHostsCommand='/bin/echo %H ${type} ${key}'`;
    // openbsd's nc: the proxy looks the name up
    const byTor = isOnionAddress(address)
      ? ` -o ProxyCommand='nc -X 5 -x 127.0.0.1:9050 %h %p'`
      : "";
    return `pulumi stack output sshPrivateKey --show-secrets | ssh-add -q -t 60 - && ssh -o StrictHostKeyChecking=yes ${known}${byTor} -p ${ssh.port} ${ssh.user}@${address}`;
  });
}

/** How to reach the server, for programs: with `sshPrivateKey`, all that `npm run mailfruit` needs. */
export function sshAddress(ssh: SshAccess) {
  return pulumi
    .all([ssh.address, ssh.hostKey])
    .apply(([address, hostKey]) => ({ address, port: ssh.port, user: ssh.user, hostKey }));
}
