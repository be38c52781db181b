"""Writes `programs.json`: the commands of the Azure CLI and the SAM CLI that documents and tests use, with their options.

Each CLI says it itself, so this needs both, which are large and want other libraries than the checks do:

    pip install azure-cli aws-sam-cli       # each in an environment of its own, or one after the other
    python tests/templates/programs.py

A CLI that is not installed keeps what the file says of it. An option has `names`, and where they are so: `required`,
`choices`, `flag` (it takes no value), `many` (it takes several)."""

import contextlib
import importlib
import importlib.metadata
import io
import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")

AZ = [
    "account show",
    "cloud show",
    "deployment group create",
    "deployment group show",
    "group create",
    "group delete",
    "login",
    "storage account generate-sas",
    "storage account keys list",
    "storage account keys renew",
    "storage account show-connection-string",
    "storage entity delete",
]
SAM = ["build", "delete", "deploy", "validate"]


def option(names, required, choices, flag, many):
    found = {"names": sorted(names)}
    if required:
        found["required"] = True
    if choices:
        found["choices"] = sorted(map(str, choices))
    if flag:
        found["flag"] = True
    if many:
        found["many"] = True
    return found


def az():
    core = importlib.import_module("azure.cli.core")
    commands = {}
    for command in AZ:
        cli = core.get_default_cli()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            cli.invoke([*command.split(), "--help"])
        parser = leaf(cli.invocation.parser, command)
        commands[command] = [
            option(
                action.option_strings,
                action.required,
                action.choices,
                action.nargs == 0,
                action.nargs in ("+", "*") or type(action).__name__ == "_AppendAction",
            )
            for action in parser._actions
            if action.option_strings
        ]
    return commands


def leaf(parser, command):
    """The parser of one command below that of the program."""
    for word in command.split():
        below = next(
            action for action in parser._actions if isinstance(action.choices, dict) and word in action.choices
        )
        parser = below.choices[word]
    return parser


def sam():
    main = importlib.import_module("samcli.cli.main").cli
    click = importlib.import_module("click")
    context = click.Context(main, obj=True)
    commands = {}
    for command in SAM:
        parameters = main.get_command(context, command).params
        commands[command] = [
            option(
                it.opts + it.secondary_opts,
                it.required,
                getattr(it.type, "choices", None),
                it.is_flag,
                it.multiple or it.nargs != 1,
            )
            for it in parameters
            if isinstance(it, click.Option)
        ]
    return commands


def text(known):
    """The file, one option a line."""
    programs = []
    for program, it in sorted(known.items()):
        commands = []
        for command, options in sorted(it["commands"].items()):
            lines = [f"    {json.dumps(option)}" for option in options if option["names"]]
            commands.append(f"   {json.dumps(command)}: [\n" + ",\n".join(lines) + "\n   ]")
        inner = ",\n".join(commands)
        programs.append(
            f' {json.dumps(program)}: {{\n  "from": {json.dumps(it["from"])},\n  "commands": {{\n{inner}\n  }}\n }}'
        )
    return "{\n" + ",\n".join(programs) + "\n}\n"


if __name__ == "__main__":
    known = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for program, package, ask in [("az", "azure-cli", az), ("sam", "aws-sam-cli", sam)]:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        known[program] = {"from": f"{package} {version}", "commands": ask()}
    FILE.write_text(text(known), "utf-8")
