"""Asks accounts/check.py:  check-probe.py configuration | check-probe.py look FOLDER TOKEN"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
files = Path(__file__).resolve().parents[3] / "files"
sys.path.insert(0, str(files / "users" / "usr" / "local" / "lib" / "mailfruit"))

from accounts import check  # noqa: E402

try:
    if sys.argv[1] == "configuration":
        check.configuration()
    else:
        check.look_at_disk(*sys.argv[2:])
except check.PlainText as problem:
    sys.exit(f"{problem}")
