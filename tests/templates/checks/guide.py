"""The guide by hand and the operations guide: what they name against the templates and the code. Their commands are
looked at as those of every document are, by `checks/commands/`."""

import re

from checks.commands.document import command_faults
from checks.commands.names import ROUTES
from checks.github import github
from checks.samconfig import faults, tomllib
from template import parsed

# Names in the guide that look like parameters or outputs of the template and are something else.
_OTHER_NAMES = {"CodeUri", "DefaultEndpointsProtocol", "InProgress", "ScheduleExpression"}


def guide(sources):
    """What is wrong with `infra/by-hand.md`."""
    text = sources.guide
    template = parsed(sources.aws)
    yield from command_faults(text, sources)
    yield from _of_other_stacks(text)
    if "--parameter-overrides" in text:
        yield "a value on the command line is undone by the next deployment, which takes the saved ones"
    for block in _blocks(text, "toml"):
        try:
            yield from faults(tomllib.loads(block), sources)
        except tomllib.TOMLDecodeError as error:
            yield f"no TOML: {error}"
    yield from _of_by_hand(text, template)
    known = set(template["Parameters"]) | set(template["Outputs"]) | _OTHER_NAMES
    for name in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-zA-Z]*)+)(?:=[^`]*)?`", text):
        if name not in known:
            yield f"{name}: the template has no such parameter or output"
    secrets = {
        template["Parameters"][f"{name}Parameter"]["Default"] for name in ("StorageConnectionString", "IntakeKeys")
    } | {ROUTES}
    used = set(re.findall(r"(?<![\w=])/marketplace-leads/[\w-]+", "".join(_blocks(text, "sh"))))
    for name in sorted(used ^ secrets):
        yield f"{name}: the secret is only in the guide or only in the template"
    for names, body in re.findall(r"for name in ([^;]+); do(.*?)done", text, re.S):
        if "lead-$name" in body and {f"lead-{name}" for name in names.split()} != set(sources.facts["functions"]):
            yield f"the functions that start afresh are {names}"


def _of_by_hand(text, template):
    """What the steps by hand have to do in this order, and with these numbers and records."""
    if not 0 <= text.find('--value "$KEY,$NEW"') < text.find('--value "$NEW"'):
        yield "a rotation has to keep the old key until everybody has the new one"
    for record in re.findall(r"\._domainkey\.\S+ .*", text):
        if not re.search(r"_domainkey\.\S+ +CNAME +\S+\.dkim\.amazonses\.com", record):
            yield f"{record}: SES asks for a CNAME record to dkim.amazonses.com"
    # AWS lets nobody reserve the last 100; the notifier has one.
    needed = 100 + int(template["Parameters"]["IntakeConcurrency"]["Default"]) + 1
    if f"less than {needed}," not in text:
        yield f"concurrency can be reserved where there is {needed} of it"
    for end in re.findall(r"ends_with\(OutputKey, *'(\w+)'\)", text):
        if not any(name.endswith(end) for name in template["Outputs"]):
            yield f"{end}: no output of the template ends so"


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
    yield from command_faults(text, sources)
    yield from _of_other_stacks(text)
    for command in sources.facts["commands"]:
        if not re.search(rf"^### .*`{command}`", text, re.M):
            yield f"there is no section for the notifier's command {command}"
        if f'{{"command":"{command}"' not in text:
            yield f"there is no example of the notifier's command {command}"
    for queue in re.findall(r"purge-queue --queue-url <(\w+)>", text):
        if queue != "NotifierDeadLetterQueueUrl":
            yield f"{queue}: emptying it deletes leads"
    for block in _blocks(text, "sh"):
        for queue in re.findall(r"<(\w+Url)>", block) if "start-message-move-task" in block else ():
            if queue != "LeadDeadLetterQueueUrl":
                yield f"{queue}: messages are moved out of the dead-letter queue of leads alone"
    yield from github(sources)
    for title in re.findall(r'"title": "([^"]+)"', sources.aws):
        if f"| *{title}* |" not in text:
            yield f"the dashboard's graph {title} is not described"
    for output in re.findall(r"<([A-Z]\w+Url)>", text):
        if output not in template["Outputs"]:
            yield f"{output}: the template has no such output"


def _of_other_stacks(text):
    """Commands that ask for everything whose name begins with the stack's."""
    for line in "".join(_blocks(text, "sh")).splitlines():
        if re.search(r"-prefix[ =][\"']?\$\{?STACK\b", line):
            yield f"names of other stacks may begin like those of this one: {line.strip()}"


def _blocks(text, language):
    """The code blocks of a language."""
    for indent, body in re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.M | re.S):
        yield re.sub(f"^{indent}", "", body, flags=re.M)
