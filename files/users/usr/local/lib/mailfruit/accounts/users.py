"""mailfruit user …, app …: mailboxes, and what opens them."""

import time

from accounts import dovecot, keyfile, names, slots, store
from accounts.names import Refusal
from accounts.prompt import Prompt
from accounts.report import Report

DEFAULT_QUOTA_MIB = 1024
INVITATION_DAYS = 14


# --- what the databases say

def exists(db, address):
    return db.execute("SELECT 1 FROM mailboxes WHERE address = ?", (address,)).fetchone() is not None


def present(db, text):
    """The address of a mailbox that is there; its domain may be one that this server had before."""
    address = names.mailbox(text)
    if not exists(db, address):
        raise Refusal(f"there is no mailbox {address}")
    return address


def has_domain(db, address):
    """Refuses what is in no domain of ours."""
    domain = address.rpartition("@")[2]
    if not db.execute("SELECT 1 FROM domains WHERE name = ?", (domain,)).fetchone():
        known = ", ".join(name for (name,) in db.execute("SELECT name FROM domains ORDER BY name"))
        raise Refusal(f"this server takes no mail for {domain!r}, only for {known or 'no domain yet'}")


def state(db, address):
    """What can be done with a mailbox: invited, unfinished, open, or disabled."""
    keyed = db.execute("SELECT keyed FROM mailboxes WHERE address = ?", (address,)).fetchone()[0]
    login = db.execute("SELECT enabled FROM keys.logins WHERE address = ?", (address,)).fetchone()
    if login is None:
        return "invited"
    if not login[0]:
        return "disabled"
    return "open" if keyed else "unfinished"


def opened(db, address, password, *kinds):
    """The mail secret, or a refusal; a login that has been closed stays closed."""
    secret = store.open_with(db, address, password, *kinds)
    if secret is None:
        what = "recovery key" if kinds == ("recovery",) else "password"
        raise Refusal(f"this is not the {what} of {address}; nothing was changed")
    return secret


def make_row(db, address, quota_mib, origin):
    if exists(db, address):
        raise Refusal(f"{address} is there already; `mailfruit user --help` lists what can be done with it")
    if db.execute("SELECT 1 FROM aliases WHERE address = ?", (address,)).fetchone():
        raise Refusal(f"{address} is an alias; `mailfruit alias delete {address}` makes room for a mailbox")
    db.execute("INSERT INTO mailboxes (address, quota_mib, origin) VALUES (?, ?, ?)", (address, quota_mib, origin))


# --- what opens a mailbox

def set_password(db, address, secret, password):
    slot = slots.wrap(secret, password, store.owner_of(address, "password", ""))
    store.put_slot(db, address, "password", "", slot)


def put_made_password(db, address, secret, kind, name=""):
    """A slot for a password that is made here; the password, which is kept nowhere else."""
    made = slots.new_strong_password()
    store.put_slot(db, address, kind, name, slots.wrap(secret, made, store.owner_of(address, kind, name), made_here=True))
    return made


def open_mailbox(db, address, password):
    """A mail secret for a mailbox that has none, with its password and its recovery key; returns the latter."""
    dovecot.set_aside(address)
    secret = slots.new_mail_secret()
    set_password(db, address, secret, password)
    db.execute("DELETE FROM keys.invitations WHERE address = ?", (address,))
    return put_made_password(db, address, secret, "recovery")


def finish(address, password):
    """Dovecot's own key, without which mail waits."""
    dovecot.make_key(address, password)
    with store.database() as db:
        db.execute("UPDATE mailboxes SET keyed = 1 WHERE address = ?", (address,))


def finished(address, password):
    """What there is to say of a mailbox that has its password now; where Dovecot failed, the rest is said all the same."""
    try:
        finish(address, password)
    except Refusal as problem:
        return Report([f"{address} has its password, and no key yet"], {"address": address, "state": "unfinished"}, problem)
    return Report([f"{address} can log in and gets mail"], {"address": address, "state": "open"})


def recovery_lines(address, key):
    return [f"Recovery key of {address}, shown this once. Print it and keep it away from the server:",
            "", f"    {key}", "",
            "Whoever has it can read the mail. Without it and without the password, old mail is lost."]


def invite(db, address):
    code = slots.new_strong_password()
    expires = int(time.time()) + INVITATION_DAYS * 86400
    db.execute("INSERT OR REPLACE INTO keys.invitations VALUES (?, ?, ?)", (address, slots.digest(code), expires))
    return code


def invitation(address, code):
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + INVITATION_DAYS * 86400))
    lines = [f"Invitation of {address}, good once and until {day}:", "", f"    {code}", "",
             f"`mailfruit user accept {address}` asks for it and for the password that its owner chooses. "
             "Until then mail for it waits at the sender."]
    return Report(lines, {"address": address, "state": "invited", "invitation": code, "expires": day})


# --- commands

