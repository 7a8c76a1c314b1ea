"""Runs files/apply/apply below a folder instead of /, where tests can watch and kill it.

    apply-probe.py run ROOT [KILL_AT] < ROLE.yaml      one run; with KILL_AT it kills itself at that step
    apply-probe.py crash ROOT < {"old", "new", "last"} applies `old`, then for each step of applying `new`: kills it there
                                                       and applies `last`; prints what the end differs in as JSON
    apply-probe.py read < ROLE.yaml                    prints the role as it was read, as JSON

A step is what a kill could come before: a change in the file system or the start of a command.
"""

import importlib.machinery
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

APPLY = Path(__file__).resolve().parents[3] / "files" / "apply" / "apply"
STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.symlink",
         "shutil.copyfile", "shutil.rmtree", "subprocess.Popen", "fsync"}


def load(root):
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("apply", str(APPLY))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("apply", loader))
    loader.exec_module(module)
    module.STATE = root / "state"
    module.ROLES = module.STATE / "roles"
    module.JOURNAL = module.STATE / "journal"
    module.LOCK = root / "run" / "lock"
    module.UNIT_FILES = root / "etc" / "systemd" / "system"
    module.VOLUME = root / "mail-volume"
    return module


class Steps:
    """Counts steps once it is started, and kills this process before step `kill_at`."""

    def __init__(self):
        self.count = 0
        self.kill_at = None
        self.started = False
        sys.addaudithook(self.step)

    def step(self, event, args=()):
        if not self.started or event not in STEPS or event == "open" and not args[2] & os.O_ACCMODE:
            return
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(module, steps, text, kill_at=None):
    """Exit status, words and number of steps of one run."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(into, 1)
        os.dup2(into, 2)
        sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
        steps.kill_at, steps.started = kill_at, True
        status = module.main()
        steps.started = False
        print(f"steps {steps.count}", flush=True)
        os._exit(status)
    os.close(into)
    with open(out, encoding="utf-8", errors="replace") as words:
        said = words.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, said


def snapshot(root):
    """Everything below the folder but the log: what kind, which mode, which text."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.name == "systemctl.log":
            continue
        status = path.lstat()
        text = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else None
        found[str(path.relative_to(root))] = [oct(status.st_mode), status.st_uid, status.st_gid, text]
    return found


def differences(found, wanted):
    return {path: [found.get(path), wanted.get(path)] for path in {*found, *wanted}
            if found.get(path) != wanted.get(path)}


def fake_systemctl(root, words):
    """What the script beside this does, without starting it some thousand times. Returns the exit status."""
    verb, unit = words[0], words[-1]
    running, enabled = root / "units" / f"{unit}.running", root / "units" / f"{unit}.enabled"
    enabled.parent.mkdir(exist_ok=True)
    if verb == "is-active":
        return 0 if running.exists() else 3
    if verb == "enable":
        enabled.touch()
    if verb == "disable":
        if unit.startswith("own-") and not (root / "etc/systemd/system" / unit).exists():
            return 1
        enabled.unlink(missing_ok=True)
        running.unlink(missing_ok=True)
    if verb in ("start", "restart", "reload"):
        configuration = "".join(path.read_text() for path in sorted((root / "etc/app").glob("*.conf")))
        if "broken" in configuration:
            return 1
        running.write_text(configuration)
    return 0


class Crash:
    def __init__(self, root, documents):
        self.root, self.documents = root, documents
        self.template = root.with_name(f"{root.name}.template")
        self.module, self.steps = load(root), Steps()
        # A killed process loses nothing that it wrote: that is for power cuts, and slow.
        self.module.os.fsync = lambda _: self.steps.step("fsync")
        self.module.os.sync = lambda: self.steps.step("fsync")
        self.really_run = subprocess.run
        self.module.subprocess.run = self.run

    def run(self, command, **options):
        words = command[2].split() if command[:2] == ["/bin/sh", "-c"] else command
        if words[0] not in ("systemctl", "journalctl"):
            return self.really_run(command, **options)
        self.steps.step("subprocess.Popen")
        started, self.steps.started = self.steps.started, False
        status = fake_systemctl(self.root, words[1:])
        self.steps.started = started
        return subprocess.CompletedProcess(command, status, "", "")

    def reset(self):
        shutil.rmtree(self.root)
        shutil.copytree(self.template, self.root, symlinks=True)

    def apply(self, which, kill_at=None):
        return in_child(self.module, self.steps, self.documents[which], kill_at)

    def everywhere(self):
        shutil.copytree(self.root, self.template, symlinks=True)
        code, said = self.apply("old")
        if code != 0:
            return {"error": said}
        shutil.rmtree(self.template)
        shutil.copytree(self.root, self.template, symlinks=True)
        before = snapshot(self.root)
        _, said = self.apply("new")
        steps = int(said.rsplit(" ", 1)[1])
        self.reset()
        self.apply("last")
        wanted = snapshot(self.root)
        return {"steps": steps, "wrong": list(filter(None, (self.once(n, before, wanted)
                                                            for n in range(1, steps + 1))))}

    def torn(self, before):
        """Files of the role that are neither the old nor the new ones."""
        new = yaml.safe_load(self.documents["new"])["files"]
        for path in {*new, *(str(self.root / path) for path in before if path.startswith("etc/app/"))}:
            text = Path(path).read_text() if os.path.lexists(path) else None
            old = before.get(os.path.relpath(path, self.root))
            if text not in (old and old[3], path in new and new[path]["text"] or None):
                yield path, text

    def once(self, step, before, wanted):
        self.reset()
        code, _ = self.apply("new", step)
        if code != -signal.SIGKILL:
            return {"step": step, "killed": code}
        torn = list(self.torn(before))
        code, said = self.apply("last")
        found = differences(snapshot(self.root), wanted)
        return {"step": step, "code": code, "said": said, "torn": torn, "found": found} if torn or found or code else None


def main():
    if sys.argv[1] == "read":
        print(json.dumps(load(Path("/nonexistent")).read_document(sys.stdin.buffer)))
        return 0
    mode, root = sys.argv[1], Path(sys.argv[2])
    if mode == "crash":
        print(json.dumps(Crash(root, json.load(sys.stdin)).everywhere()))
        return 0
    module = load(root)
    if len(sys.argv) > 3:
        steps = Steps()
        steps.kill_at, steps.started = int(sys.argv[3]), True
    return module.main()


if __name__ == "__main__":
    sys.exit(main())
