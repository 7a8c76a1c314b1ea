"""A mailbox's keys as Dovecot keeps them, and how they are found again after a damaged index.

dovecot-attributes (Dovecot's file dict) has pairs of lines, a name and its value. A name begins with the GUID of the folder
that a key belongs to; the mailbox's own key stands under INBOX. sdbox keeps a folder's GUID in its index only: where
that is lost Dovecot makes a new one, and finds the keys of the old one no more, though they are there.
"""

import os
import re
import subprocess

from accounts import dovecot
from accounts.names import Refusal

NAME = re.compile(r"(?P<scope>shared|priv)/(?P<guid>[0-9a-f]{32})/(?P<rest>.+)")
MAILBOX_KEY = "/pvt/server/"
ACTIVE = "/crypt/active"


def read(path):
    lines = path.read_text().splitlines()
    return dict(zip(lines[::2], lines[1::2]))


def write(path, entries):
    """Whole or not at all, with the same owner."""
    status = path.stat()
    beside = path.with_name(f"{path.name}.new")
    with open(beside, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600)) as file:
        os.fchown(file.fileno(), status.st_uid, status.st_gid)
        file.write("".join(f"{name}\n{value}\n" for name, value in entries.items()))
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)


def adopt(entries, inbox, folders):
    """
    Keys of folders that are there no more, given to those that are: the mailbox's own to `inbox`, others to every folder,
    as it can't be told whose they were, and a mail names the key that it needs. GUIDs in hex; returns what is new.
    """
    found = {}
    for name, value in entries.items():
        match = NAME.fullmatch(name)
        if not match or match["guid"] in folders:
            continue
        for guid in [inbox] if MAILBOX_KEY in name else folders:
            adopted = f"{match['scope']}/{guid}/{match['rest']}"
            if adopted not in entries and not (name.endswith(ACTIVE) and MAILBOX_KEY not in name):
                found[adopted] = value
    return found


def guids(address):
    """The GUID of each folder, by its name."""
    done = subprocess.run(["doveadm", "-f", "tab", "mailbox", "status", "-u", address, "guid", "*"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    if done.returncode != 0 or not rows:
        raise Refusal(f"Dovecot doesn't say which folders {address} has: {done.stderr.strip()}")
    return dict(rows)


def repair(address):
    """Gives the keys of lost indexes to the folders that are there; how many."""
    path = dovecot.home_of(address) / dovecot.KEY_FILE
    if not path.exists():
        return 0
    folders = guids(address)
    dovecot.end_sessions(address)
    entries = read(path)
    found = adopt(entries, folders["INBOX"], list(folders.values()))
    if found:
        write(path, {**entries, **found})
    return sum("/privkeys/" in name for name in found)