def add(args):
    address = names.mailbox(args.address)
    if args.invite:
        with store.database() as db:
            has_domain(db, address)
            make_row(db, address, args.quota, args.origin)
            return invitation(address, invite(db, address))
    with store.database(write=False) as db:
        has_domain(db, address)
    if args.origin == "probe":
        remove_stale_probes()
    password = None if args.generate else Prompt(args.password_stdin).new_password("Password")
    if args.or_update and keep(address, password):
        return Report([f"{address} is there already, with this password"], {"address": address, "state": "open"})
    made = password is None
    password = password or slots.new_strong_password()
    with store.database() as db:
        make_row(db, address, args.quota, args.origin)
        recovery = open_mailbox(db, address, password)
    report = finished(address, password)
    if made:
        report.lines += ["", f"Its password, shown this once: {password}"]
        report.data["password"] = password
    if args.origin == "admin":  # the others are nobody's
        report.lines += ["", *recovery_lines(address, recovery)]
        report.data["recovery_key"] = recovery
    return report


def keep(address, password):
    """True if the mailbox is there and this is its password; where its key is missing, it is made."""
    with store.database(write=False) as db:
        if not exists(db, address):
            return False
        if store.open_with(db, address, password, "password") is None:
            raise Refusal(f"{address} is there with another password, and its mail opens with that one only. "
                          f"`mailfruit user delete {address} --with-mail` makes room for a new one")
        unfinished = state(db, address) == "unfinished"
    if unfinished:
        finish(address, password)
    return True


def accept(args):
    """The owner's first password. The key is made now, so that nobody who saw the invitation ever knew it."""
    prompt = Prompt(args.password_stdin)
    with store.database(write=False) as db:
        address = present(db, args.address)
    code = prompt.secret("Invitation")
    password = prompt.new_password()
    with store.database() as db:
        row = db.execute("SELECT digest, expires FROM keys.invitations WHERE address = ?", (address,)).fetchone()
        if row is None or not slots.strong(code) or slots.digest(code) != row[0]:
            raise Refusal(f"this is no invitation of {address}, or it was used already")
        if row[1] < time.time():
            raise Refusal(f"this invitation has expired; `mailfruit user invite {address}` makes a new one")
        recovery = open_mailbox(db, address, password)
    report = finished(address, password)
    report.lines += ["", *recovery_lines(address, recovery)]
    report.data["recovery_key"] = recovery
    return report


def invite_again(args):
    with store.database() as db:
        address = present(db, args.address)
        if state(db, address) != "invited":
            raise Refusal(f"{address} has a password; `mailfruit user passwd` changes it, `mailfruit user recover` sets "
                          "one with the recovery key")
        return invitation(address, invite(db, address))


def replace_password(args, question, kind):
    """A new password, for who has what opens a slot of this kind; the address."""
    prompt = Prompt(args.password_stdin)
    with store.database(write=False) as db:
        address = present(db, args.address)
        if state(db, address) == "invited":
            raise Refusal(f"{address} has no password yet; `mailfruit user accept {address}` sets the first")
    known, new = prompt.secret(question), prompt.new_password()
    with store.database() as db:
        set_password(db, address, opened(db, address, known, kind), new)
        unfinished = state(db, address) == "unfinished"
    if unfinished:
        finish(address, new)
    return address


def passwd(args):
    address = replace_password(args, "Present password", "password")
    return Report([f"the password of {address} is changed"], {"address": address})


def recover(args):
    address = replace_password(args, "Recovery key", "recovery")
    dovecot.end_sessions(address)
    return Report([f"{address} has a new password, and all its mail. The recovery key stays good"], {"address": address})


def recovery_key(args):
    """A new one; the old one opens nothing from then on."""
    prompt = Prompt(args.password_stdin)
    with store.database(write=False) as db:
        address = present(db, args.address)
    password = prompt.secret("Password")
    with store.database() as db:
        key = put_made_password(db, address, opened(db, address, password, "password"), "recovery")
    return Report([*recovery_lines(address, key), "The one before it opens nothing any more."],
                  {"address": address, "recovery_key": key})


def reset(args):
    """For who has lost both password and recovery key: the address lives on, its mail doesn't."""
    with store.database(write=False) as db:
        address = present(db, args.address)
    if not args.lose_mail:
        raise Refusal(f"without the password and the recovery key, the old mail of {address} is lost for ever; nothing was "
                      f"changed. With the recovery key, `mailfruit user recover {address}` loses nothing. To begin anew "
                      f"with an empty mailbox: `mailfruit user reset {address} --lose-mail`")
    with store.database() as db:
        store.remove_keys(db, address)
        db.execute("UPDATE mailboxes SET keyed = 0 WHERE address = ?", (address,))
        code = invite(db, address)
    dovecot.remove_mail(address)
    report = invitation(address, code)
    report.lines[:0] = [f"The old mail of {address} is gone.", ""]
    return report


def repair(args):
    with store.database(write=False) as db:
        address = present(db, args.address)
    keys = keyfile.repair(address)
    lines = [f"{keys} keys of {address} are found again" if keys else f"{address} misses no key"]
    return Report(lines, {"address": address, "keys": keys})


