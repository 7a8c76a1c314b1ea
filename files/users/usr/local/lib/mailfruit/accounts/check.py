"""mailfruit check: proves on the running server that mail goes in by SMTP and out by IMAP, and lies encrypted.

A mailbox of its own is made for it and removed again. Run by every `pulumi up` that changed something, and by
mailfruit-check.timer. Where a fresh mail lies in plain text, Dovecot is stopped: mail then waits, and nobody's next mail
is stored like that.
"""

import fcntl
import imaplib
import os
import secrets
import smtplib
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from accounts import dovecot, keyfile, queue, store, users
from accounts.names import Refusal
from accounts.report import Report

DELIVERY_SECONDS = 30
LOCK = Path("/run/mailfruit-check.lock")
ENCRYPTED = b"CRYPTED\x03\x07"  # how each mail of mail_crypt's begins (lib-dcrypt, IOSTREAM_CRYPT_MAGIC)
# What Dovecot's effective configuration has to say, or mail would be stored in plain text or under a weak lock.
SETTINGS = ["mail_plugins", "crypt_user_key_curve", "crypt_user_key_require_encrypted", "crypt_write_algorithm",
            "mail_cache_path", "mail_temp_dir"]
WANTED = {
    "mail_crypt = yes",
    "crypt_user_key_curve = X25519",
    "crypt_user_key_require_encrypted = yes",
    "crypt_write_algorithm = aes-256-gcm-sha256",
    "mail_cache_path = /run/mail/cache/%{user | domain}/%{user | username}",
    "mail_temp_dir = /run/mail",
}


class Broken(Refusal):
    """What doesn't work, and whose journal tells more."""


class PlainText(Broken):
    """A mail lies readable on the disk."""


