"""Opens key slots by what the documentation says of them, without the program:  open-slots.py

Standard input: a JSON list of {"file", "address", "kind", "name", "password", "as"?}; "as" is what the slot is taken for, if it is
not what it is. Prints a JSON list: the mail secret in hex, or null where the password opens nothing.
"""

import hashlib
import json
import sqlite3
import sys

from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox


def opened(db, address, kind, name, password, owner=None):
    row = db.execute("SELECT kdf, salt, passes, memory_kib, wrapped FROM slots WHERE address = ? AND kind = ? AND name = ?",
                     (address, kind, name)).fetchone()
    if row is None:
        return None
    kdf, salt, passes, memory_kib, wrapped = row
    bound = hashlib.blake2b((owner or f"{address}/{kind}/{name}").encode(), key=salt, digest_size=16).digest()
    if kdf == "argon2id":
        key = pwhash.argon2id.kdf(32, password.encode(), bound, opslimit=passes, memlimit=memory_kib * 1024)
    else:
        key = hashlib.blake2b(password.replace("-", "").encode(), salt=bound, digest_size=32).digest()
    try:
        return SecretBox(key).decrypt(wrapped).hex()
    except CryptoError:
        return None


print(json.dumps([opened(sqlite3.connect(one["file"]), one["address"], one["kind"], one["name"], one["password"], one.get("as"))
                  for one in json.load(sys.stdin)]))
