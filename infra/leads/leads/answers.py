"""What the operator answered once: stack, region, release, mail. A private file beside the work, never in the
repository.

It holds no secret: connection strings, intake keys and addresses of destinations are in SSM alone.
"""

import json
import os
import tempfile

from .words import Problem, private_file

FILE = ".leads.json"
FIELDS = (
    "stack",
    "region",
    "profile",
    "account",
    "release",
    "destination",
    "azure",
    "parameters",
    "first_lead",
    "rotation",
    "removing",
)


class Answers:
    """The file's content. `save` writes it at once, so that an interrupted command goes on where it was."""

    def __init__(self, path, values):
        self.path, self.values = path, values

    @classmethod
    def read(cls, path):
        try:
            with open(path, encoding="utf-8") as file:
                values = json.load(file)
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, ValueError) as error:
            raise Problem(
                f"the answers in {path} cannot be read: {type(error).__name__}", "Correct the file or move it away."
            )
        if not isinstance(values, dict) or any(name not in FIELDS for name in values):
            raise Problem(f"{path} is no file of answers", "Move it away, or name another one with --config.")
        return cls(path, values)

    def get(self, name, default=None):
        return self.values.get(name, default)

    def exists(self):
        return bool(self.values)

    def save(self, **changes):
        """Keeps answers; None takes one out."""
        for name, value in changes.items():
            assert name in FIELDS, name
            self.values.pop(name, None)
            if value is not None:
                self.values[name] = value
        text = json.dumps(self.values, indent=2, ensure_ascii=False) + "\n"
        try:
            private_file(self.path, text.encode())
        except OSError as error:
            raise self.unwritable(error)

    def try_to_write(self):
        """Fails where answers could not be kept. Nothing is left behind."""
        try:
            with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(self.path))):
                pass
        except OSError as error:
            raise self.unwritable(error)

    def unwritable(self, error):
        return Problem(
            f"the answers in {self.path} cannot be written: {error.strerror}",
            "Go to a folder of your own, or name a file in one with --config.",
        )

    def remove(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.values = {}
