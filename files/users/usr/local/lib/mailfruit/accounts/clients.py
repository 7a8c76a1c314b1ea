"""mailfruit user settings: what a user types into a mail program, as text or as a QR code."""

import hashlib
import json
import ssl
import subprocess
from pathlib import Path

from accounts import store, users
from accounts.report import Report

SETTINGS = Path("/etc/mailfruit/client-settings.json")
SERVICES = [("imap", "Reading (IMAP)"), ("smtp", "Sending (SMTP)"), ("smtpAlternative", "or"), ("sieve", "Filters (Sieve)")]


def fingerprint(pem):
    """As browsers and mail programs show it."""
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest())


def lines(settings, address):
    def rows(host):
        return [f"{what}: {host or settings[name]['host']} port {settings[name]['port']}, {settings[name]['security']}"
                for name, what in SERVICES]
    text = [f"User name: {address}", *rows(None), f"Certificate's authority (SHA-256): {fingerprint(settings['ca'])}"]
    onion = settings.get("onion")
    if onion:
        text += ["", "Through Tor (SOCKS 5 proxy, which looks names up), the same with this server name, letter by letter:",
                 *rows(onion), f"Certificate's authority (SHA-256): {fingerprint(settings['onionCa'])}"]
    return text


def show(args):
    with store.database(write=False) as db:
        address = users.present(db, args.address)
    settings = json.loads(SETTINGS.read_text())
    text = lines(settings, address)
    if args.qr:
        code = subprocess.run(["qrencode", "--type=UTF8", "--output=-"], input="\n".join(text), stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        text = code.splitlines()
    return Report(text, {"username": address, **settings})
