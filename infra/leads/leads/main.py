"""Runs one command."""

import json
import sys

from .arguments import parser
from .session import Session
from .words import Problem


def main(arguments=None):
    """The exit status of one command."""
    options = parser().parse_args(arguments)
    try:
        return options.run(Session(options))
    except Problem as problem:
        if options.json:
            error = {"message": problem.message, "cure": problem.cure, "code": problem.code}
            print(json.dumps({"error": error}, indent=2, ensure_ascii=False))
        print(problem.text(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. What was done stands; the same command goes on from there.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