def effective(*options):
    """What Dovecot's configuration says of these settings: its lines."""
    done = subprocess.run(["doveconf", *options, *SETTINGS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return {line.strip() for line in done.stdout.splitlines()}


def configuration():
    """Refuses a configuration of Dovecot's that would store plain text. Runs before each start and reload of Dovecot."""
    keys = {line.partition(" = ")[0]: line for line in WANTED}
    lacking = WANTED - effective()
    for protocol in ("lmtp", "imap"):  # where such a block says nothing of a setting, the one above holds
        lacking |= {wanted for line in effective("-f", f"protocol={protocol}") - WANTED
                    if (wanted := keys.get(line.partition(" =")[0]))}
    if lacking:
        raise PlainText(f"Dovecot's configuration lacks `{'`, `'.join(sorted(lacking))}`, without which mail would be stored "
                        "in plain text. Dovecot doesn't start, mail waits. Put /etc/dovecot/dovecot.conf right, or run "
                        "`pulumi up`")
    volatile = subprocess.run(["findmnt", "--noheadings", "--output", "FSTYPE", "/run/mail"],
                              stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    if volatile != "tmpfs":
        raise PlainText("/run/mail, where subjects are kept for quick lists, is not in memory but "
                        f"{volatile or 'not mounted'}: `systemctl start run-mail.mount`")


def expect(reply, code, what, unit="postfix"):
    if reply[0] != code:
        raise Broken(f"{what}: wanted {code}, got {reply[0]} {reply[1].decode(errors='replace')} ({unit})")


def deliver(address, token, tls_required):
    with smtplib.SMTP(dovecot.hostname(), 25, timeout=20) as session:
        session.ehlo()
        if tls_required:
            expect(session.docmd("MAIL", "FROM:<>"), 530, "mail without TLS on port 25")
        session.starttls(context=dovecot.trust())
        session.ehlo()
        expect(session.docmd("MAIL", "FROM:<>"), 250, "mail with TLS on port 25")
        expect(session.docmd("RCPT", "TO:<stranger@relay.invalid>"), 554, "relaying on port 25")
        expect(session.docmd("RCPT", f"TO:<{address}>"), 250, "mail to a mailbox of ours")
        expect(session.data(f"From: <{address}>\r\nTo: <{address}>\r\nSubject: {token}\r\n\r\n{token}\r\n"), 250,
               "the mail itself")


def submit(address, password):
    with smtplib.SMTP_SSL(dovecot.hostname(), 465, timeout=20, context=dovecot.trust()) as session:
        session.login(address, password)
        expect(session.docmd("MAIL", f"FROM:<someone-else@{address.rpartition('@')[2]}>"), 250, "a sender's address")
        expect(session.docmd("RCPT", f"TO:<{address}>"), 553, "a sender's address that isn't the login's own")


def read(address, password, token):
    deadline = time.monotonic() + DELIVERY_SECONDS
    with dovecot.imap() as session:
        session.login(address, password)
        while time.monotonic() < deadline:
            session.select("INBOX")
            found = session.search(None, "SUBJECT", token)[1][0].split()
            if found:
                body = session.fetch(found[0].decode(), "(BODY[TEXT])")[1][0][1]
                if token.encode() not in body:
                    raise Broken("the mail came out of IMAP with another text (dovecot)")
                return
            time.sleep(0.05)
    raise Broken(f"the mail was taken and not delivered within {DELIVERY_SECONDS} s (postfix or dovecot)")


def look_at_disk(folder, token):
    """The mail as whoever holds the disk sees it: it has to be there, and encrypted, and its words nowhere."""
    files = [Path(base) / name for base, _, found in os.walk(folder) for name in found]
    readable = [str(path) for path in files if token.encode() in path.read_bytes()]
    if readable:
        raise PlainText(f"a fresh mail lies in plain text in {', '.join(readable)} (dovecot)")
    if not any(ENCRYPTED in path.read_bytes()[:512] for path in files):
        raise PlainText(f"no encrypted mail lies below {folder}, where a fresh one must be (dovecot)")


def prove(tls_required):
    """One at a time: each removes the mailboxes of those before it, which may have been cut off."""
    with open(LOCK, "w", encoding="ascii") as lock:
        os.fchmod(lock.fileno(), 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        users.remove_stale_probes()
        prove_with_mailbox(tls_required)


def make_key(address, password, token):
    """Where Dovecot makes none and stores mail all the same, that mail is readable: worse than a mailbox that waits."""
    try:
        users.finish(address, password)
    except Refusal:
        with suppress(OSError, imaplib.IMAP4.error), dovecot.imap() as session:
            session.login(address, password)
            session.append("INBOX", None, None, f"Subject: {token}\r\n\r\n{token}\r\n".encode())
            look_at_disk(dovecot.home_of(address), token)
        raise


def prove_with_mailbox(tls_required):
    token, password = secrets.token_hex(16), secrets.token_urlsafe(24)
    with store.database() as db:
        domain = db.execute("SELECT name FROM domains ORDER BY origin = 'stack' DESC").fetchone()[0]
        address = f"probe-{secrets.token_hex(8)}@{domain}"
        users.make_row(db, address, 10, "probe")
        users.open_mailbox(db, address, password)
    try:
        make_key(address, password, token)
        deliver(address, token, tls_required)
        read(address, password, token)
        look_at_disk(dovecot.home_of(address), token)
        submit(address, password)
    finally:
        users.remove_stale_probes()


def has_key_again(address):
    """Asked of those that are not in the list of all: one may have been made a moment ago, or be found by a repair."""
    return dovecot.has_key(address) or (keyfile.repair(address) > 0 and dovecot.has_key(address))


def waiting():
    """
    Mailboxes whose mail waits: those that nobody has opened yet, and those whose key isn't there. Postfix refuses mail for
    them for the time being, and takes it again for those that have their key again.
    """
    with store.database(write=False) as db:
        before = db.execute("SELECT address, keyed FROM mailboxes WHERE origin != 'probe'").fetchall()
    keyed = dovecot.all_with_key()
    now = [(int(address in keyed or has_key_again(address)), address) for address, _ in before]
    # Only what changed: a mailbox that is opened at this moment stays so.
    changed = [row for row, (_, was) in zip(now, before) if row[0] != was]
    with store.database() as db:
        db.executemany("UPDATE mailboxes SET keyed = ? WHERE address = ?", changed)
        rest = [address for (address,) in db.execute("SELECT address FROM mailboxes WHERE keyed = 0 ORDER BY address")]
        invited = [address for address in rest if users.state(db, address) == "invited"]
    return invited, [address for address in rest if address not in invited]


def refuse_stuck_mail():
    """What Tor holds up is not lost, and nobody would hear of it: the alarm tells the administrator."""
    stuck = queue.stuck(queue.waiting())
    if stuck:
        lines = "\n".join(f"  {address}: {reason}" for address, reason in stuck[:10])
        raise Broken(f"mail for {len(stuck)} recipients has waited for Tor for more than {queue.LONGEST_HOURS} hours. Look at "
                     f"`mailq` and `journalctl -u tor@default`; nothing is lost, Postfix goes on trying.\n{lines}")


def check(args):
    started = time.monotonic()
    tls = args.inbound_tls or dovecot.setting("postconf", "smtpd_tls_security_level")
    try:
        configuration()
        prove(tls_required=tls in ("required", "encrypt"))
    except PlainText:
        subprocess.run(["systemctl", "stop", "dovecot.service"], check=False)
        raise
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error) as problem:
        raise Broken(f"the mail path does not work: {problem}. Look at `journalctl -u postfix -u dovecot -u mail-keys "
                     "-n 50`") from None
    seconds = time.monotonic() - started
    refuse_stuck_mail()
    invited, keyless = waiting()
    return Report([f"a mail went in by SMTP and out by IMAP, all of it over TLS, and lay encrypted ({seconds:.1f} s)",
                   *(f"{address} waits for its invitation: `mailfruit user invite {address}`" for address in invited),
                   *(f"{address} has no key, so its mail waits. A new mailbox: `mailfruit user passwd {address}` makes it. One "
                     f"that had mail: put {dovecot.home_of(address) / dovecot.KEY_FILE} back from a backup" for address in keyless)],
                  {"seconds": round(seconds, 1), "invited": invited, "without_key": keyless})


def check_configuration(_args):
    configuration()
    return Report(["Dovecot's configuration stores encrypted mail only"], {"encrypted": True})
