"""The accounts of this mail server.

Passwords are typed without echo, or read from standard input, a line each; they are never an argument.
"""

import argparse
import re
import sqlite3
import sys

import argcomplete

from accounts import aliases, check, clients, store, users
from accounts.names import Refusal
from accounts.report import Report

INTERRUPTED = 130


def mebibytes(text):
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("a whole number of MiB, 0 for no limit")
    return int(text)


def addresses(table):
    """For completion in the shell."""
    def complete(prefix, **_):
        with store.database(write=False) as db:
            return [address for (address,) in db.execute(f"SELECT DISTINCT address FROM {table}") if address.startswith(prefix)]
    return complete


class Commands:
    """One level of sub-commands."""

    def __init__(self, parser):
        self.group = parser.add_subparsers(required=True, metavar="COMMAND")

    def within(self, name, description):
        return Commands(self.group.add_parser(name, help=description, description=description))

    def add(self, name, function, description, address=None, secrets=None, **defaults):
        """A command. `address`: the table that its address stands in. `secrets`: what it reads, as its help says."""
        command = self.group.add_parser(name, help=description, description=description)
        command.add_argument("--json", action="store_true", help="say it as JSON")
        if address:
            command.add_argument("address", metavar="ADDRESS").completer = addresses(address)
        if secrets:
            command.add_argument("--password-stdin", action="store_true", help=f"read from standard input: {secrets}")
        command.set_defaults(function=function, **defaults)
        return command


def user_commands(user):
    add = user.add("add", users.add, "make a mailbox", "mailboxes", "the password")
    how = add.add_mutually_exclusive_group()
    how.add_argument("--invite", action="store_true", help="its owner sets the first password, with a one-time secret")
    how.add_argument("--generate", action="store_true", help="make a password and show it once")
    add.add_argument("--quota", type=mebibytes, default=users.DEFAULT_QUOTA_MIB, metavar="MIB",
                     help=f"{users.DEFAULT_QUOTA_MIB} if not given, 0 for no limit")
    # For the stack's own mailboxes.
    add.add_argument("--or-update", action="store_true", help=argparse.SUPPRESS)
    add.add_argument("--origin", choices=["admin", "debug"], default="admin", help=argparse.SUPPRESS)
    user.add("list", users.list_all, "all mailboxes: address, room, state")
    user.add("show", users.show, "all about a mailbox", "mailboxes")
    user.add("settings", clients.show, "what its owner types into a mail program", "mailboxes"
             ).add_argument("--qr", action="store_true", help="as a QR code")
    user.add("passwd", users.passwd, "change the password; the present one is needed", "mailboxes",
             "the present password, the new one")
    user.add("invite", users.invite_again, "a new invitation for a mailbox without a password", "mailboxes")
    user.add("accept", users.accept, "set the first password, with an invitation", "mailboxes",
             "the invitation, the new password")
    user.add("recover", users.recover, "set a new password with the recovery key; no mail is lost", "mailboxes",
             "the recovery key, the new password")
    user.add("recovery-key", users.recovery_key, "make a new recovery key; the old one opens nothing any more", "mailboxes",
             "the password")
    user.add("reset", users.reset, "begin anew where password and recovery key are lost; old mail is lost", "mailboxes"
             ).add_argument("--lose-mail", action="store_true", help="the old mail is lost, and I know it")
    user.add("repair", users.repair, "find the mailbox's keys again after a damaged index", "mailboxes")
    user.add("quota", users.set_quota, "change a mailbox's room", "mailboxes"
             ).add_argument("quota", type=mebibytes, metavar="MIB", help="0 for no limit")
    user.add("disable", users.set_enabled, "nobody can log in; mail is still taken", "mailboxes", enabled=False)
    user.add("enable", users.set_enabled, "undo disable", "mailboxes", enabled=True)
    user.add("delete", users.delete, "remove a mailbox", "mailboxes"
             ).add_argument("--with-mail", action="store_true", help="and all its mail")


def app_commands(app):
    app.add("add", users.app_add, "make a password for a device", "mailboxes", "the mailbox's password"
            ).add_argument("name", metavar="NAME", help="of the device, as 'phone'")
    app.add("list", users.app_list, "the devices that have a password", "mailboxes")
    app.add("delete", users.app_delete, "take a device's password back", "mailboxes"
            ).add_argument("name", metavar="NAME")


def alias_commands(alias):
    add = alias.add("add", aliases.add, "pass mail on: NAME@…, NAME+DETAIL@…, or @… for all the rest of a domain", "aliases")
    add.add_argument("destinations", metavar="DESTINATION", nargs="+")
    alias.add("list", aliases.list_all, "all aliases, or those of an address"
              ).add_argument("address", metavar="ADDRESS", nargs="?")
    alias.add("delete", aliases.delete, "remove an alias, or one of its destinations", "aliases"
              ).add_argument("destination", metavar="DESTINATION", nargs="?")


def domain_commands(domain):
    domain.add("add", aliases.domain_add, "take mail for one more domain").add_argument("name", metavar="DOMAIN")
    domain.add("list", aliases.domain_list, "the domains whose mail is taken")
    domain.add("delete", aliases.domain_delete, "refuse mail for a domain").add_argument("name", metavar="DOMAIN")


def mend(_args):
    """SQLite does it whenever somebody opens them who may write."""
    with store.database():
        return Report()


def parser():
    top = argparse.ArgumentParser(prog="mailfruit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = Commands(top)
    user_commands(commands.within("user", "mailboxes and their passwords"))
    app_commands(commands.within("app", "passwords of a user's devices, each of which can be taken back"))
    alias_commands(commands.within("alias", "addresses that pass mail on"))
    domain_commands(commands.within("domain", "domains whose mail is taken"))
    commands.add("check", check.check, "prove that mail goes in and out, and lies encrypted"
                 ).add_argument("--inbound-tls", choices=["required", "opportunistic"], help="as Postfix says, if not given")
    commands.add("check-configuration", check.check_configuration, "refuse a Dovecot that would store plain text")
    commands.add("sync", aliases.sync, "take domains, aliases and mailboxes from the stack")
    commands.add("mend", mend, "undo what a power cut left half done in the databases; before the services start")
    return top


def main():
    arguments = parser()
    argcomplete.autocomplete(arguments)
    args = arguments.parse_args()
    try:
        report = args.function(args)
        report.show(args.json)
        if report.problem:
            raise report.problem
    except (Refusal, OSError, sqlite3.Error) as problem:
        sys.exit(f"mailfruit: {problem}")
    except (KeyboardInterrupt, EOFError):
        print("\nmailfruit: nothing was changed", file=sys.stderr)
        sys.exit(INTERRUPTED)
