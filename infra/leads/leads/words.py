"""What the command says and asks: lines for people, one JSON object for programs, and questions."""

import getpass
import json
import os
import sys


class Problem(Exception):
    """Something that could not be done: what happened, and what to do about it. Holds no secret."""

    def __init__(self, message, cure=None, code=None):
        super().__init__(message)
        self.message, self.cure, self.code = message, cure, code

    def text(self):
        return self.message if self.cure is None else f"{self.message}\n  What to do: {self.cure}"


def count(number, one, many=None):
    """`1 lead`, `3 leads`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(words):
    """`a, b and c`."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "nothing"


class Screen:
    """Where lines go and answers come from. With `as_json`, lines go to standard error and the result to standard
    output.
    """

    def __init__(self, as_json=False, assume_yes=False, out=None, err=None, source=None):
        self.as_json, self.assume_yes = as_json, assume_yes
        self.out, self.err, self.source = out or sys.stdout, err or sys.stderr, source or sys.stdin

    def say(self, line=""):
        print(line, file=self.err if self.as_json else self.out, flush=True)

    def warn(self, line):
        print(line, file=self.err, flush=True)

    def result(self, value, lines=()):
        """Ends a command: the lines for a person, or the value for a program."""
        if self.as_json:
            print(json.dumps(value, indent=2, ensure_ascii=False), file=self.out, flush=True)
        else:
            for line in lines:
                print(line, file=self.out, flush=True)

    def is_interactive(self):
        return self.source.isatty()

    def _read(self, prompt):
        print(prompt, end="", file=self.err, flush=True)
        line = self.source.readline()
        if not line:
            raise Problem("the answer is missing: standard input has ended", "Answer with an option, or add --yes.")
        return line.strip()

    def ask(self, question, default=None, check=None):
        """A text. `check` gives a sentence that says what is wrong with an answer, or None."""
        if self.assume_yes or not self.is_interactive():
            if default is None:
                raise Problem(f"this must be known and was not given: {question}", "Give it as an option.")
            wrong = check(default) if check else None
            if wrong:
                raise Problem(f"{question}: {wrong}")
            return default
        while True:
            shown = f" [{default}]" if default else ""
            text = self._read(f"{question}{shown}: ") or default
            if text is None:
                continue
            wrong = check(text) if check else None
            if wrong is None:
                return text
            self.warn(f"  {wrong}")

    def confirm(self, question):
        """Whether the answer is yes. `--yes` says so to all of them."""
        if self.assume_yes:
            return True
        if not self.is_interactive():
            raise Problem(f"this needs a yes: {question}", "Add --yes if that is what you want.")
        while True:
            text = self._read(f"{question} [y/N] ").lower()
            if text in ("y", "yes"):
                return True
            if text in ("", "n", "no"):
                return False

    def secret(self, question):
        """A secret: typed without being shown, or the first line of standard input. Never an argument, never in a
        history.
        """
        if self.is_interactive():
            text = getpass.getpass(f"{question} (not shown): ", stream=self.err)
        else:
            text = self.source.readline()
        text = text.strip()
        if not text:
            raise Problem(f"this must be known and was not given: {question}", "Type it, or give it on standard input.")
        return text


def private_file(path, data):
    """Writes a file that only its owner can read, whole or not at all."""
    temporary = f"{path}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
