"""Mail that waits for Tor: in Postfix's queue, for longer than anybody should have to."""

import json
import subprocess
import time

LONGEST_HOURS = 4
# Where Postfix connects to in place of onion services and the smarthost (onion-mail), and what it says where that is off.
BY_TOR = ("[127.200.", "[127.199.0.1]", "socketmap:unix:/run/onion-mail")


def waiting():
    """Postfix's queue as postqueue(1) has it, a dictionary for each mail."""
    lines = subprocess.run(["postqueue", "-j"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def stuck(mails, now=None):
    """Recipients whose mail has waited too long for an onion service or for the smarthost, with Postfix's reason."""
    oldest = (now or time.time()) - LONGEST_HOURS * 3600
    return [(recipient["address"], recipient.get("delay_reason", "no reason known"))
            for mail in mails if mail["arrival_time"] < oldest
            for recipient in mail["recipients"]
            if any(place in recipient.get("delay_reason", "") for place in BY_TOR)]
