import { dnsRecord } from "./digitalocean/dns-record.ts";
import { domain } from "./digitalocean/domain.ts";
import { droplet } from "./digitalocean/droplet.ts";
import { firewall } from "./digitalocean/firewall.ts";
import { reservedIp, reservedIpAssignment } from "./digitalocean/reserved-ip.ts";
import { connection } from "./digitalocean/settings.ts";
import { sshKey } from "./digitalocean/ssh-key.ts";
import { tag } from "./digitalocean/tag.ts";
import { volume } from "./digitalocean/volume.ts";
import { volumeAttachment } from "./digitalocean/volume-attachment.ts";
import { bridged, bridgeMessages, packageSchema, serve } from "./kit.ts";

/** Stand-in for the plugin `digitalocean`: `node sandbox/providers/digitalocean.ts ENGINE_ADDRESS`. */
const { connect, configure } = connection();

await serve({
  schema: await packageSchema("digitalocean"),
  secrecy: "same name",
  whenCancelled: "finish",
  messages: bridgeMessages,
  configure,
  resources: {
    "digitalocean:index/dnsRecord:DnsRecord": bridged(dnsRecord(connect)),
    "digitalocean:index/domain:Domain": bridged(domain(connect)),
    "digitalocean:index/droplet:Droplet": bridged(droplet(connect)),
    "digitalocean:index/firewall:Firewall": bridged(firewall(connect)),
    "digitalocean:index/reservedIp:ReservedIp": bridged(reservedIp(connect)),
    "digitalocean:index/reservedIpAssignment:ReservedIpAssignment": bridged(
      reservedIpAssignment(connect),
    ),
    "digitalocean:index/sshKey:SshKey": bridged(sshKey(connect)),
    "digitalocean:index/tag:Tag": bridged(tag(connect)),
    "digitalocean:index/volume:Volume": bridged(volume(connect)),
    "digitalocean:index/volumeAttachment:VolumeAttachment": bridged(volumeAttachment(connect)),
  },
});
