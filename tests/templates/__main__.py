"""Checks the templates, their configuration, their guides, and what all documents link to and how they are spelt.

    python tests/templates [--root DIR] [--facts FILE]

prints what is wrong, one finding a line, and exits with 1 where there is any.

    python tests/templates --mistakes first|all [--facts FILE]

also tries every seeded mistake, with the checks until the first one catches it or with all checks. It prints JSON:
`findings`; the `titles` of the mistakes; the titles of those that were `uncaught`; and, for `all`, the `table` of
docs/template-checks.md. Where there are findings, no mistake is tried."""

import argparse
import json
import sys
from pathlib import Path

from checks.registry import all_findings
from mistakes import matrix
from sources import WORKSPACE, Sources, printed_facts

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python tests/templates", description="Checks the templates and the documents."
    )
    parser.add_argument(
        "--root", type=Path, default=WORKSPACE, help="the copy of the tree to check; this one if not given"
    )
    parser.add_argument(
        "--facts", type=Path, help="what the code states, as template-facts prints it; run here if not given"
    )
    parser.add_argument("--mistakes", choices=["first", "all"], help="try the seeded mistakes too, and print JSON")
    arguments = parser.parse_args()

    facts = json.loads(arguments.facts.read_text("utf-8")) if arguments.facts else printed_facts()
    try:
        sources = Sources.read(arguments.root, facts)
    except OSError as error:
        parser.error(f"{error.filename} cannot be read: {error.strerror}")
    found = list(all_findings(sources))
    if not arguments.mistakes:
        print("".join(f"{finding}\n" for finding in found), end="")
        sys.exit(1 if found else 0)
    result = {"findings": found, "titles": matrix.titles(), "uncaught": [], "table": ""}
    if not found:
        catchers = matrix.tried(sources, full=arguments.mistakes == "all")
        result["uncaught"] = [title for title, by in zip(matrix.titles(), catchers) if not by]
        if arguments.mistakes == "all":
            result["table"] = matrix.table(catchers)
    print(json.dumps(result))
