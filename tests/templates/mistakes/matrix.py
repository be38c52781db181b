"""Tries every seeded mistake, and makes the table of docs/template-checks.md."""

import copy
import dataclasses
import gc
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from checks import registry
from mistakes import aws, azure, deployment, facts, guide, samconfig, values

# For each part of the table: its heading, the text of the sources that is changed, the checks, and the mistakes.
_PARTS = [
    ("`infra/aws/template.yaml`", "aws", registry.AWS_CHECKS, aws.MISTAKES + values.AWS),
    ("`infra/azure/storage.json`", "azure", registry.AZURE_CHECKS, azure.MISTAKES + values.AZURE),
    ("`infra/aws/deploy-policy.json`", "deployment", registry.DEPLOYMENT_CHECKS, deployment.MISTAKES),
    ("`infra/aws/samconfig.toml.example`", "samconfig", registry.SAMCONFIG_CHECKS, samconfig.MISTAKES),
    ("`infra/by-hand.md`", "guide", registry.GUIDE_CHECKS, guide.GUIDE),
    ("`docs/operations.md`", "operations", registry.OPERATIONS_CHECKS, guide.OPERATIONS),
    ("The documents", "documents", registry.DOCUMENT_CHECKS, guide.DOCUMENTS),
    ("All of them beside other code", "facts", {"own": registry.all_assertions}, facts.MISTAKES),
]

_INTRODUCTION = """\
# What catches which mistake in the templates

Each row is a mistake that the tests put into a copy of a template or a document, or of what the code states about itself,
one at a time. A × marks the checks that find something in that copy; they find nothing in the original. *own* are the
checks in `tests/templates/checks/` that know this project.

`cargo test -p templates` tries each mistake with the cheapest check first and is content with the first check that
catches it. With `LEADS_TRUST=full` it tries every mistake with every check, and fails where this table is out of date.
`UPDATE_TABLES=1` does the same and writes the table.
"""


def titles():
    """What is wrong in each mistake, in the order of the table."""
    return [title for _, _, _, mistakes in _PARTS for title, *_ in mistakes]


def _seeded(sources, file, title, change):
    """A copy of the sources with one mistake in it."""
    if file == "facts":
        (edit,) = change
        changed = copy.deepcopy(sources.facts)
        edit(changed)
        if changed == sources.facts:
            raise ValueError(f"{title}: changes nothing")
    elif file == "documents":
        path, *change = change
        changed = sources.documents | {path: _edited(sources.documents[path], title, *change)}
    else:
        changed = _edited(getattr(sources, file), title, *change)
    return dataclasses.replace(sources, **{file: changed})


def _edited(text, title, *change):
    """A text with one part of it replaced, which must be there once; or the first such part after one that is there once."""
    *after, old, new = change
    once = after[0] if after else old
    if text.count(once) != 1 or old not in text[text.index(once) :]:
        raise ValueError(f"{title}: its text is there {text.count(once)} times")
    at = text.index(old, text.index(once))
    return text[:at] + new + text[at + len(old) :]


# The processes that try the mistakes are forked, and find their work here: the checks cannot be sent to them.
_jobs = []


def _catchers(index):
    """The names of all checks that catch a mistake, or of the first one that does."""
    checks, sources, full = _jobs[index]
    names = list(checks) if full else sorted(checks, key=registry.CHEAPEST_FIRST.index)
    catchers = []
    for name in names:
        if next(registry.findings(checks[name], sources), None) is not None:
            catchers.append(name)
            if not full:
                break
    return catchers


def tried(sources, full):
    """For each mistake, in the order of the table, the checks that catch it; unless `full`, the first one only. The checks
    must find nothing in the sources as they are: one that always finds something would seem to catch every mistake."""
    _jobs[:] = [
        (checks, _seeded(sources, file, title, change), full)
        for _, file, checks, mistakes in _PARTS
        for title, *change in mistakes
    ]
    # The linters' rules and schemas stay. Looking for garbage among them would take a third of the time.
    gc.collect()
    gc.freeze()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as workers:
        return list(workers.map(_catchers, range(len(_jobs))))


def table(catchers):
    """The text of docs/template-checks.md, from what `tried` says in full."""
    catchers = iter(catchers)
    lines = []
    for heading, _, checks, mistakes in _PARTS:
        names = list(checks)
        rows = [(title, next(catchers)) for title, *_ in mistakes]
        counts = [sum(name in by for _, by in rows) for name in names]
        lines += [f"## {heading}", ""]
        lines += [f"| mistake | {' | '.join(names)} |", f"|---|{':-:|' * len(names)}"]
        lines += [f"| {title} | {' | '.join('×' if name in by else '' for name in names)} |" for title, by in rows]
        lines += [f"| **caught, of {len(rows)}** | {' | '.join(f'**{count}**' for count in counts)} |", ""]
    return "\n".join([_INTRODUCTION, *lines]).rstrip() + "\n"
