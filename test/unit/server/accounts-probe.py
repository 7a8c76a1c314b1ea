"""Runs the accounts' program below a folder instead of /:  accounts-probe.py ROOT [--kill-at-commit] ARGS...

The groups postfix and dovecot need not exist; whom each file was given to stands in ROOT/owners/.
"""

import grp
import importlib.machinery
import importlib.util
import os
import signal
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

PROGRAM = Path(__file__).resolve().parents[3] / "files" / "users" / "usr" / "local" / "sbin" / "mailfruit"
GROUPS = {"postfix": 1111, "dovecot": 2222}


def load(root):
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("accounts", str(PROGRAM))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("accounts", loader))
    loader.exec_module(module)
    module.ACCOUNTS = root / "accounts"
    module.STACK_FILE = root / "accounts.json"
    module.MAIL_HOME = root / "home"
    return module


def remember_owners(root):
    def chown(path, _uid, gid):
        (root / "owners" / Path(path).name).write_text(next(name for name, each in GROUPS.items() if each == gid))

    os.chown = chown
    grp.getgrnam = lambda name: SimpleNamespace(gr_gid=GROUPS[name])


class KilledAtCommit(sqlite3.Connection):
    """Dies when everything is written and nothing is committed."""

    def execute(self, statement, *args):
        if statement == "COMMIT":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(statement, *args)


def main():
    root, args = Path(sys.argv[1]), sys.argv[2:]
    module = load(root)
    remember_owners(root)
    if args[0] == "--kill-at-commit":
        args = args[1:]
        connect = sqlite3.connect
        module.sqlite3.connect = lambda *given, **named: connect(*given, factory=KilledAtCommit, **named)
    sys.argv = ["mailfruit", *args]
    module.main()


if __name__ == "__main__":
    main()
