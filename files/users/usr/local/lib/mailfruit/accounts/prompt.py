"""Passwords as people type them: without echo, or line by line on standard input; never from an argument."""

import getpass
import sys

from accounts.names import Refusal

SHORTEST = 12


class Prompt:
    """Asks on the terminal, or reads a line of standard input for each question."""

    def __init__(self, from_stdin):
        self.lines = self._lines() if from_stdin else None

    @staticmethod
    def _lines():
        try:
            return iter(sys.stdin.buffer.read().decode().removesuffix("\n").split("\n"))
        except UnicodeDecodeError:
            raise Refusal("a password is text in UTF-8") from None

    def secret(self, question):
        """A secret that exists already."""
        if self.lines is None:
            return getpass.getpass(f"{question}: ")
        try:
            return next(self.lines)
        except StopIteration:
            raise Refusal(f"standard input has no line with the {question.lower()}") from None

    def new_password(self, question="New password"):
        """A password that a person chooses, typed twice."""
        given = self.secret(question)
        if self.lines is None and getpass.getpass("Again: ") != given:
            raise Refusal("the two passwords differ")
        if self.lines is not None and next(self.lines, None) is not None:
            raise Refusal("a password is one line of printable characters, or mail clients can't send it")
        if len(given) < SHORTEST:
            raise Refusal(f"a password has {SHORTEST} characters or more")
        if not given.isprintable():
            raise Refusal("a password is one line of printable characters, or mail clients can't send it")
        return given
