"""Commands of this project: `leads`, read by its own parser, and `cargo` with the names of packages and tests."""

import argparse
import functools
import json
import re
import shlex
import sys
from unittest import mock

from checks.commands.bodies import routes_faults
from checks.samconfig import override_faults, tomllib
from checks.samconfig_values import regions
from sources import WORKSPACE

sys.path.append(str(WORKSPACE / "infra/leads"))

from leads import arguments as leads_arguments  # noqa: E402

# Subcommands of Cargo itself, and those of tools that docs/dependencies.md installs.
_CARGO = {"bench", "build", "check", "clippy", "doc", "fmt", "install", "run", "test", "update"}
_CARGO_TOOLS = {"cyclonedx", "deny", "fuzz", "lambda", "machete"}

# The options of Cargo that documents may use, and whether a value follows.
_CARGO_OPTIONS = {
    "--all-targets": False,
    "--bin": True,
    "--lib": False,
    "--locked": False,
    "--package": True,
    "--profile": True,
    "--release": False,
    "--root": True,
    "--test": True,
    "--workspace": False,
}


class _Refused(Exception):
    """What the parser says."""


def leads_faults(given, is_mention, parameters):
    """What `leads` does not take. A mention is a command in a sentence, which may lack what has to follow."""

    def refuse(self, message):
        raise _Refused(message)

    where = f"leads {' '.join(given)}"
    with (
        mock.patch.object(argparse.ArgumentParser, "error", refuse),
        mock.patch.object(argparse.ArgumentParser, "print_help", lambda self: None),
    ):
        try:
            parsed = _leads_parser().parse_args(list(given))
        except _Refused as refused:
            if not (is_mention and "the following arguments are required" in str(refused)):
                yield f"{where}: {refused}"
            return
        except SystemExit:
            return  # It shows its help.
    for name in _abbreviated(given):
        yield f"{where}: {name} is the beginning of an option"
    for setting in [*(getattr(parsed, "set", None) or ()), *getattr(parsed, "values", ())]:
        if is_mention and setting == "Name=value":
            continue  # It stands for any setting.
        name, _, value = setting.partition("=")
        for fault in override_faults(shlex.join([f"{name}={value}"]), parameters):
            yield f"{where}: {fault}"
    yield from (f"{where}: {fault}" for fault in _value_faults(vars(parsed), parameters))


def _value_faults(given, parameters):
    """What is wrong with values that have a form, in a command or in the stack."""
    for option, parameter in [("time_zone", "TimeZone"), ("mail_to", "MailTo"), ("mail_from", "MailFrom")]:
        if given.get(option):
            yield from override_faults(shlex.join([f"{parameter}={given[option]}"]), parameters)
    if given.get("region") not in (None, "word") and given["region"] not in regions():
        yield f"no region with Lambda is called {given['region']}"
    if "cadence" in given:
        fields = {name: name for name in ("id", "to", "cadence", "window", "zone")} | {"action": "actions", "offer": "offers"}
        route = {field: given[name] for name, field in fields.items() if given.get(name)}
        yield from routes_faults(json.dumps([route]), parameters)


@functools.cache
def _leads_parser():
    return leads_arguments.parser()


def _abbreviated(given):
    """The options that argparse would complete."""
    known, parsers = set(), [_leads_parser()]
    while parsers:
        for action in parsers.pop()._actions:
            known.update(action.option_strings)
            if isinstance(action.choices, dict):
                parsers += action.choices.values()
    return [word for word in given if word.startswith("--") and word.partition("=")[0] not in known]


def cargo_faults(given):
    """What Cargo does not know: a command, a package, a test of a package."""
    where = f"cargo {' '.join(given)}"
    command, *given = given
    aliases = tomllib.loads((WORKSPACE / ".cargo/config.toml").read_text("utf-8"))["alias"]
    if command in aliases:
        yield from _own_options(where, aliases[command], given)
        return
    if command in _CARGO_TOOLS:
        return
    if command not in _CARGO:
        yield f"{where}: there is no command {command}"
        return
    packages, asked = _packages(), {}
    given = given[: given.index("--")] if "--" in given else given
    while given:
        word = given.pop(0)
        name = {"-p": "--package"}.get(word, word)
        if name.startswith("-") and name not in _CARGO_OPTIONS:
            yield f"{where}: no option {word} is known"
        elif _CARGO_OPTIONS.get(name):
            asked[name] = given.pop(0) if given else ""
    package = asked.get("--package")
    if package and package not in packages:
        yield f"{where}: there is no package {package}"
    elif package and "--test" in asked:
        folder, test = packages[package] / "tests", asked["--test"]
        declared = re.findall(
            r'\[\[test\]\]\s*name = "([\w-]+)"', (packages[package] / "Cargo.toml").read_text("utf-8")
        )
        if not ((folder / f"{test}.rs").is_file() or (folder / test / "main.rs").is_file() or test in declared):
            yield f"{where}: {package} has no test {test}"


def _own_options(where, alias, given):
    """Options that no source of the package of an alias names, as clap would: `--keep-going` is the field `keep_going`."""
    package = re.search(r"--package (\S+)", alias)[1]
    texts = [path.read_text("utf-8") for path in (_packages()[package] / "src").rglob("*.rs")]
    for word in given:
        name = word.partition("=")[0][2:]
        if word.startswith("--") and not any(
            re.search(rf"\b{name.replace('-', '_')}: |\"(--)?{re.escape(name)}\"", text) for text in texts
        ):
            yield f"{where}: {package} has no option {word}"


@functools.cache
def _packages():
    """The folder of each package of the workspace."""
    members = tomllib.loads((WORKSPACE / "Cargo.toml").read_text("utf-8"))["workspace"]["members"]
    folders = [path for member in members for path in WORKSPACE.glob(member) if (path / "Cargo.toml").is_file()]
    folders += [path.parent for path in WORKSPACE.glob("tests/*/Cargo.toml")]
    return {tomllib.loads((path / "Cargo.toml").read_text("utf-8"))["package"]["name"]: path for path in folders}
