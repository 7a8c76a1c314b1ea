#!/usr/bin/python3 -I
"""Puts load on the mail server of the guest that it runs in: `npm run bench -- mail`.

Reads one request as JSON from standard input, with "what" to do and its parameters; writes what it measured as JSON, with
the processor's seconds that the server's services took. Its own work is little beside theirs, and the same for all that is
compared: sockets, threads, mails made beforehand.
"""

import base64
import json
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

LMTP = "/var/spool/postfix/private/dovecot-lmtp"
QUEUE = Path("/var/spool/postfix")
DATABASE = "/srv/mail/accounts/mail.sqlite"
AUTHORITY = "/etc/ssl/mail/ca.pem"
SERVICES = ("postfix", "dovecot", "mail-keys")
TIMEOUT = 120
SUBJECT = "Canary-subject-of-the-bench"


def message(sender, recipient, size):
    """A mail as others send it, with what it's found by in plain text; random, so that nothing compresses it."""
    head = (
        "Received: from sender.example (sender.example [192.0.2.7])\r\n\tby relay.example (Postfix) with ESMTPS id 4XyZ1\r\n"
        f"\tfor <{recipient}>; Wed, 25 Nov 2026 02:00:00 +0000 (UTC)\r\n"
        f"From: Canary Sender <{sender}>\r\nTo: <{recipient}>\r\nSubject: {SUBJECT} with some more words\r\n"
        f"Date: Wed, 25 Nov 2026 02:00:00 +0000\r\nMessage-ID: <{os.urandom(12).hex()}@sender.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        f"{SUBJECT} once more\r\n"
    ).encode()
    random = base64.b64encode(os.urandom(max(0, size - len(head)) * 3 // 4)).decode()
    return head + b"\r\n".join(line.encode() for line in re.findall(".{1,74}", random)) + b"\r\n"


class Lines:
    """A connection that speaks a protocol of lines."""

    def __init__(self, connection):
        self.connection = connection
        self.reader = connection.makefile("rb", buffering=1 << 16)

    def line(self):
        line = self.reader.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        return line

    def send(self, *commands):
        self.connection.sendall("".join(f"{command}\r\n" for command in commands).encode())

    def expect(self, code):
        """One answer of SMTP's or LMTP's."""
        while True:
            line = self.line().decode()
            if not line.startswith(code):
                raise RuntimeError(f"wanted {code}, got {line.strip()}")
            if line[3] == " ":
                return

    def deliver(self, sender, recipient, mail):
        self.send(f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA")
        self.expect("250")
        self.expect("250")
        self.expect("354")
        self.connection.sendall(mail + b".\r\n")
        self.expect("250")


def trust():
    return ssl.create_default_context(cafile=AUTHORITY)


def in_parallel(connections, work):
    """Runs work(n) in threads that start together; seconds until all are done. The first error is raised."""
    start, problems = threading.Barrier(connections + 1), []

    def run(number):
        start.wait()
        try:
            work(number)
        except Exception as problem:  # noqa: BLE001: raised again below
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return time.monotonic() - began


def each(users, connections, count, work):
    """Seconds that `work` takes for `count` users in turn, so many at once, each beginning with the next when it has ended."""
    left, take = iter(range(count)), threading.Lock()

    def one_after_another(_number):
        while True:
            with take:
                number = next(left, None)
            if number is None:
                return
            work(users[number % len(users)])

    return in_parallel(connections, one_after_another)


# --- what can be asked for

def lmtp(users, size, connections, count, **_):
    """Mail straight to Dovecot, over connections that stay open, each to one user."""
    mails = {user: message("sender@sender.example", user, size) for user in users}
    def work(number):
        user = users[number % len(users)]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(LMTP)
            lines = Lines(connection)
            lines.expect("220")
            lines.send("LHLO bench.example")
            lines.expect("250")
            for _ in range(count // connections):
                lines.deliver("sender@sender.example", user, mails[user])
            lines.send("QUIT")

    return {"count": count // connections * connections, "seconds": in_parallel(connections, work)}


def waiting():
    """Mails in Postfix's queue."""
    return sum(1 for name in ("incoming", "active", "deferred", "maildrop") for _, _, files in os.walk(QUEUE / name) for _ in files)


def smtp(host, users, size, connections, count, tls=True, **_):
    """A connection for each mail, as other servers make them; done when none of them is in the queue."""
    mails = {user: message("sender@sender.example", user, size) for user in users}
    context = trust()

    def one(user):
        with socket.create_connection((host, 25), timeout=TIMEOUT) as plain:
            lines = Lines(plain)
            lines.expect("220")
            lines.send("EHLO bench.example")
            lines.expect("250")
            if not tls:
                send(lines, user)
                return
            lines.send("STARTTLS")
            lines.expect("220")
            with context.wrap_socket(plain, server_hostname=host) as connection:
                lines = Lines(connection)
                lines.send("EHLO bench.example")
                lines.expect("250")
                send(lines, user)

    def send(lines, user):
        lines.deliver("sender@sender.example", user, mails[user])
        lines.send("QUIT")

    accepted = each(users, connections, count, one)
    began = time.monotonic()
    while waiting():
        if time.monotonic() - began > TIMEOUT:
            raise RuntimeError(f"{waiting()} mails are still in Postfix's queue")
        time.sleep(0.005)
    return {"count": count, "seconds": accepted + time.monotonic() - began}


class Imap(Lines):
    """A session that is logged in."""

    def __init__(self, host, user, password):
        connection = socket.create_connection((host, 993), timeout=TIMEOUT)
        super().__init__(trust().wrap_socket(connection, server_hostname=host))
        self.line()
        self.command(f'LOGIN "{user}" "{password}"')

    def command(self, text):
        """Bytes of the answer; an answer other than OK is an error."""
        self.send(f"a {text}")
        size = 0
        while True:
            line = self.line()
            size += len(line)
            literal = re.search(rb"\{(\d+)\}\r\n$", line)
            if literal:
                size += len(self.reader.read(int(literal[1])))
            elif line.startswith(b"a "):
                if not line.startswith(b"a OK"):
                    raise RuntimeError(f"{text.split()[0]}: {line.decode().strip()}")
                return size

    def append(self, mail):
        self.send(f"a APPEND INBOX {{{len(mail)}+}}")
        self.connection.sendall(mail + b"\r\n")
        while not (line := self.line()).startswith(b"a "):
            pass
        if not line.startswith(b"a OK"):
            raise RuntimeError(line.decode().strip())

    def close(self):
        self.command("LOGOUT")
        self.connection.close()


def key(host, users, password, **_):
    """The first mail that a user stores makes the key."""
    for user in users:
        session = Imap(host, user, password)
        session.append(message("sender@sender.example", user, 1000))
        session.command("SELECT INBOX")
        session.command("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        session.command("EXPUNGE")
        session.close()
    return {}


def fetch(host, users, password, command, **_):
    """Seconds and bytes of a command in a new session of the first user's INBOX; the login isn't counted."""
    session = Imap(host, users[0], password)
    session.command("SELECT INBOX")
    began = time.monotonic()
    size = session.command(command)
    seconds = time.monotonic() - began
    session.close()
    return {"seconds": seconds, "bytes": size}


def readable(folder, **_):
    """How many files hold a mail's subject in plain text, and how many don't."""
    files = [Path(base) / name for base, _, names in os.walk(folder) for name in names]
    plain = sum(1 for path in files if SUBJECT.encode() in path.read_bytes())
    return {"readable": plain, "other": len(files) - plain}


def accounts(domain, count, **_):
    """Fills the database up to `count` mailboxes, or empties it down to that of those that were made so."""
    with sqlite3.connect(DATABASE, timeout=30) as db:
        db.execute("DELETE FROM mailboxes WHERE address LIKE 'filler-%'")
        present = db.execute("SELECT count(*) FROM mailboxes").fetchone()[0]
        rows = ((f"filler-{number}@{domain}",) for number in range(count - present))
        db.executemany("INSERT INTO mailboxes (address, quota_mib, origin, keyed) VALUES (?, 1024, 'admin', 1)", rows)
    db.close()
    return {}


def lookups(users, count, table, **_):
    """Addresses, asked as Postfix's proxymap asks for them."""
    keys = "".join(f"{users[number % len(users)]}\n" for number in range(count))
    began = time.monotonic()
    done = subprocess.run(["postmap", "-q", "-", table], input=keys, text=True, stdout=subprocess.PIPE, check=True)
    seconds = time.monotonic() - began
    if len(done.stdout.splitlines()) != count:
        raise RuntimeError("Postfix doesn't find all users")
    return {"count": count, "seconds": seconds}


def cpu():
    """Seconds of the processor that the server's services have had so far."""
    texts = [Path(f"/sys/fs/cgroup/system.slice/{name}.service/cpu.stat").read_text(encoding="ascii") for name in SERVICES]
    return sum(int(re.search(r"usage_usec (\d+)", text)[1]) for text in texts) / 1e6


def login(host, users, password, connections, count, **_):
    seconds = each(users, connections, count, lambda user: Imap(host, user, password).close())
    return {"count": count, "seconds": seconds}


MEASURES = {function.__name__: function for function in (lmtp, smtp, key, fetch, login, lookups, readable, accounts)}


def main():
    request = json.load(sys.stdin)
    before = cpu()
    result = MEASURES[request.pop("what")](**request)
    json.dump({**result, "cpu": cpu() - before}, sys.stdout)


if __name__ == "__main__":
    main()
