"""Routes: who gets the leads of which offers and actions, where and when. JSON in one SSM parameter.

The notifier reads it again every five minutes, so that a change needs no deployment.
"""

import json
import re

from . import parameters
from .looking import validated
from .settings import apply, remember
from .words import Problem, count, listed

SETTING = "RoutesParameter"
ID = re.compile(r"[a-z0-9-]{1,32}")


def parameter_name(session):
    """The parameter's name and whether the stack knows it already."""
    values = session.stack.parameters()
    if SETTING not in values:
        raise Problem(
            "this version of the stack keeps its routes in a setting of its own, not in a parameter",
            "Bring it up to date first: leads update.",
        )
    if values[SETTING]:
        return values[SETTING], True
    folder = values["StorageConnectionStringParameter"].rpartition("/")[0]
    return f"{folder}/routes", False


def read(session):
    """The parameter's name, its text (None if there is none), and the routes in it."""
    name, _ = parameter_name(session)
    text = parameters.read(session, name)
    try:
        routes = json.loads(text or "[]")
    except ValueError:
        routes = None
    if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        raise Problem(
            f"the parameter {name} holds something else than a JSON array of routes", "Correct it in the SSM console."
        )
    return name, text, routes


def title(route):
    return route.get("id") or route.get("name") or "without an id"


def line(route):
    parts = [f"{title(route)}: to {listed(route.get('to', []))}"]
    if route.get("offers"):
        parts.append(f"offers {listed(route['offers'])}")
    if route.get("actions"):
        parts.append(f"actions {listed(route['actions'])}")
    parts += [f"{name} {route[name]}" for name in ("summary", "cadence", "window", "zone") if route.get(name)]
    if route.get("urgentAtOnce") is False:
        parts.append("urgent leads wait, too")
    if route.get("doNotContact") == "drop":
        parts.append("without leads that must not be contacted")
    return "; ".join(parts)


def show(session):
    name, _, routes = read(session)
    lines = [line(route) for route in routes] or ["There are no routes: MailTo gets every lead."]
    session.screen.result({"parameter": name, "routes": routes}, lines)
    return 0


def add(session):
    options = session.options
    if not ID.fullmatch(options.id) or options.id == "default":
        raise Problem(f"{options.id} is no id of a route", "1 to 32 of a-z, 0-9 and hyphens, and not `default`.")
    route = {"id": options.id}
    for field, value in (
        ("name", options.name),
        ("offers", options.offer),
        ("actions", options.action),
        ("to", options.to),
        ("cadence", options.cadence),
        ("window", options.window),
        ("zone", options.zone),
        ("summary", options.summary),
    ):
        if value:
            route[field] = value
    if options.urgent_waits:
        route["urgentAtOnce"] = False
    if options.drop_do_not_contact:
        route["doNotContact"] = "drop"
    name, text, routes = read(session)
    others = [other for other in routes if other.get("id") != options.id]
    replaced = len(others) != len(routes)
    if replaced and not session.screen.confirm(f"There is a route {options.id} already. Replace it?"):
        session.screen.result({"routes": routes}, ["Nothing was changed."])
        return 1
    place = [other.get("id") for other in routes].index(options.id) if replaced else len(others)
    return keep(session, name, text, others[:place] + [route] + others[place:], f"The route {line(route)}")


def remove(session):
    name, text, routes = read(session)
    others = [route for route in routes if title(route) != session.options.id]
    if len(others) == len(routes):
        raise Problem(f"there is no route {session.options.id}", "leads route list shows those that there are.")
    return keep(
        session, name, text, others, f"Removed the route {session.options.id}. What waits for it goes to MailTo"
    )


def keep(session, name, before, routes, said):
    """Writes the routes, has validation look at them, and puts the old ones back where they are wrong."""
    text = json.dumps(routes, ensure_ascii=False)
    if len(text.encode()) > 8192:
        raise Problem(
            f"the routes are too long: {len(text.encode())} bytes, and SSM takes 8192",
            "Put several addresses into a list of your mail server.",
        )
    _, is_known = parameter_name(session)
    parameters.write(session, name, text, "String")
    if not is_known:
        changed = apply(session, {SETTING: name})
        if changed is None:
            session.screen.result(
                {"routes": routes},
                [f"The routes are in {name}, and the stack does not read them: nothing else was changed."],
            )
            return 1
        remember(session, {SETTING: name})
    if not validated(session, ["settings"]):
        put_back(session, name, before)
        raise Problem(
            "validation does not take these routes, and those of before are in place again",
            "Correct what the report names.",
        )
    session.screen.result(
        {"parameter": name, "routes": routes},
        [f"{said}. The notifier reads this within five minutes; {count(len(routes), 'route')} in all."],
    )
    return 0


def put_back(session, name, before):
    """The routes of before. Without any, an empty list: a parameter that is not there raises an alarm."""
    parameters.write(session, name, before or "[]", "String")


def moved(session, values, declared):
    """Routes of a stack that kept them in a setting of its own go into the parameter. Gives the setting that names it."""
    old = values.get("Routes", "[]")
    if SETTING not in declared or SETTING in values or old.strip() in ("", "[]"):
        return {}
    name = values["StorageConnectionStringParameter"].rpartition("/")[0] + "/routes"
    if parameters.read(session, name) is None:
        parameters.write(session, name, old, "String")
    session.screen.say(f"The routes of the setting Routes are in the parameter {name} now.")
    return {SETTING: name}
