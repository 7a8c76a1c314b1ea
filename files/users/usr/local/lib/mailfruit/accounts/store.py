"""The databases: two SQLite files in /srv/mail/accounts that change together, in one transaction.

    mail.sqlite   who gets mail: domains, mailboxes, aliases; Postfix and Dovecot read it
    keys.sqlite   who may log in, and the key slots; only mail-keys.service reads it

A mailbox without slots is *invited*: nobody can log in. One that is not `keyed` has no Dovecot key as yet: mail for it
waits at the sender, as nothing may be stored in plain text.
"""

import grp
import os
import pwd
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

from accounts.names import Refusal
from accounts.slots import BLAKE2B, Slot, unwrap

ACCOUNTS = Path("/srv/mail/accounts")

TABLES = """
CREATE TABLE IF NOT EXISTS main.domains (
  name TEXT PRIMARY KEY,
  origin TEXT NOT NULL DEFAULT 'stack' CHECK (origin IN ('admin', 'stack'))
) STRICT;
CREATE TABLE IF NOT EXISTS main.mailboxes (
  address TEXT PRIMARY KEY,
  quota_mib INTEGER NOT NULL CHECK (quota_mib >= 0),
  origin TEXT NOT NULL CHECK (origin IN ('admin', 'stack', 'debug', 'probe')),
  keyed INTEGER NOT NULL DEFAULT 0 CHECK (keyed IN (0, 1))
) STRICT;
CREATE TABLE IF NOT EXISTS main.aliases (
  address TEXT NOT NULL,
  destination TEXT NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('admin', 'stack')),
  PRIMARY KEY (address, destination)
) STRICT;
CREATE TABLE IF NOT EXISTS keys.logins (
  address TEXT PRIMARY KEY,
  enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1))
) STRICT;
CREATE TABLE IF NOT EXISTS keys.slots (
  address TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('password', 'app', 'recovery')),
  name TEXT NOT NULL,
  kdf TEXT NOT NULL,
  salt BLOB NOT NULL,
  passes INTEGER NOT NULL,
  memory_kib INTEGER NOT NULL,
  wrapped BLOB NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (address, kind, name)
) STRICT;
CREATE TABLE IF NOT EXISTS keys.invitations (
  address TEXT PRIMARY KEY,
  digest BLOB NOT NULL,
  expires INTEGER NOT NULL
) STRICT;
"""


def readable_by(path, uid, gid):
    path.touch(mode=0o600)
    os.chown(path, uid, gid)
    path.chmod(0o640)


@contextmanager
def database(write=True):
    """Both files as one database; all or nothing of what happens inside is kept."""
    if not ACCOUNTS.is_dir():
        raise Refusal(f"{ACCOUNTS} is not there: the volume with the mail is closed or missing. Opening it: npm run unlock")
    if (ACCOUNTS / "passwords.sqlite").exists():
        raise Refusal("the accounts and mail in /srv/mail are from before mail was encrypted, and lie in plain text. Save the "
                      "mail, empty /srv/mail, run `pulumi up` and add the mailboxes anew")
    readable_by(ACCOUNTS / "mail.sqlite", 0, grp.getgrnam("postfix").gr_gid)
    readable_by(ACCOUNTS / "keys.sqlite", 0, pwd.getpwnam("mailkeys").pw_gid)
    connection = sqlite3.connect(ACCOUNTS / "mail.sqlite", timeout=30, isolation_level=None)
    try:
        connection.execute("ATTACH ? AS keys", (str(ACCOUNTS / "keys.sqlite"),))
        # What is deleted is overwritten: an old slot would open with the old password.
        connection.execute("PRAGMA main.secure_delete = ON")
        connection.execute("PRAGMA keys.secure_delete = ON")
        connection.execute("PRAGMA main.synchronous = FULL")
        connection.execute("PRAGMA keys.synchronous = FULL")
        connection.executescript(TABLES)
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()  # rolls back what was not committed


def owner_of(address, kind, name):
    return f"{address}/{kind}/{name}"


def put_slot(db, address, kind, name, slot):
    db.execute("INSERT OR IGNORE INTO keys.logins (address) VALUES (?)", (address,))
    db.execute("INSERT OR REPLACE INTO keys.slots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
               (address, kind, name, slot.kdf, slot.salt, slot.passes, slot.memory_kib, slot.wrapped, int(time.time())))


def slots_of(db, address, *kinds):
    """The slots of these kinds, those first that cost nothing to try."""
    marks = ", ".join("?" * len(kinds))
    rows = db.execute(f"SELECT kind, name, kdf, salt, passes, memory_kib, wrapped FROM slots "
                      f"WHERE address = ? AND kind IN ({marks}) ORDER BY kdf != ?", (address, *kinds, BLAKE2B))
    return [Slot(owner_of(address, kind, name), *rest) for kind, name, *rest in rows]


def open_with(db, address, password, *kinds):
    """The mail secret, if one of the slots of these kinds opens with the password; else None."""
    for slot in slots_of(db, address, *kinds):
        secret = unwrap(slot, password)
        if secret is not None:
            return secret
    return None


def remove_keys(db, address):
    for table in ("logins", "slots", "invitations"):
        db.execute(f"DELETE FROM keys.{table} WHERE address = ?", (address,))


def remove_mailbox(db, address):
    db.execute("DELETE FROM mailboxes WHERE address = ?", (address,))
    remove_keys(db, address)
