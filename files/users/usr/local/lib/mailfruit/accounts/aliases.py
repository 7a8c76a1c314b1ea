"""mailfruit alias …, domain …, sync: where mail is taken, and where it leads."""

import json
from pathlib import Path

from accounts import dovecot, names, store, users
from accounts.names import Refusal
from accounts.report import Report

STACK_FILE = Path("/etc/mailfruit/accounts.json")


def next_stops(db, address):
    """Where Postfix takes mail for an address next: as virtual(5) looks it up. A mailbox is an end."""
    local, _, domain = address.partition("@")
    for name in (address, f"{local.partition('+')[0]}@{domain}"):
        if users.exists(db, name):
            return []
        if found := leads_to(db, name):
            return found
    return leads_to(db, f"@{domain}")


def leads_to(db, name):
    return [destination for (destination,) in db.execute("SELECT destination FROM aliases WHERE address = ?", (name,))]


def leads_to_itself(db, address, on_the_way=()):
    return address in on_the_way or any(leads_to_itself(db, stop, (*on_the_way, address)) for stop in next_stops(db, address))


def add(args):
    address = names.alias(args.address)
    destinations = [names.destination(text) for text in args.destinations]
    with store.database() as db:
        users.has_domain(db, address)
        if users.exists(db, address):
            raise Refusal(f"{address} is a mailbox; an alias would take its mail away")
        for destination in destinations:
            db.execute("INSERT OR IGNORE INTO aliases VALUES (?, ?, 'admin')", (address, destination))
        if any(leads_to_itself(db, stop) for stop in [address, *leads_to(db, address)]):
            raise Refusal(f"{address} would lead to itself")
    return Report([f"mail for {address} goes to {', '.join(destinations)}"],
                  {"address": address, "destinations": destinations})


def list_all(args):
    with store.database(write=False) as db:
        rows = db.execute("SELECT address, destination, origin FROM aliases WHERE ?1 IS NULL OR address = ?1 "
                          "ORDER BY address, destination", (args.address and names.alias(args.address),)).fetchall()
    aliases = [{"address": address, "destination": destination, "origin": origin} for address, destination, origin in rows]
    return Report(["{address}\t{destination}\t{origin}".format(**alias) for alias in aliases] or ["no aliases"],
                  {"aliases": aliases})


def delete(args):
    address = names.alias(args.address)
    destination = args.destination and names.destination(args.destination)
    with store.database() as db:
        rows = db.execute("SELECT origin FROM aliases WHERE address = ?1 AND (?2 IS NULL OR destination = ?2)",
                          (address, destination)).fetchall()
        if not rows:
            raise Refusal(f"there is no alias {address}" + (f" to {destination}" if destination else ""))
        if ("stack",) in rows:
            raise Refusal(f"{address} is the stack's: change its configuration and run `pulumi up`")
        db.execute("DELETE FROM aliases WHERE address = ?1 AND (?2 IS NULL OR destination = ?2)", (address, destination))
    return Report([f"the alias {address} is gone"], {"address": address})


def domain_add(args):
    name, hostname = names.domain(args.name), dovecot.hostname()
    with store.database() as db:
        if db.execute("SELECT 1 FROM domains WHERE name = ?", (name,)).fetchone():
            raise Refusal(f"mail for {name} is taken already")
        db.execute("INSERT INTO domains VALUES (?, 'admin')", (name,))
    return Report([f"mail for {name} is taken. Its DNS is yours to keep: an MX record that leads to {hostname}, "
                   "and an SPF record"], {"domain": name})


def domain_list(_args):
    with store.database(write=False) as db:
        rows = db.execute("SELECT name, origin FROM domains ORDER BY name").fetchall()
    return Report([f"{name}\t{origin}" for name, origin in rows] or ["no domains"],
                  {"domains": [{"domain": name, "origin": origin} for name, origin in rows]})


def domain_delete(args):
    name = names.domain(args.name)
    with store.database() as db:
        row = db.execute("SELECT origin FROM domains WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise Refusal(f"this server takes no mail for {name}")
        if row[0] == "stack":
            raise Refusal(f"{name} is the stack's: change its configuration and run `pulumi up`")
        for table in ("mailboxes", "aliases"):
            used = db.execute(f"SELECT address FROM {table} WHERE address LIKE ? ESCAPE '\\' LIMIT 1",
                              (f"%@{name.replace('_', chr(92) + '_')}",)).fetchone()
            if used:
                raise Refusal(f"{used[0]} is in {name}; delete it first")
        db.execute("DELETE FROM domains WHERE name = ?", (name,))
    return Report([f"mail for {name} is refused from now on"], {"domain": name})


def sync(_args):
    """
    Domains, aliases and mailboxes become what the stack's file says; those that an administrator made stay. A mailbox
    is removed only where the stack says so in as many words.
    """
    stack = json.loads(STACK_FILE.read_text())
    mailboxes = stack.get("mailboxes", {})
    with store.database() as db:
        db.execute("DELETE FROM domains WHERE origin = 'stack'")
        db.executemany("INSERT OR IGNORE INTO domains VALUES (?, 'stack')", [(name,) for name in stack["domains"]])
        db.execute("DELETE FROM aliases WHERE origin = 'stack'")
        for address, destinations in stack["aliases"].items():
            if not users.exists(db, address):  # such a mailbox keeps its mail
                db.executemany("INSERT OR IGNORE INTO aliases VALUES (?, ?, 'stack')",
                               [(address, destination) for destination in destinations])
        made = [address for address, wanted in mailboxes.items() if not wanted.get("delete") and give(db, address, wanted)]
        gone = [address for address, wanted in mailboxes.items() if wanted.get("delete") and users.exists(db, address)]
        gone += [address for (address,) in db.execute("SELECT address FROM mailboxes WHERE origin = 'debug'")
                 if address not in stack["debugUsers"]]
        for address in gone:
            store.remove_mailbox(db, address)
    for address in gone:
        dovecot.remove_mail(address)
    return Report([*(f"{address} waits for its invitation: `mailfruit user invite {address}`" for address in made),
                   *(f"{address} and its mail are gone, as the stack says" for address in gone)],
                  {"made": made, "deleted": gone})


def give(db, address, wanted):
    """A mailbox as the stack wants it; True if it is new."""
    quota = wanted.get("quota_mib")
    if not users.exists(db, address):
        users.make_row(db, address, users.DEFAULT_QUOTA_MIB if quota is None else quota, "stack")
        return True
    if quota is not None:
        db.execute("UPDATE mailboxes SET quota_mib = ? WHERE address = ?", (quota, address))
    return False
