"""The guide and the operations guide: their commands and names against the templates and the code.

Nothing is run. A POSIX shell has to be able to read every shell block. The functions, parameters, outputs, secrets and
commands that are named have to exist. A command has to wait for as long as the function that it invokes may take."""

import json
import re
import subprocess

from checks.samconfig import faults, tomllib
from checks.view import function_of
from template import parsed

# How long the AWS CLI waits for an answer if nothing else is said, in seconds.
#
# <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html>
_CLI_READ_TIMEOUT = 60

# The parameter for which the guide asks only those who want routes; the template has no default for it.
_ROUTES = "/marketplace-leads/routes"

# Names in the guide that look like parameters or outputs of the template and are something else.
_OTHER_NAMES = {"CodeUri", "DefaultEndpointsProtocol", "InProgress", "ScheduleExpression"}


def guide(sources):
    """What is wrong with `infra/by-hand.md`."""
    text = sources.guide
    template, arm = parsed(sources.aws), json.loads(sources.azure)
    yield from shell_faults(text, sources, template)
    for file in re.findall(r"--template-file (\S+)", text):
        if not (sources.root / file).is_file():
            yield f"{file}: there is no such template"
    for output in re.findall(r"properties\.outputs\.(\w+)", text):
        if output not in arm["outputs"]:
            yield f"{output}: the ARM template has no such output"
    for name in re.findall(r"az deployment group create.*?--parameters (\w+)=", _joined(text), re.S):
        if name not in arm["parameters"]:
            yield f"{name}: the ARM template has no such parameter"
    if "--parameter-overrides" in text:
        yield "a value on the command line is undone by the next deployment, which takes the saved ones"
    for block in _blocks(text, "toml"):
        try:
            yield from faults(tomllib.loads(block), sources)
        except tomllib.TOMLDecodeError as error:
            yield f"no TOML: {error}"
    known = set(template["Parameters"]) | set(template["Outputs"]) | _OTHER_NAMES
    for name in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-zA-Z]*)+)(?:=[^`]*)?`", text):
        if name not in known:
            yield f"{name}: the template has no such parameter or output"
    secrets = {
        template["Parameters"][f"{name}Parameter"]["Default"] for name in ("StorageConnectionString", "IntakeKeys")
    } | {_ROUTES}
    used = set(re.findall(r"(?<![\w=])/marketplace-leads/[\w-]+", "".join(_blocks(text, "sh"))))
    for name in sorted(used ^ secrets):
        yield f"{name}: the secret is only in the guide or only in the template"
    for names, body in re.findall(r"for name in ([^;]+); do(.*?)done", text, re.S):
        if "lead-$name" in body and {f"lead-{name}" for name in names.split()} != set(sources.facts["functions"]):
            yield f"the functions that start afresh are {names}"


def costs(sources):
    """What is wrong with `docs/costs.md`: the metrics and alarms of the bill. The dashboard shows every metric that the
    functions emit, by its dimensions."""
    shown = len(set(re.findall(r'\["MarketplaceLeads", (.*?)(?:, \{"|\])', sources.aws)))
    resources = parsed(sources.aws)["Resources"].values()
    alarms = sum(resource["Type"] == "AWS::CloudWatch::Alarm" for resource in resources)
    text = sources.documents.get("docs/costs.md")
    if text is not None and f"| {shown} metrics, {alarms} alarms" not in text:
        yield f"docs/costs.md: the costs are not those of {shown} metrics and {alarms} alarms"


def commands(sources):
    """What is wrong with `docs/operations.md`."""
    text = sources.operations
    template = parsed(sources.aws)
    yield from shell_faults(text, sources, template)
    for command in sources.facts["commands"]:
        if not re.search(rf"^### .*`{command}`", text, re.M):
            yield f"there is no section for the notifier's command {command}"
        if f'{{"command":"{command}"' not in text:
            yield f"there is no example of the notifier's command {command}"
    for example in re.findall(r"^\$ notifier '([^']*)'\n\{\n  \"(\w+)", text, re.M):
        # One example shows what a command that does not exist is answered with.
        if example[1] != "errorMessage":
            yield from payload_faults("lead-notifier", example[0], sources)
    for title in re.findall(r'"title": "([^"]+)"', sources.aws):
        if f"| *{title}* |" not in text:
            yield f"the dashboard's graph {title} is not described"
    for output in re.findall(r"<([A-Z]\w+Url)>", text):
        if output not in template["Outputs"]:
            yield f"{output}: the template has no such output"


def _blocks(text, language):
    """The code blocks of a language."""
    for indent, body in re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.M | re.S):
        yield re.sub(f"^{indent}", "", body, flags=re.M)


def _joined(text):
    """A text whose lines that end in a backslash are joined with the next."""
    return re.sub(r"\\\n\s*", "", text)


def shell_faults(text, sources, template):
    """What is wrong with the shell blocks of a document: commands that no shell can read, names that do not exist."""
    timeouts = {
        function_of(name): resource["Properties"]["Timeout"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    for block in _blocks(text, "sh"):
        # A placeholder such as <address> would be read as a redirection.
        script = re.sub(r"<(\w+)>", r"\1", block)
        read = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
        if read.returncode:
            yield f"a shell cannot read this block: {read.stderr.strip()}\n{block}"
        for line in _joined(block).splitlines():
            for function in re.findall(r"(?:\$STACK|\bleads)-(lead-[a-z]+)\b", line):
                if function not in sources.facts["functions"]:
                    yield f"{function}: there is no such function"
            if re.search(r"-prefix[ =][\"']?\$\{?STACK\b", line):
                yield f"names of other stacks may begin like those of this one: {line.strip()}"
            if "AccountLimit.ConcurrentExecutions" in line:
                yield "what other functions have reserved cannot be reserved again: UnreservedConcurrentExecutions is what is left"
            for output in re.findall(r"OutputKey=='(\w+)'", line):
                if output not in template["Outputs"]:
                    yield f"{output}: the template has no such output"
            invoked = re.search(r"aws lambda invoke .*?(?:\$STACK|\bleads)-(lead-[a-z]+)", line)
            if not invoked or invoked[1] not in timeouts:
                continue
            waits = re.search(r"--cli-read-timeout (\d+)", line)
            waits = int(waits[1]) if waits else _CLI_READ_TIMEOUT
            if 0 < waits <= timeouts[invoked[1]]:
                yield f"the command waits {waits} s for {invoked[1]}, which may take {timeouts[invoked[1]]} s"
            if "--cli-binary-format raw-in-base64-out" not in line:
                yield f"the AWS CLI would take the payload for {invoked[1]} as Base64"
            for payload in re.findall(r"--payload '([^']*)'", line):
                yield from payload_faults(invoked[1], payload, sources)


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
