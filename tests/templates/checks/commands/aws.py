"""Commands of the AWS CLI, read by the AWS CLI itself: it parses the command line and makes the request of it, which is
then held against the service's model and not sent."""

import contextlib
import difflib
import functools
import io
import itertools
import os
import re
from dataclasses import dataclass, field
from unittest import mock

import awscli.clidriver
from awscli.customizations.waiters import WaiterCaller
from botocore.validate import ParamValidator

from checks.commands.query import few, query_faults

# What the AWS CLI 2 has beside the one from PyPI, which is the AWS CLI 1.
#
# <https://docs.aws.amazon.com/cli/latest/reference/>
_NEWER = {
    "login": {"--remote": None},
    "sso login": {"--no-browser": None, "--sso-session": "", "--use-device-code": None},
    "configure export-credentials": {"--format": "process|env|env-no-export|powershell|windows-cmd|fish"},
    "logs tail": {
        "--filter-pattern": "",
        "--follow": None,
        "--format": "detailed|short|json",
        "--log-stream-name-prefix": "",
        "--log-stream-names": "",
        "--since": r"\d+[smhdw]|\d{4}-\d\d-\d\d.*",
    },
}
_BINARY_FORMATS = ("base64", "raw-in-base64-out")


class _Read(BaseException):
    """Thrown in place of sending a request. The CLI catches every `Exception`."""


@dataclass
class Request:
    """What a command asks for: `parameters` by the names of the API, `options` as the CLI took them for itself."""

    service: str = ""
    operation: str = ""
    parameters: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)


@functools.lru_cache(maxsize=1024)
def read(arguments, is_mention):
    """The request of a command, with what is wrong with it. A mention is a command in a sentence, which may lack what has
    to follow."""
    request, left = Request(), []
    arguments = list(arguments)
    while arguments:
        word = arguments.pop(0)
        if word == "--cli-binary-format":
            request.options["cli_binary_format"] = form = arguments.pop(0) if arguments else ""
            if form not in _BINARY_FORMATS:
                request.faults.append(f"--cli-binary-format {form} is not one of {', '.join(_BINARY_FORMATS)}")
        else:
            left.append(word)
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), left))
    newer = next((command for command in _NEWER if f"{' '.join(words)} ".startswith(f"{command} ")), None)
    if newer:
        given = left[len(newer.split()) :]
        request.service, _, request.operation = newer.partition(" ")
        request.parameters = {"words": given}
        request.faults += _newer_faults(newer, list(given))
        return request
    try:
        asked, options = command(left, is_mention)
    except LookupError as unknown:
        request.faults.append(unknown.args[0])
        return request
    unknown = [word for word in left if word.startswith("--") and word.partition("=")[0] not in options]
    request.faults += [f"aws {' '.join(left)}: there is no option {word}" for word in unknown]
    is_operation = isinstance(asked, awscli.clidriver.ServiceOperation)
    if is_operation and not unknown and not (is_mention and left == words):
        _ask(request, left)
    return request


def _newer_faults(command, given):
    while given:
        word = given.pop(0)
        if not word.startswith("-"):
            continue
        if word not in _NEWER[command]:
            yield f"aws {command}: there is no option {word}"
        elif (form := _NEWER[command][word]) is not None:
            value = given.pop(0) if given else ""
            if form and not re.fullmatch(form, value):
                yield f"aws {command}: {word} {value}: it takes {form}"


@functools.cache
def _driver():
    return awscli.clidriver.create_clidriver()


def _nobodys():
    """No configuration of whoever runs this."""
    return mock.patch.dict(os.environ, {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})


def command(words, is_mention):
    """The command that words name, and the options that it knows. The CLI would take the beginning of an option, too."""
    found, table = None, _driver()._get_command_table()
    options = {f"--{name}" for name in _driver()._get_argument_table()}
    words = [word for word in words if not word.startswith("-")]
    while table and (words or not is_mention or found is None):
        word = words.pop(0) if words else "command"
        if word not in table:
            near = difflib.get_close_matches(word, table, 1)
            raise LookupError(f"aws: there is no {word}{', but ' + near[0] if near else ''}")
        found = table[word]
        below = getattr(found, "_get_command_table", None)
        table = below() if below else getattr(found, "subcommand_table", None)
    return found, options | {f"--{name}" for name in getattr(found, "arg_table", {})}


def _ask(request, arguments):
    def stop(_, service_name, operation_name, parameters, parsed_globals):
        request.service, request.operation, request.parameters = service_name, operation_name, parameters
        request.options |= vars(parsed_globals)
        raise _Read

    def stop_waiter(self, service_name, _, parameters, parsed_globals):
        waiter = _driver().session.get_waiter_model(service_name).get_waiter(self._waiter_name)
        stop(self, service_name, waiter.operation, parameters, parsed_globals)

    said = io.StringIO()
    with (
        _nobodys(),
        mock.patch.object(awscli.clidriver.CLIOperationCaller, "invoke", stop),
        mock.patch.object(WaiterCaller, "invoke", stop_waiter),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
    ):
        try:
            _driver().main(list(arguments))
        except (_Read, SystemExit):
            pass
    if not request.operation:
        # The last line says what is wrong, above it is how to use the command.
        lines = [line for line in said.getvalue().splitlines() if line.strip() and "usage:" not in line]
        told = next(
            (line for line in lines if re.search(r"error|Unknown|Error|Invalid|invalid", line)), *lines[-1:] or ["?"]
        )
        request.faults.append(f"aws {' '.join(arguments)}: {told}")
        return
    request.faults += _against_model(request)


def _against_model(request):
    session = _driver().session
    operation = session.get_service_model(request.service).operation_model(request.operation)
    what = f"{request.service} {request.operation}"
    report = ParamValidator().validate(request.parameters, operation.input_shape) if operation.input_shape else None
    if report and report.has_errors():
        yield f"{what}: {report.generate_report()}"
    for name, value in request.parameters.items():
        if name in operation.input_shape.members:
            yield from _value_faults(f"{what}: {name}", value, operation.input_shape.members[name])
    query = request.options.get("query")
    if query is not None:
        for fault in query_faults(query.expression if hasattr(query, "expression") else query, operation.output_shape):
            yield f"{what}: {fault}"
    region = request.options.get("region")
    if region and region not in session.get_available_regions(request.service):
        yield f"{what}: --region {region} is none in which this service is"


def _value_faults(where, value, shape):
    """What botocore's validation leaves to the service: enumerations and patterns."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from _value_faults(f"{where}.{name}", inner, shape.members[name])
    elif shape.type_name == "list" and isinstance(value, list):
        for inner in value:
            yield from _value_faults(where, inner, shape.member)
    elif shape.type_name == "string" and isinstance(value, str):
        if getattr(shape, "enum", None) and value not in shape.enum:
            yield f"{where}: {value} is not one of {few(shape.enum)}"
        pattern = shape.metadata.get("pattern")
        if pattern and not _fits(pattern, value):
            yield f"{where}: {value} is not of the form {pattern}"
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{where}: it has more than {shape.metadata['max']} characters"


def _fits(pattern, value):
    try:
        return re.fullmatch(pattern, value)
    except re.error:
        return True  # A pattern of another language than Python's.
