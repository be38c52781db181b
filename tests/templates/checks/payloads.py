"""The events of invocations by hand, against the commands of the notifier."""

import json


def payload_faults(function, payload, sources):
    """What is wrong with the event of an invocation by hand."""
    try:
        event = json.loads(payload)
    except ValueError:
        yield f"{payload}: the event for {function} is no JSON"
        return
    if function != "lead-notifier":
        return
    fields = sources.facts["commands"].get(event.pop("command", None))
    if fields is None:
        yield f"{payload}: the notifier has no such command"
        return
    for field in sorted(set(event) - {field.rstrip("?") for field in fields}):
        yield f"{payload}: the command has no field {field}"
    for field in sorted({field for field in fields if not field.endswith("?")} - set(event)):
        yield f"{payload}: the command needs the field {field}"
