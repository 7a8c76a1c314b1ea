"""Runs `mailfruit ARGS` on a terminal of its own and types lines, each when it is asked; prints what the terminal showed."""

import os
import pty
import sys

lines = iter(LINES)  # noqa: F821, the test puts them here
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("mailfruit", ["mailfruit", *sys.argv[1:]])
shown, answered = b"", 0
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:  # the other side is closed
        break
    if not piece:
        break
    shown += piece
    if shown.endswith(b": ") and len(shown) > answered:
        answered = len(shown)
        os.write(terminal, next(lines).encode() + b"\n")
os.waitpid(pid, 0)
sys.stdout.write(shown.decode())
