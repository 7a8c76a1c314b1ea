"""What a command has to say: lines for a person, or the same as JSON for a program."""

import json
from dataclasses import dataclass, field


@dataclass
class Report:
    lines: list = field(default_factory=list)
    data: dict = field(default_factory=dict)
    # What went wrong after something was done that has to be said all the same, as a password that is shown once.
    problem: Exception | None = None

    def show(self, as_json):
        for line in [json.dumps(self.data, indent=2)] if as_json else self.lines:
            print(line)
