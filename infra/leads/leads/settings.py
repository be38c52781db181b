"""The stack's parameters: showing them, and changing one while all others stay."""

import shlex

from .functions import FunctionFailed
from .looking import link_to_open, validated
from .notifier import tell
from .words import Problem, count

# How a change is shown: what CloudFormation calls it, and what that means.
ACTIONS = {"Add": "make", "Modify": "change", "Remove": "remove", "Import": "take over", "Dynamic": "perhaps change"}


def shown_changes(changes):
    """The resources that a change set touches, in lines."""
    lines = []
    for change in changes:
        replaced = " (replaced by a new one)" if change.get("Replacement") == "True" else ""
        lines.append(
            f"  {ACTIONS.get(change['Action'], change['Action'])} {change['LogicalResourceId']},"
            f" {change['ResourceType']}{replaced}"
        )
    return lines


def apply(session, values, template_url=None, declared=None, question="Do this?"):
    """Proposes values and template, shows what would change, asks, and does it. Gives whether anything was changed,
    or None where the answer was no.
    """
    stack, screen = session.stack, session.screen
    change_set, changes = stack.propose(values, template_url, declared)
    if change_set is None:
        return False
    screen.say(f"This changes {count(len(changes), 'resource')} of the stack {stack.name}:")
    for line in shown_changes(changes):
        screen.say(line)
    if not screen.confirm(question):
        stack.discard(change_set)
        return None
    screen.say("Changing it; this takes some minutes …")
    stack.execute(change_set)
    return True


def get(session):
    """All settings with what they mean, or the value of one."""
    values, declared = session.stack.parameters(), session.stack.declared()
    wanted = session.options.name
    if wanted:
        check_name(wanted, values)
        session.screen.result({wanted: values[wanted]}, [values[wanted]])
        return 0
    lines = []
    for name in sorted(values):
        default = declared.get(name, {}).get("DefaultValue")
        is_default = "" if default is None or default != values[name] else "   (default)"
        lines += [f"{name} = {values[name]}{is_default}", f"    {declared.get(name, {}).get('Description', '')}"]
    session.screen.result(values, lines)
    return 0


def check_name(name, known):
    if name not in known:
        near = [other for other in known if other.lower() == name.lower()]
        raise Problem(
            f"there is no setting {name}", f"Did you mean {near[0]}?" if near else "leads settings get lists all."
        )


def pairs(texts):
    """`Name=value` as a dictionary. A value may hold spaces, brackets and further equals signs."""
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise Problem(
                f"{text} is no setting with a value", "Say it as Name=value, for instance IntervalMinutes=15."
            )
        found[name] = value
    return found


def change(session):
    """Changes the settings that were named. Everything else keeps its value, also after later changes."""
    values, known = pairs(session.options.values), session.stack.parameters()
    for name in values:
        check_name(name, known)
    before = {name: known[name] for name in values}
    if before == values:
        session.screen.result({"changed": {}}, ["These settings have these values already; nothing was changed."])
        return 0
    question = "Do this?"
    if values.get("HttpsIntake") == "off" and before["HttpsIntake"] == "on":
        question = "Do this? What an offer in Partner Center still sends to the HTTPS endpoint is lost then."
    changed = apply(session, values, question=question)
    if changed is None:
        session.screen.result({"changed": {}}, ["Nothing was changed."])
        return 1
    remember(session, values)
    lines = [f"{name} is {values[name]} now; it was {before[name] or 'empty'}." for name in values]
    try:
        is_right = not changed or is_taken(session)
    except Problem as problem:
        message = f"the settings are changed; whether the functions work with them is not known: {problem.message}"
        raise Problem(message, problem.cure, problem.code)
    if not is_right:
        return put_back(session, values, before, lines)
    if values.get("AlarmEmail"):
        lines += link_to_open(session)
    session.screen.result({"changed": values, "before": before}, lines)
    return 0


def is_taken(session):
    """Whether the functions work with the stack's settings. Validation does not look at all of them: the notifier says
    itself whether it starts.
    """
    session.screen.say("Validation:")
    ok = validated(session, ["settings"])
    try:
        tell(session, "history", last=1)
    except FunctionFailed as failed:
        # Lambda's own names begin so, where a function did not start.
        if str(failed.code).startswith("Runtime."):
            session.screen.warn(failed.text())
            return False
    return ok


def put_back(session, values, before, lines):
    """Values that the functions do not work with: those of before come back, if the answer is yes."""
    screen = session.screen
    question = "The functions do not work with this, and perhaps nothing is mailed. Put back what was before?"
    if not screen.confirm(question):
        given = " ".join(shlex.quote(f"{name}={value}") for name, value in before.items())
        lines.append(f"This puts back what was before: leads settings set {given}")
        screen.result({"changed": values, "before": before, "ok": False}, lines)
        return 1
    change_set, _ = session.stack.propose(before)
    if change_set:
        screen.say("Putting it back; this takes some minutes …")
        session.stack.execute(change_set)
    remember(session, before)
    lines = ["The values of before are in place again. Correct what the report names."]
    screen.result({"changed": {}, "before": before, "ok": False}, lines)
    return 1


def remember(session, values):
    """Keeps changed values in the answers, so that a later setup does not ask for the old ones back."""
    if session.answers.exists():
        session.answers.save(parameters=dict(session.answers.get("parameters", {}), **values))
