"""Commands of the Azure CLI and the SAM CLI, against the list that these CLIs gave of their commands and options
(`programs.json`, which `programs.py` beside it writes)."""

import difflib
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

_KNOWN = json.loads(Path(__file__).resolve().parents[2].joinpath("programs.json").read_text("utf-8"))


@dataclass
class Asked:
    """A command, and the values of each option by its longest name."""

    command: str = ""
    options: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)


def longest(option):
    """The name by which an option is known here."""
    return max(option["names"], key=len)


def options_of(program, command):
    """The options of a command by each of their names."""
    return {name: option for option in _KNOWN[program]["commands"][command] for name in option["names"]}


def read(program, arguments, is_mention):
    """A command line of `az` or `sam`. A mention is a command in a sentence, which may lack what has to follow."""
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    asked = Asked(" ".join(words))
    if asked.command not in _KNOWN[program]["commands"]:
        near = difflib.get_close_matches(asked.command, _KNOWN[program]["commands"], 1)
        asked.faults.append(f"{program} {asked.command}: no such command is known{', but ' + near[0] if near else ''}")
        return asked
    known = options_of(program, asked.command)
    values = asked.options.setdefault("", [])
    for word in arguments[len(words) :]:
        name, equals, value = word.partition("=")
        if name.startswith("-") and name in known:
            values = asked.options.setdefault(longest(known[name]), [])
            values += [value] if equals else []
        elif word.startswith("-"):
            near = difflib.get_close_matches(word, known, 1)
            asked.faults.append(
                f"{program} {asked.command}: there is no option {word}{', but ' + near[0] if near else ''}"
            )
            values = []
        else:
            values.append(word)
    asked.faults += _faults(program, asked, known, is_mention and not asked.options.keys() - {""})
    return asked


def _faults(program, asked, known, is_bare):
    where = f"{program} {asked.command}"
    for name, values in asked.options.items():
        option = known.get(name, {"flag": True})
        if option.get("flag") and values:
            yield f"{where}: nothing takes {' '.join(values)}"
        elif not option.get("flag") and (not values or len(values) > 1 and not option.get("many")):
            # The SAM CLI takes these apart itself.
            if name not in ("--parameter-overrides", "--tags", "--capabilities") or not values:
                yield f"{where}: {name} takes one value, not {len(values)}"
        for value in values if "choices" in option else ():
            if value not in option["choices"]:
                yield f"{where}: {name} {value} is not one of {', '.join(option['choices'])}"
    for option in () if is_bare else _KNOWN[program]["commands"][asked.command]:
        if option.get("required") and longest(option) not in asked.options:
            yield f"{where}: {longest(option)} is missing"
