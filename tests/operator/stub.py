"""Stands for `aws` and `az` in the tests: records each call, and answers from a table of rules.

`rules.json` has a list of {"call": "service operation", "answer": …}. A rule may have "when" (fields that the request
must have), "error" (what the CLI prints before it fails), "payload" (what a function answers), and "times" (after so
many calls the next rule for the same call counts). Every call is appended to `calls.jsonl`.
"""

import fcntl
import json
import os
import stat
import sys


def value_of(arguments, option):
    return arguments[arguments.index(option) + 1] if option in arguments else None


def content(address):
    """Of `file://` or `fileb://`: the text, and the file's mode."""
    if address is None:
        return None, None
    path = address.partition("://")[2]
    with open(path, encoding="utf-8") as file:
        return file.read(), stat.S_IMODE(os.stat(path).st_mode)


def operation_of(arguments):
    """The words of the command without options before them and their values."""
    words, at = [], 0
    while at < len(arguments):
        if arguments[at] in ("--region", "--profile", "--endpoint-url", "--output"):
            at += 2
        elif arguments[at].startswith("--"):
            if not words:
                return arguments[at]
            break
        else:
            words.append(arguments[at])
            at += 1
    return " ".join(words)


def is_part(wanted, found):
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and is_part(value, found[name]) for name, value in wanted.items()
        )
    return wanted == found


def answer(folder, program, arguments, environment):
    """Exit status, standard output and standard error of one call."""
    request, request_mode = content(value_of(arguments, "--cli-input-json"))
    payload, payload_mode = content(value_of(arguments, "--payload"))
    body = value_of(arguments, "--body")
    call = {
        "program": program,
        "arguments": arguments,
        "operation": operation_of(arguments),
        "request": json.loads(request) if request else {},
        "payload": json.loads(payload) if payload else None,
        "modes": [mode for mode in (request_mode, payload_mode) if mode is not None],
        "attempts": environment.get("AWS_MAX_ATTEMPTS"),
        "body": content(f"file://{body}")[0] if body else None,
    }
    with open(os.path.join(folder, "rules.json"), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with open(os.path.join(folder, "calls.jsonl"), "a", encoding="utf-8") as calls:
            calls.write(json.dumps(call) + "\n")
        rules = json.load(file)
        seen = {
            "payload": call["payload"],
            "--function-name": value_of(arguments, "--function-name"),
            **call["request"],
        }
        for rule in rules:
            fits = rule["call"] == call["operation"] and is_part(rule.get("when", {}), seen)
            if fits and rule.get("times", 1) > 0:
                break
        else:
            return 99, "", f"the stub has no rule for {program} {call['operation']} {json.dumps(seen)}\n"
        if "times" in rule:
            rule["times"] -= 1
            file.seek(0)
            file.truncate()
            json.dump(rules, file)
    if "error" in rule:
        return 254, "", rule["error"]
    if "payload" in rule:
        with open(arguments[-1], "w", encoding="utf-8") as file:
            json.dump(rule["payload"], file)
    said = rule.get("answer", {})
    return 0, said if isinstance(said, str) else json.dumps(said), ""


if __name__ == "__main__":
    status, out, err = answer(os.environ["STUB_FOLDER"], os.path.basename(sys.argv[0]), sys.argv[1:], os.environ)
    sys.stdout.write(out)
    sys.stderr.write(err)
    sys.exit(status)
