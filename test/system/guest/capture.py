"""What guests send, as seen on their links: run in the sandbox's network namespace.

    capture.py KNOWN_LINK...

Looks at every link but the known ones. At the end of its standard input it prints JSON: of each link, and of each kind of
packet that came in by it (who was sent what), how many and when the first and the last came, in seconds since 1970.
"""

import json
import select
import socket
import struct
import sys
import time
from ipaddress import ip_address

OUTGOING = 4  # packet(7), PACKET_OUTGOING: what the guest gets
PORTS = {6: "tcp", 17: "udp"}


def kind(frame):
    """To whom a frame goes: "arp", "icmpv6 type 135", or "tcp 192.0.2.1 443"."""
    ethertype = struct.unpack_from("!H", frame, 12)[0]
    if ethertype == 0x0800:
        header = 14 + (frame[14] & 15) * 4
        protocol, to = frame[23], ip_address(frame[30:34])
    elif ethertype == 0x86DD:
        header, protocol, to = 54, frame[20], ip_address(frame[38:54])
    else:
        return "arp" if ethertype == 0x0806 else f"ethertype {ethertype:#06x}"
    if protocol in PORTS and len(frame) >= header + 4:
        return f"{PORTS[protocol]} {to} {struct.unpack_from('!H', frame, header + 2)[0]}"
    if protocol == 58:
        return f"icmpv6 type {frame[header]}"
    return f"protocol {protocol} {to}"


def main():
    known = set(sys.argv[1:])
    seen = {}
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024 * 1024)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([packets, sys.stdin], [], [])
        if packets in ready:
            frame, (link, _, direction, *_) = packets.recvfrom(200)
            if direction != OUTGOING and link not in known and len(frame) >= 14:
                now = time.time()
                entry = seen.setdefault(link, {}).setdefault(kind(frame), {"count": 0, "first": now})
                entry["count"] += 1
                entry["last"] = now
        elif not sys.stdin.read(1):
            break
    json.dump(seen, sys.stdout)


main()
