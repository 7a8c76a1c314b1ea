"""mail-keys.service: opens key slots for Dovecot, and is the only one that reads them.

On a socket that only the group dovecot reaches, one line a connection: the address and the password, each in hex, with
a space between them. The answer is one line:

    ok SECRET     the mail secret, in hex
    mismatch      the password opens no slot of the address
    unknown       nobody of that address can log in
    disabled      it does, and the administrator has closed the account

Anything else that goes wrong closes the connection without an answer, and Dovecot reports a temporary failure.
"""

import grp
import os
import socket
import socketserver
import sqlite3
import sys
import threading

from accounts import store

SOCKET = "/run/mail-keys/socket"
LONGEST_LINE = 8192
CUT_OFF = 75  # sysexits.h, EX_TEMPFAIL
# Each takes 64 MiB and a core for a tenth of a second.
at_once = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))


def answer(address, password):
    db = sqlite3.connect(f"file:{store.ACCOUNTS}/keys.sqlite?mode=ro", uri=True, timeout=10)
    try:
        row = db.execute("SELECT enabled FROM logins WHERE address = ?", (address,)).fetchone()
        if row is None:
            return "unknown"
        with at_once:
            secret = store.open_with(db, address, password, "password", "app")
        if secret is None:
            return "mismatch"
        return f"ok {secret.hex()}" if row[0] else "disabled"
    finally:
        db.close()


class Connection(socketserver.StreamRequestHandler):
    timeout = 30

    def handle(self):
        try:
            line = self.rfile.readline(LONGEST_LINE).decode("ascii")
            if not line.endswith("\n"):
                return  # cut off, or too long
            address, password = (bytes.fromhex(part).decode() for part in line[:-1].split(" "))
        except ValueError:
            return  # no words about it: they could hold a password
        try:
            self.wfile.write(f"{answer(address, password)}\n".encode())
        except sqlite3.Error as problem:
            print(f"the key slots can't be read: {problem}", file=sys.stderr, flush=True)
            if problem.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                # What a killed change left half done only root can undo: systemd does that, and starts this anew.
                os._exit(CUT_OFF)


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        os.umask(0o117)  # rw-rw----
        super().server_bind()
        os.chown(self.server_address, -1, grp.getgrnam("dovecot").gr_gid)


def tell_systemd(state):
    """sd_notify(3)"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(state.encode(), os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))


def main():
    with Server(SOCKET, Connection) as server:
        tell_systemd("READY=1")
        server.serve_forever()
