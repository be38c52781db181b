"""What commands send: routes, destinations, leads, and the addresses and filters of `curl` and `jq`."""

import functools
import json
import re
import urllib.parse
import zoneinfo

from checks.housekeeping import value_fault
from sources import WORKSPACE

_DAYS = r"(mon|tue|wed|thu|fri|sat|sun)"
_ON = rf"( on {_DAYS}(-{_DAYS})?(, ?{_DAYS}(-{_DAYS})?)*)?"
_TIME = r"([01]\d|2[0-3]):[0-5]\d"

# The fields of a route and of a destination, and the form of each text.
#
# docs/settings.md and docs/destinations.md say what they mean; a test holds the first against the code.
_ROUTE = {
    "id": r"[a-z0-9-]{1,32}",
    "name": r".+",
    "offers": r".+",
    "actions": r"[A-Za-z]+",
    "to": r"[^@\s]+@[^@\s]+\.[^@\s]+|[a-z0-9-]{1,32}",
    "cadence": rf"immediately|every [1-9]\d{{0,3}} minutes|daily at {_TIME}{_ON}",
    "window": rf"{_TIME}-{_TIME}{_ON}",
    "zone": r"\S+",
    "urgentAtOnce": None,
    "doNotContact": r"drop|mail",
    "summary": rf"weekly( on {_DAYS} at {_TIME})?",
}
_DESTINATION = {
    "kind": r"webhook|teams|slack",
    "url": r"https://[^/\s]+\.[^/\s]+(/\S*)?",
    "secrets": r"whsec_.+",
    "header": None,
}

# What the export and intake read of their addresses. docs/export.md has a table of the first.
_ADDRESS = {
    "code": r".+",
    "format": r"csv|ndjson|json",
    "since": r"\d{4}-\d\d-\d\d(T.*Z)?",
    "until": r"\d{4}-\d\d-\d\d(T.*Z)?",
    "offer": r".+",
    "action": r"\w+",
    "include-tests": r"true|false",
    "preset": r"hubspot|salesforce|dynamics365",
    "whole-table": r"true|false",
    "after": r".+",
}

# The options of `curl` that documents use. <https://curl.se/docs/manpage.html>
_CURL = {"--aws-sigv4", "--fail", "--header", "--json", "--output", "--show-error", "--silent", "--user"}

# The fields of what `lead-validation` answers.
_REPORT = {"ok", "summary", "checks", "report"}


def routes_faults(text, parameters):
    """What is wrong with the routes that an SSM parameter gets."""
    try:
        routes = json.loads(text)
    except ValueError as error:
        yield f"the routes are no JSON: {error}"
        return
    for route in routes:
        yield from _fields("a route", route, _ROUTE)
        if not route.get("to"):
            yield f"a route sends to nobody: {route}"
        if "zone" in route and route["zone"] not in zoneinfo.available_timezones():
            yield f"{route['zone']}: there is no such time zone"
        if "cadence" in route and (fault := value_fault(parameters["Cadence"], route["cadence"])):
            yield f"a route: {fault}"
        if not isinstance(route.get("urgentAtOnce", True), bool):
            yield "a route: urgentAtOnce is neither true nor false"
    ids = [route["id"] for route in routes if "id" in route]
    if len(ids) != len(set(ids)):
        yield "two routes have the same id"


def destination_faults(text):
    """What is wrong with the destination that an SSM parameter gets."""
    try:
        destination = json.loads(text)
    except ValueError as error:
        yield f"the destination is no JSON: {error}"
        return
    yield from _fields("a destination", destination, _DESTINATION)
    if not {"kind", "url"} <= set(destination):
        yield "a destination has a kind and a url"
    if "header" in destination and set(destination["header"]) != {"name", "value"}:
        yield "a header has a name and a value"


def _fields(what, given, known):
    for name, value in given.items():
        if name not in known:
            yield f"{what}: there is no field {name}"
        elif known[name] is not None:
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, str) or not re.fullmatch(known[name], one, re.I if name == "actions" else 0):
                    yield f"{what}: {name} is {one}"


@functools.cache
def _lead_fields():
    """The fields of the leads that were recorded, and the codes of their actions."""
    names, actions = set(), set()
    for name in ("documented", "test-lead", "do-not-contact"):
        lead = json.loads((WORKSPACE / f"tests/fixtures/leads/{name}.json").read_text("utf-8"))
        names |= set(lead) | set(lead["UserDetails"])
        actions.add(lead["ActionCode"])
    return names, actions | {"INS", "PLT", "DNC"}


def curl_faults(arguments):
    """What intake and the export do not know in the arguments of `curl`."""
    for argument in arguments:
        if argument.startswith("-") and argument not in _CURL:
            yield f"curl: no document needs the option {argument}"
        if "?" in argument and not argument.startswith("{"):
            for name, value in urllib.parse.parse_qsl(argument.partition("?")[2], keep_blank_values=True):
                if not re.fullmatch(_ADDRESS.get(name, "(?!)"), value):
                    yield f"curl: nothing reads {name}={value} in the address"
    given = dict(zip(arguments, arguments[1:]))
    signing = given.get("--aws-sigv4")
    if signing is not None and signing != "aws:amz:eu-west-1:lambda":
        yield f"curl: a function URL takes no signature for {signing}"
    if "--header" in given and not re.fullmatch(r"x-amz-security-token: \S+", given["--header"]):
        yield f"curl: AWS reads no header {given['--header']}"
    if "--json" in given:
        try:
            lead = json.loads(given["--json"])
        except ValueError as error:
            yield f"curl: the lead is no JSON: {error}"
            return
        names, actions = _lead_fields()
        for name in [*lead, *lead.get("UserDetails", {})]:
            if name not in names:
                yield f"curl: no lead of Microsoft's has the field {name}"
        if lead.get("ActionCode") not in actions:
            yield f"curl: there is no action {lead.get('ActionCode')}"


def jq_faults(arguments, written):
    """Fields that no answer has, and files that no command has written."""
    words = [word for word in arguments if not word.startswith("-")]
    for name in re.findall(r"\.([a-z_]+)", words[0] if words else ""):
        if name not in _REPORT:
            yield f"jq: no report has the field {name}"
    for file in words[1:]:
        if file not in written:
            yield f"jq: no command has written {file}"