def set_enabled(args):
    with store.database() as db:
        address = present(db, args.address)
        if state(db, address) == "invited":
            raise Refusal(f"{address} has no password yet, so nobody can log in")
        db.execute("UPDATE keys.logins SET enabled = ? WHERE address = ?", (int(args.enabled), address))
    if args.enabled:
        return Report([f"{address} can log in again"], {"address": address})
    dovecot.end_sessions(address)
    return Report([f"{address} can't log in any more; mail for it is still taken, and waits encrypted"], {"address": address})


def delete(args):
    with store.database(write=False) as db:
        address = present(db, args.address)
    if not args.with_mail:
        raise Refusal(f"nothing was deleted. Without the keys of {address} nobody could read its mail any more: `mailfruit "
                      f"user delete {address} --with-mail` removes both, `mailfruit user disable {address}` keeps both")
    with store.database() as db:
        store.remove_mailbox(db, address)
    dovecot.remove_mail(address)
    return Report([f"{address} and its mail are gone"], {"address": address})


def remove_stale_probes():
    """Those whose check of the mail path was cut off."""
    with store.database() as db:
        probes = [address for (address,) in db.execute("SELECT address FROM mailboxes WHERE origin = 'probe'")]
        for address in probes:
            store.remove_mailbox(db, address)
    for address in probes:
        dovecot.remove_mail(address)


def set_quota(args):
    with store.database() as db:
        address = present(db, args.address)
        db.execute("UPDATE mailboxes SET quota_mib = ? WHERE address = ?", (args.quota, address))
    room = f"{args.quota} MiB" if args.quota else "no limit"
    return Report([f"{address} has room for {room}"], {"address": address, "quota_mib": args.quota})


def list_all(_args):
    with store.database(write=False) as db:
        rows = db.execute("SELECT address, quota_mib FROM mailboxes WHERE origin != 'probe' ORDER BY address").fetchall()
        users = [{"address": address, "quota_mib": quota, "state": state(db, address)} for address, quota in rows]
    lines = ["{address}\t{quota_mib} MiB\t{state}".format(**user) for user in users]
    return Report(lines or ["no mailboxes yet; `mailfruit user add` makes one"], {"users": users})


def show(args):
    with store.database(write=False) as db:
        address = present(db, args.address)
        quota, origin = db.execute("SELECT quota_mib, origin FROM mailboxes WHERE address = ?", (address,)).fetchone()
        user = {
            "address": address, "state": state(db, address), "quota_mib": quota, "origin": origin,
            "aliases": [name for (name,) in
                        db.execute("SELECT address FROM aliases WHERE destination = ? ORDER BY address", (address,))],
            "app_passwords": [name for (name,) in db.execute(
                "SELECT name FROM keys.slots WHERE address = ? AND kind = 'app' ORDER BY name", (address,))],
            "recovery_key": db.execute("SELECT 1 FROM keys.slots WHERE address = ? AND kind = 'recovery'",
                                       (address,)).fetchone() is not None,
        }
    user["used_kib"] = dovecot.usage_kib(address) if user["state"] in ("open", "disabled") else None
    return Report([f"{key.replace('_', ' ')}: {in_words(value)}" for key, value in user.items()], user)


def in_words(value):
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "unknown" if value is None else str(value)


# --- app passwords

def app_add(args):
    prompt = Prompt(args.password_stdin)
    name = names.app(args.name)
    with store.database(write=False) as db:
        address = present(db, args.address)
    password = prompt.secret("Password")
    with store.database() as db:
        secret = opened(db, address, password, "password")
        if db.execute("SELECT 1 FROM keys.slots WHERE address = ? AND kind = 'app' AND name = ?",
                      (address, name)).fetchone():
            raise Refusal(f"{address} has an app password {name!r} already; choose another name, or delete it first")
        made = put_made_password(db, address, secret, "app", name)
    return Report([f"App password {name!r} of {address}, shown this once:", "", f"    {made}", "",
                   f"`mailfruit app delete {address} '{name}'` takes it back."],
                  {"address": address, "name": name, "password": made})


def app_list(args):
    with store.database(write=False) as db:
        address = present(db, args.address)
        rows = db.execute("SELECT name, created FROM keys.slots WHERE address = ? AND kind = 'app' ORDER BY name", (address,))
        apps = [{"name": name, "created": time.strftime("%Y-%m-%d", time.gmtime(created))} for name, created in rows]
    return Report(["{name}\tmade {created}".format(**app) for app in apps] or [f"{address} has no app passwords"],
                  {"address": address, "app_passwords": apps})


def app_delete(args):
    name = names.app(args.name)
    with store.database() as db:
        address = present(db, args.address)
        found = db.execute("DELETE FROM keys.slots WHERE address = ? AND kind = 'app' AND name = ?", (address, name))
        if found.rowcount == 0:
            raise Refusal(f"{address} has no app password {name!r}")
    dovecot.end_sessions(address)
    return Report([f"the app password {name!r} of {address} opens nothing any more"], {"address": address})
