"""Destinations beside mail: webhooks, Teams, Slack. Each is one SecureString with JSON, below a prefix that the stack
knows.

Addresses and keys are secrets: they are asked for or read from standard input, and never printed but for a new signing
key.
"""

import base64
import json
import re
import secrets
import urllib.parse

from . import parameters, routes
from .looking import report
from .words import Problem, count, listed

SETTING = "DestinationsPrefix"
NAME = re.compile(r"[a-z0-9-]{1,32}")


def prefix(session):
    found = session.stack.parameters().get(SETTING)
    if not found:
        raise Problem(
            "this version of the stack knows no destinations beside mail", "Bring it up to date first: leads update."
        )
    return found


def check_url(url):
    """The address, which must be https with a host's name. The error shows nothing of it: it is a secret."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_right = (
            parts.scheme == "https"
            and bool(parts.hostname)
            and "." in parts.hostname
            and not re.fullmatch(r"[\d.]+|.*:.*", parts.hostname)
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise Problem("this is no https address with the name of a host", "Copy the whole address again.")
    return url


def users(session, name):
    """The routes that name a destination."""
    return [routes.title(route) for route in routes.read(session)[2] if name in route.get("to", [])]


def show(session):
    start = prefix(session)
    found = []
    for parameter in parameters.below(session, start):
        value = json.loads(parameters.read(session, parameter) or "{}")
        name = parameter[len(start) :]
        found.append({"name": name, "kind": value.get("kind", "unknown"), "routes": users(session, name)})
    lines = [
        f"{d['name']}: {d['kind']}, {'used by the route ' + listed(d['routes']) if d['routes'] else 'used by no route'}"
        for d in found
    ]
    session.screen.result({"destinations": found}, lines or ["There are no destinations beside mail."])
    return 0


def add(session):
    options, screen = session.options, session.screen
    if not NAME.fullmatch(options.name) or options.name == "mail":
        raise Problem(f"{options.name} is no name of a destination", "1 to 32 of a-z, 0-9 and hyphens, and not `mail`.")
    parameter = prefix(session) + options.name
    if parameters.read(session, parameter) is not None and not screen.confirm(
        f"There is a destination {options.name} already. Replace it?"
    ):
        screen.result({}, ["Nothing was changed."])
        return 1
    value = {"kind": options.kind, "url": check_url(screen.secret(f"The address of the {options.kind} destination"))}
    lines = []
    if options.kind == "webhook":
        key = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        value["secrets"] = [key]
        lines = [
            (
                "Give the receiver this key, with which it verifies the signatures (Standard Webhooks). It is shown"
                " only now:"
            ),
            f"  {key}",
        ]
        if options.header:
            value["header"] = {
                "name": options.header,
                "value": screen.secret(f"The value of the header {options.header}"),
            }
    elif options.header:
        raise Problem("only a webhook has a header", "Leave --header out.")
    parameters.write(session, parameter, json.dumps(value))
    result = {"name": options.name, "kind": options.kind}
    if "secrets" in value:
        result["secret"] = value["secrets"][0]
    screen.result(
        result,
        [
            f"The destination {options.name} is kept. Name it in a route: leads route add --id {options.name} --to"
            f" {options.name}"
        ]
        + lines,
    )
    return 0


def test(session):
    """Sends a test lead to every destination that a route names; validation does it, and mails one to MailTo as
    well.
    """
    name = session.options.name
    if name and not users(session, name):
        raise Problem(
            f"no route names {name}, so that nothing is sent to it", f"leads route add --id {name} --to {name}"
        )
    # One that cannot be reached is but warned of: it may be there again with the next attempt.
    return report(session, {"checks": ["destinations", "mail"], "send": True}, "destinations")


def remove(session):
    name = session.options.name
    used = users(session, name)
    if used:
        raise Problem(
            (
                f"{count(len(used), 'route')} still named {name}: {listed(used)}"
                if len(used) > 1
                else f"the route {used[0]} names {name}"
            ),
            "Change or remove the route first; what waits for this destination goes to MailTo then.",
        )
    if not parameters.remove(session, [prefix(session) + name]):
        raise Problem(f"there is no destination {name}", "leads destination list shows those that there are.")
    session.screen.result({"removed": name}, [f"Removed the destination {name}."])
    return 0
