"""kill-passwd.py ADDRESS TIMES: kills a change of password at random instants; each time one of the two has to be good.

Prints the password that is good at the end, and how many changes were done in spite of it.
"""

import random
import signal
import socket
import subprocess
import sys
import time

address, times = sys.argv[1], int(sys.argv[2])
good, done, mended = "a long enough password", 0, 0


def change(old, new):
    process = subprocess.Popen(["mailfruit", "user", "passwd", address, "--password-stdin"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write(f"{old}\n{new}".encode())
    process.stdin.close()
    return process


def ask(password):
    """As Dovecot asks, without the seconds that it makes everyone wait after a wrong password."""
    with socket.socket(socket.AF_UNIX) as keys:
        keys.connect("/run/mail-keys/socket")
        keys.sendall(f"{address.encode().hex()} {password.encode().hex()}\n".encode())
        return keys.makefile().readline()


def opens(password):
    """No answer is none for the time being: the service has to mend what the kill left half done."""
    global mended
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if answer := ask(password):
                return answer.startswith("ok ")
        except OSError:
            pass
        mended += 1
        time.sleep(0.1)
    sys.exit("mail-keys.service gives no answer")


began = time.monotonic()
assert change(good, good).wait() == 0
whole = time.monotonic() - began
for number in range(times):
    other = f"password number {number} of many"
    process = change(good, other)
    # Half of them near the end, where the change is written.
    time.sleep(random.uniform(0.5 if number % 2 else 0, 1.05) * whole)
    process.send_signal(signal.SIGKILL)
    process.wait()
    which = [password for password in (good, other) if opens(password)]
    if len(which) != 1:
        sys.exit(f"{len(which)} passwords are good after kill {number}")
    done += which[0] == other
    good = which[0]
print(good)
print(f"{done} of {times} changes were done, of {whole:.2f} s each; {mended} questions had to be asked again")
