"""Runs one command."""

import json
import os
import sys
import traceback

from .arguments import parser
from .session import Session
from .words import Problem


def main(arguments=None):
    """The exit status of one command."""
    options = parser().parse_args(arguments)
    try:
        return options.run(Session(options))
    except Problem as problem:
        return fail(options, problem)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # What is in an answer may be a secret or a person, so that nothing of it is shown.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {os.path.basename(place.filename)}, line {place.lineno}"
        return fail(
            options,
            Problem(
                f"an answer had another form than was expected ({where})",
                "Bring this command and the stack to the same release. If that does not help, report it.",
            ),
        )
    except KeyboardInterrupt:
        print("\nInterrupted. What was done stands; the same command goes on from there.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1


def fail(options, problem):
    """Says what could not be done, and gives the exit status for it."""
    if options.json:
        error = {"message": problem.message, "cure": problem.cure, "code": problem.code}
        print(json.dumps({"error": error}, indent=2, ensure_ascii=False))
    print(problem.text(), file=sys.stderr)
    return 2
