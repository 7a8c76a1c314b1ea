/**
 * What the API asks of the machine under it. The real one (`nspawn.ts`) boots Debian guests;
 * tests of the API alone use one that only remembers.
 */
export interface Hypervisor {
  /** Make the network, the DNS and the mirror relay, and boot every guest that was on. Idempotent. */
  start(): Promise<void>;
  /** Power every guest off and take the network away; what is on disk stays. */
  stop(): Promise<void>;

  /** Make a guest's disk from an image and boot it; resolves when it is booted, rejects with the reason. */
  createGuest(spec: GuestSpec): Promise<void>;
  /** Power off, remove the disk. No error where the guest is gone already. */
  destroyGuest(id: number): Promise<void>;
  powerOn(id: number): Promise<void>;
  /** `graceful`: as by ACPI, 30 s at most; otherwise as by pulling the plug. */
  powerOff(id: number, how: "graceful" | "hard"): Promise<void>;
  /** A fresh disk from the image with the same user_data, addresses and volumes. */
  rebuildGuest(id: number, imageSlug: string): Promise<void>;

  /** Replaces the filter in front of a guest; `null` lets everything through. Established connections go on. */
  setFirewall(guestId: number, rules: FirewallRules | null): Promise<void>;

  /** A block device of `gigabytes`, formatted (ext4) and labelled if asked. */
  createVolume(spec: VolumeSpec): Promise<void>;
  destroyVolume(id: string): Promise<void>;
  resizeVolume(id: string, gigabytes: number): Promise<void>;
  /** It appears in the guest as /dev/disk/by-id/scsi-0DO_Volume_NAME. */
  attachVolume(id: string, guestId: number): Promise<void>;
  detachVolume(id: string): Promise<void>;

  /** Routes a reserved address to a guest (`null`: to none). */
  assignReservedIp(ip: string, guestId: number | null): Promise<void>;

  /** Replaces every zone (forward and reverse) that the sandbox's authoritative server answers for. */
  setZones(zones: Zone[]): Promise<void>;

  /** The next free addresses; IPv4 public and private, IPv6. */
  allocateAddresses(): Promise<{ ipv4: string; ipv4Private: string; ipv6: string }>;
  allocateReservedIp(): Promise<string>;
}

export interface GuestSpec {
  id: number;
  /** The droplet's name: the guest's host name as cloud-init gets it. */
  name: string;
  imageSlug: string;
  /** As given by the caller of the API; "" if none. */
  userData: string;
  /** Public keys in OpenSSH's format, for root. */
  sshKeys: string[];
  ipv4: string;
  ipv4Private: string;
  ipv6: string | null;
  memoryMiB: number;
  vcpus: number;
}

/** Ports are "22", "8000-9000" or "all" ("0" too); addresses are CIDRs. */
export interface FirewallRules {
  inbound: { protocol: "tcp" | "udp" | "icmp"; ports: string; sources: string[] }[];
  outbound: { protocol: "tcp" | "udp" | "icmp"; ports: string; destinations: string[] }[];
}

export interface VolumeSpec {
  id: string;
  name: string;
  gigabytes: number;
  filesystemType: "" | "ext4" | "xfs";
  filesystemLabel: string;
}

/** `name` is absolute without the final dot; `data` is in master-file form (RFC 1035 section 5). */
export interface Zone {
  name: string;
  records: { name: string; type: string; ttl: number; data: string }[];
}
