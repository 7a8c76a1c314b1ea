"""What only Dovecot can do: make a user's key, and say what it has. It is asked as anybody asks it."""

import imaplib
import os
import shutil
import ssl
import subprocess
import time
from pathlib import Path

from accounts.names import Refusal

MAIL_HOME = Path("/srv/mail/home")
CACHE = Path("/run/mail/cache")
KEY_FILE = "dovecot-attributes"
AUTHORITY = "/etc/ssl/mail/ca.pem"
# To make a key Dovecot wants to store a mail; this one is gone at once.
BLANK = b"Subject: \r\n\r\n"
WAITS = ("Mail for it waits at the sender. Look at `journalctl -u dovecot -u mail-keys -n 20`; when that is mended, "
         "`mailfruit user passwd` makes the key")


def setting(program, name):
    """A setting as a program understands it: doveconf(1), postconf(1)."""
    done = subprocess.run([program, "-h", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Refusal(f"{program} doesn't say what {name} is: {done.stderr.strip()}")
    return done.stdout.strip()


def hostname():
    return setting("doveconf", "hostname")


def trust():
    """TLS to this server's own services, whose certificate has to be right."""
    return ssl.create_default_context(cafile=AUTHORITY)


def imap():
    """A connection to this server's own IMAP, by its name, which /etc/hosts leads here."""
    return imaplib.IMAP4_SSL(hostname(), 993, timeout=60, ssl_context=trust())


def table(*command):
    """The rows that doveadm(1) prints, without their heading; none where it fails."""
    done = subprocess.run(["doveadm", "-f", "tab", *command],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return [line.split("\t") for line in done.stdout.splitlines()[1:]]


def make_key(address, password):
    """
    Logs in as the user, which is when Dovecot makes a key that the user's secret locks; where it has one already, that
    has to be it: the mail is read, too.
    """
    try:
        with imap() as session:
            session.login(address, password)
            session.append("INBOX", r"(\Seen \Deleted)", None, BLANK)
            session.select("INBOX")
            session.fetch("*", "(BODY.PEEK[])")
            session.expunge()
    except (OSError, imaplib.IMAP4.error) as problem:
        raise Refusal(f"Dovecot made no key for {address}: {problem}. {WAITS}") from None
    if not has_key(address):
        raise Refusal(f"Dovecot made no key for {address}. {WAITS}")


def has_key(address):
    """True if mail for the address can be stored: there is a key to encrypt it with."""
    return any(row[1:2] == ["yes"] for row in table("mailbox", "cryptokey", "list", "-u", address, "-U"))


def all_with_key():
    """The addresses whose mail can be stored."""
    return {row[0] for row in table("mailbox", "cryptokey", "list", "-A", "-U") if row[2:3] == ["yes"]}


def usage_kib(address):
    """KiB that its mail takes; None where Dovecot doesn't say."""
    rows = table("quota", "get", "-u", address)
    return next((int(row[2]) for row in rows if row[1:2] == ["STORAGE"] and row[2].isdigit()), None)


def end_sessions(address):
    """Whoever is logged in has to log in again."""
    subprocess.run(["doveadm", "kick", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def home_of(address):
    local, _, domain = address.partition("@")
    return MAIL_HOME / domain / local


def set_aside(address):
    """
    Where an earlier mailbox's removal was cut off, its rest is moved away: mail that came to its old key could never be
    read.
    """
    home = home_of(address)
    if (home / KEY_FILE).exists():
        os.rename(home, home.with_name(f".{home.name}.removed-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"))


def remove_mail(address):
    """Mail, filters and the key. Dovecot must not know the address any more, or it makes them anew."""
    end_sessions(address)
    local, _, domain = address.partition("@")
    for folder in (home_of(address), CACHE / domain / local):
        if folder.exists():
            shutil.rmtree(folder)
