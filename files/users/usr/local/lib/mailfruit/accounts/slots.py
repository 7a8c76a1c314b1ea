"""Key slots, as a LUKS header has them: one mail secret, wrapped once for everything that opens it.

The *mail secret* (256 random bits) is the password of Dovecot's own key for a mailbox (crypt_user_key_password). A slot
is a copy of it that only one password opens: XSalsa20-Poly1305 (libsodium's secretbox) under a key made of the password.
Opening a slot is the proof of the password, too: there is no second hash that could be guessed more cheaply.

A password that a person chose goes through Argon2id (RFC 9106). One that this program made has 140 random bits, which
nobody guesses at any price; BLAKE2b (RFC 7693) makes its key, and such a login costs no 64 MiB.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random

ARGON2ID, BLAKE2B = "argon2id", "blake2b"
PASSES, MEMORY_KIB = 3, 65536
STRONG_LENGTH = 28  # characters of base32, five bits each
STRONG = re.compile("[a-z2-7]*")
# What a hand or an eye makes of letters: base32 has no 0, 1 and 8.
MISREAD = str.maketrans("018", "olb", "- ")


@dataclass(frozen=True)
class Slot:
    """A wrapped mail secret. `owner` is what it belongs to, as in "anna@example.org/password/"; it opens nowhere else."""

    owner: str
    kdf: str
    salt: bytes
    passes: int
    memory_kib: int
    wrapped: bytes


def new_mail_secret():
    return random(SecretBox.KEY_SIZE)


def new_strong_password():
    """140 random bits, as a person can read and type them: abcd-efgh-…, seven groups."""
    text = base64.b32encode(secrets.token_bytes(20)).decode().lower()[:STRONG_LENGTH]
    return "-".join(text[at:at + 4] for at in range(0, STRONG_LENGTH, 4))


def strong(password):
    """What new_strong_password made, however it was typed; None for any other password."""
    text = password.lower().translate(MISREAD)
    return text if len(text) == STRONG_LENGTH and STRONG.fullmatch(text) else None


def wrap(secret, password, owner, made_here=False):
    """A new slot for `password`; `made_here`: it is one of new_strong_password's."""
    salt = random(pwhash.argon2id.SALTBYTES)
    kdf = BLAKE2B if made_here else ARGON2ID
    passes, memory_kib = (PASSES, MEMORY_KIB) if kdf == ARGON2ID else (0, 0)
    key = _key(kdf, password, _bound(salt, owner), passes, memory_kib)
    return Slot(owner, kdf, salt, passes, memory_kib, bytes(SecretBox(key).encrypt(secret)))


def unwrap(slot, password):
    """The mail secret, or None where the password isn't this slot's."""
    if slot.kdf == BLAKE2B and not strong(password):
        return None
    key = _key(slot.kdf, password, _bound(slot.salt, slot.owner), slot.passes, slot.memory_kib)
    try:
        return SecretBox(key).decrypt(slot.wrapped)
    except CryptoError:
        return None


def digest(strong_password):
    """What is kept of a one-time secret that opens nothing: SHA-256."""
    return hashlib.sha256(strong(strong_password).encode()).digest()


def _bound(salt, owner):
    """A salt that is good for one slot only: a slot that is moved to another mailbox doesn't open it."""
    return hashlib.blake2b(owner.encode(), key=salt, digest_size=pwhash.argon2id.SALTBYTES).digest()


def _key(kdf, password, salt, passes, memory_kib):
    if kdf == BLAKE2B:
        return hashlib.blake2b(strong(password).encode(), salt=salt, digest_size=SecretBox.KEY_SIZE).digest()
    return pwhash.argon2id.kdf(SecretBox.KEY_SIZE, password.encode(), salt, opslimit=passes, memlimit=memory_kib * 1024)
