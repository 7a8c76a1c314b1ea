"""Addresses and names, checked before anything is done with them."""

import re

LOCAL_PART = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
DETAIL = re.compile(r"(?!.*\.\.)[a-z0-9._-]{0,31}[a-z0-9_-]")
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(r"(?!.{254})(" + LABEL + r"\.)+(?!\d+\Z)" + LABEL)
# What other servers have before the @ (RFC 5321, dot-string), as far as no table of Postfix's could misread it.
FOREIGN_LOCAL_PART = re.compile(r"[a-z0-9!#&'*/=?^_`{}~+-]+(\.[a-z0-9!#&'*/=?^_`{}~+-]+)*", re.IGNORECASE)
APP = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,30}[A-Za-z0-9])?")


class Refusal(Exception):
    """Why a command is not carried out, in words for the administrator."""


def _ascii(text):
    if not text.isascii():
        raise Refusal(f"{text!a} has letters beyond ASCII (RFC 6531), which many servers can't send mail to; "
                      "spell it with a to z")
    return text.lower()


def local_part(text):
    return LOCAL_PART.fullmatch(text) is not None and ".." not in text


def mailbox(text):
    """A mailbox's address as it is stored. Whether its domain is ours, the database knows."""
    local, _, domain = _ascii(text).partition("@")
    if not local_part(local) or not DOMAIN.fullmatch(domain):
        raise Refusal(f"{text!a} is no address for a mailbox: it needs letters, digits and . _ - before the @, "
                      "64 at most, and a domain behind it")
    return f"{local}@{domain}"


def alias(text):
    """An alias: as a mailbox, or with a detail (anna+shop@…), or a whole domain (@…)."""
    local, at, domain = _ascii(text).partition("@")
    base, plus, detail = local.partition("+")
    whole_domain = at and not local
    if not DOMAIN.fullmatch(domain) or not (whole_domain or local_part(base)) or (plus and not DETAIL.fullmatch(detail)):
        raise Refusal(f"{text!a} is no alias: it is like anna@…, anna+shop@…, or @… for all of a domain")
    return f"{local}@{domain}"


def destination(text):
    """Where an alias leads: any mail address, here or elsewhere."""
    local, _, domain = _ascii(text).rpartition("@")
    if len(local) > 64 or not FOREIGN_LOCAL_PART.fullmatch(local) or not DOMAIN.fullmatch(domain):
        raise Refusal(f"{text!a} is no mail address that mail can be passed on to")
    return f"{local}@{domain}"


def domain(text):
    if not DOMAIN.fullmatch(_ascii(text)):
        raise Refusal(f"{text!a} is no domain name")
    return text.lower()


def app(text):
    if not APP.fullmatch(text):
        raise Refusal(f"{text!a} is no name for an app password: letters, digits, spaces and . _ -, 32 at most")
    return text
