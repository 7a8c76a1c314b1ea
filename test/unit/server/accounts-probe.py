"""Runs the accounts' program below a folder instead of /:

    accounts-probe.py ROOT [--kill-at-commit] ARGS...   one command, as `mailfruit ARGS...`
    accounts-probe.py ROOT --kill-randomly              see kill_randomly
    accounts-probe.py ROOT --many                       commands from standard input, a JSON list a line; a line of JSON each
    accounts-probe.py ROOT --serve SOCKET               mail-keys.service, until it is killed

Whom each file was given to stands in ROOT/owners/. What Dovecot does is remembered in ROOT/dovecot.json: the mail secret
that locks each user's key, and who was made to log in again. With ROOT/dovecot-is-down it makes no key.
"""

import contextlib
import grp
import io
import json
import os
import pwd
import random
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.dont_write_bytecode = True
PACKAGE = Path(__file__).resolve().parents[3] / "files" / "users" / "usr" / "local" / "lib" / "mailfruit"
sys.path.insert(0, str(PACKAGE))

from accounts import aliases, cli, dovecot, keyd, names, store  # noqa: E402

GROUPS = {"postfix": 1111, "mailkeys": 2222, "dovecot": 3333}


def settle(root):
    """Everything that the program keeps lies below `root`."""
    store.ACCOUNTS = root / "accounts"
    aliases.STACK_FILE = root / "accounts.json"
    dovecot.MAIL_HOME = root / "home"
    dovecot.CACHE = root / "cache"


class Dovecot:
    """What only a running Dovecot does."""

    def __init__(self, root):
        self.root, self.file = root, root / "dovecot.json"
        for name in ("make_key", "has_key", "all_with_key", "end_sessions", "usage_kib", "setting"):
            setattr(dovecot, name, getattr(self, name))

    def read(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {"keys": {}, "kicked": []}

    def write(self, state):
        self.file.write_text(json.dumps(state))

    def make_key(self, address, password):
        if (self.root / "dovecot-is-down").exists():
            raise names.Refusal(f"Dovecot made no key for {address}: it is down")
        with store.database(write=False) as db:
            secret = store.open_with(db, address, password, "password", "app")
        assert secret is not None, "the login failed"
        state = self.read()
        assert state["keys"].setdefault(address, secret.hex()) == secret.hex(), "the key doesn't open"
        self.write(state)

    def has_key(self, address):
        return address in self.read()["keys"]

    def all_with_key(self):
        return set(self.read()["keys"])

    def end_sessions(self, address):
        state = self.read()
        state["kicked"].append(address)
        self.write(state)

    @staticmethod
    def usage_kib(_address):
        return 7

    @staticmethod
    def setting(_program, _name):
        return "mail.anna.example"


def remember_owners(root):
    def chown(path, _uid, gid):
        (root / "owners" / Path(path).name).write_text(next(name for name, each in GROUPS.items() if each == gid))

    os.chown = chown
    grp.getgrnam = lambda name: SimpleNamespace(gr_gid=GROUPS[name])
    pwd.getpwnam = lambda name: SimpleNamespace(pw_gid=GROUPS[name])


connect = sqlite3.connect


def at_commit(before, after=lambda: None):
    """`before` happens when everything is written and nothing is committed."""
    class Connection(sqlite3.Connection):
        def execute(self, statement, *args):
            if statement != "COMMIT":
                return super().execute(statement, *args)
            before()
            done = super().execute(statement, *args)
            after()
            return done

    sqlite3.connect = lambda *given, **named: connect(*given, factory=Connection, **named)


def mailfruit(args):
    sys.argv = ["mailfruit", *args]
    cli.main()


def many(_root):
    """The parser is built once; what a command says and how it ends comes back, an error of Python's own by its name."""
    parser = cli.parser()
    for line in sys.stdin:
        out, err, status = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                args = parser.parse_args(json.loads(line))
                args.function(args).show(args.json)
            except (names.Refusal, OSError, sqlite3.Error) as problem:  # as cli.main has it
                status, _ = 1, err.write(f"mailfruit: {problem}\n")
            except SystemExit as end:
                status = end.code
            except BaseException as crash:  # what a user would see as a traceback
                status, _ = "crash", err.write(repr(crash))
        print(json.dumps([status, out.getvalue(), err.getvalue()]))


def kill_randomly(root):
    """
    Standard input: {"args", "input", "count", "seed"}. Each time the command runs on a fresh copy of ROOT/accounts as a
    process of its own, two at once, and is killed: half of them at any time of their life, half of them while they commit.
    Prints where each left its copy, and how many ended before they were killed.
    """
    work = json.load(sys.stdin)
    numbers = random.Random(work["seed"])
    life, commit = measure(*start(root, "measured", work))
    folders, survived = [], 0
    for number in range(0, work["count"], 2):
        pair = [start(root, f"{number}", work, life_ends=numbers.uniform(0.001, life)),
                start(root, f"{number + 1}", work, commit_ends=numbers.uniform(0.00001, commit))]
        for process, _, folder in pair:
            survived += os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
            folders.append(str(folder))
    print(json.dumps({"folders": folders, "survived": survived}))


def measure(process, times, _folder):
    """How long a command lives until it has committed, and how long its commit takes."""
    os.waitpid(process, 0)
    return json.loads(times.read_text())


def start(root, name, work, life_ends=0, commit_ends=0):
    """
    The command in a child process, which dies so many seconds after its start, or after its commit has begun: of SIGALRM,
    which ends a process that doesn't handle it as SIGKILL does, and comes by the kernel's own clock.
    """
    folder = root / "killed" / name
    shutil.copytree(root / "accounts", folder / "accounts")
    (folder / "owners").mkdir()
    shutil.copy(root / "dovecot.json", folder)
    times = folder / "times.json"
    process = os.fork()
    if process:
        return process, times, folder
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, life_ends)
    try:
        settle(folder)
        remember_owners(folder)
        Dovecot(folder)
        reads, writes = os.pipe()
        os.write(writes, work["input"].encode())
        os.close(writes)
        sys.stdin = os.fdopen(reads)
        sys.stdout = open(os.devnull, "w", encoding="utf8")
        commits = []

        def before():
            commits.append(time.monotonic())
            if len(commits) == 2 and commit_ends:  # the first transaction only looks, and changes nothing
                signal.setitimer(signal.ITIMER_REAL, commit_ends)

        def after():
            if len(commits) == 2:
                now = time.monotonic()
                times.write_text(json.dumps([now - begun, now - commits[1]]))

        at_commit(before, after)
        mailfruit(work["args"])
        os._exit(0)
    finally:
        os._exit(1)


def serve(path):
    with keyd.Server(path, keyd.Connection) as server:
        print("ready", flush=True)
        server.serve_forever()


def main():
    root, args = Path(sys.argv[1]), sys.argv[2:]
    settle(root)
    remember_owners(root)
    Dovecot(root)
    if args[0] == "--many":
        return many(root)
    if args[0] == "--kill-randomly":
        return kill_randomly(root)
    if args[0] == "--serve":
        return serve(args[1])
    if args[0] == "--kill-at-commit":
        args = args[1:]
        at_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    return mailfruit(args)


if __name__ == "__main__":
    main()
