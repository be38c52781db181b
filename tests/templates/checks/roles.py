"""The roles: each function has its own, which allows what the function calls and nothing else."""

import fnmatch
import json
import re

from checks.view import function_of
from template import ACCOUNT, Resolved

# What Lambda does in the name of every function.
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}


# What Lambda does in the name of a function that a queue invokes.
TAKES_FROM_QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


# AWS cannot limit these actions to a resource.
UNLIMITED = {
    "LeadNotifierRole": {"ses:GetSuppressedDestination"},
    "LeadValidationRole": {"ses:GetAccount", "ses:GetSuppressedDestination"},
}


# Recipients are names in a setting, so the identities that validation looks at are not known here.
ANY_IDENTITY = {"LeadValidationRole": {"ses:GetEmailIdentity"}}


# SES asks about ses:SendRawEmail for mails that it is given raw, and its documents name both for every sender. Mails with
# attachments go through SendEmail, which makes raw mails of them.
#
# <https://repost.aws/knowledge-center/amazon-ses-send-email-unauthorized-error>,
# <https://docs.aws.amazon.com/ses/latest/dg/attachments.html>
SENDS = {"ses:SendEmail", "ses:SendRawEmail"}
AS_SENDER = {"StringEqualsIgnoreCase": {"ses:FromAddress": "leads@contoso.example"}}


# Destinations are named in the routes, so their parameters are known by their prefix alone.
DESTINATIONS = ":parameter/marketplace-leads/destinations/*"
READS_DESTINATIONS = {"LeadNotifierRole", "LeadValidationRole"}


# The one queue that a role may write to.
SENDS_TO = {
    "LeadIntakeRole": "LeadQueue",
    "LeadNotifierRole": "NotifierDeadLetterQueue",
    "NotifierScheduleRole": "NotifierDeadLetterQueue",
}


def roles(view):
    """Every function has a role of its own, which only its service may assume, with the actions that are called."""
    roles = view.of("AWS::IAM::Role")
    used = {}
    for name, function in view.functions.items():
        role = function["Role"].rsplit("/", 1)[-1]
        used.setdefault(role, []).append(name)
        if role != f"{name}Role":
            yield f"{name}: its role is {role}, not one of its own"
    needed = _needed_actions(view)
    for role in sorted(set(roles) ^ set(needed)):
        yield f"{role}: unexpected or missing role"
    for name, role in roles.items():
        if role.get("PermissionsBoundary"):
            yield f"{name}: a boundary may take away what is called"
        if role.get("ManagedPolicyArns"):
            yield f"{name}: managed policies allow more than is called"
        trust = role["AssumeRolePolicyDocument"]["Statement"]
        service = "scheduler.amazonaws.com" if name == "NotifierScheduleRole" else "lambda.amazonaws.com"
        if [s["Principal"] for s in trust] != [{"Service": service}]:
            yield f"{name}: may be taken by others than {service}"
        source = trust[0].get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount")
        if name == "NotifierScheduleRole" and source != ACCOUNT:
            yield f"{name}: schedules of other accounts may take it"
        actions = set()
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield from _statement(name, statement)
                if statement["Effect"] != "Allow":
                    yield f"{name}: denies {statement.get('Action')}"
                actions |= set(as_list(statement.get("Action")))
        expected = needed.get(name, set())
        for action in sorted(actions - expected):
            yield f"{name}: allows {action}, which is not called"
        for action in sorted(expected - actions):
            yield f"{name}: does not allow {action}, which is called"


def partitions(view):
    """Every resource of every statement is in the partition and region of the stack. Who sends mail may send it as the sender
    alone, whichever identity SES knows it by, and with the stack's configuration set alone."""
    for arn in re.findall(r"arn:aws[\w-]*:\S+", view.sources.aws):
        yield f"{arn} is in one partition"
    for partition, region in [("aws", "eu-west-1"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1")]:
        resolved = Resolved(view.template, pseudo={"AWS::Partition": partition, "AWS::Region": region})
        for name, role in resolved.resources("AWS::IAM::Role"):
            for policy in role["Properties"].get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    resources = as_list(statement.get("Resource"))
                    for resource in resources:
                        # The references to attributes are computed for one partition and region.
                        if re.match(r"arn:[^:]*:(ssm|ses):", resource):
                            if not resource.startswith(
                                (f"arn:{partition}:ssm:{region}:{ACCOUNT}:", f"arn:{partition}:ses:{region}:{ACCOUNT}:")
                            ):
                                yield f"{name}: {resource} is not in {partition}, {region}"
            if name in ("LeadNotifierRole", "LeadValidationRole"):
                yield from _sending(name, role["Properties"], f"arn:{partition}:ses:{region}:{ACCOUNT}:")


def _sending(name, role, ses):
    """What is wrong with a role that sends mail, where the ARNs of SES begin so."""
    statements = [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    # The sender by its address, its domain, and a domain above that; in the sandbox a recipient, too.
    identities = ["leads@contoso.example", "contoso.example", "example", "a@fabrikam.example"]
    for action in sorted(SENDS):
        for resource in [f"identity/{identity}" for identity in identities] + ["configuration-set/MailConfigurationSet"]:
            if not _allows(statements, action, ses + resource, "Leads@contoso.example"):
                yield f"{name}: may not do {action} with {resource}"
        if _allows(statements, action, f"{ses}identity/contoso.example", "sales@contoso.example"):
            yield f"{name}: may do {action} as somebody else"
        if _allows(statements, action, f"{ses}configuration-set/other", "leads@contoso.example"):
            yield f"{name}: may do {action} with the configuration set of others"


def _allows(statements, action, resource, sender):
    """Whether statements allow an action on a resource, for a mail from this address."""
    for statement in statements:
        condition = statement.get("Condition", {})
        expected = condition.get("StringEqualsIgnoreCase", {}).get("ses:FromAddress")
        is_met = not condition or condition == AS_SENDER and str(expected).lower() == sender.lower()
        is_about = action in as_list(statement.get("Action")) and any(
            fnmatch.fnmatchcase(resource, pattern) for pattern in as_list(statement.get("Resource"))
        )
        if is_met and is_about and statement["Effect"] == "Allow":
            return True
    return False


def routes(view):
    """Who may read the routes: the notifier and validation, where there are any."""
    routes = "/marketplace-leads/routes"
    resolved = Resolved(view.template, {"RoutesParameter": routes})
    for name, role in resolved.resources("AWS::IAM::Role"):
        reads = routes in json.dumps(role["Properties"])
        if reads != (name in ("LeadNotifierRole", "LeadValidationRole")):
            yield f"{name}: {'reads' if reads else 'does not read'} the routes"


def _needed_actions(view):
    """What each role has to allow: the APIs that the function calls, and what AWS does in its name."""
    calls = {function: set(actions) for function, actions in view.facts["actions"].items()}
    from_queue = {m["FunctionName"] for m in view.of("AWS::Lambda::EventSourceMapping").values()}
    needed = {}
    for name, function in view.functions.items():
        dead_letters = {"sqs:SendMessage"} if function.get("DeadLetterConfig") else set()
        queued = TAKES_FROM_QUEUE if name in from_queue else set()
        sends = SENDS if SENDS & calls[function_of(name)] else set()
        needed[f"{name}Role"] = LOGS | calls[function_of(name)] | dead_letters | queued | sends
    for schedule in view.of("AWS::Scheduler::Schedule").values():
        target = schedule["Target"]
        dead_letters = {"sqs:SendMessage"} if target.get("DeadLetterConfig") else set()
        needed[target["RoleArn"].rsplit("/", 1)[-1]] = {"lambda:InvokeFunction"} | dead_letters
    return needed


def _statement(role, statement):
    """What is wrong with the resources of one statement."""
    actions, resources = set(as_list(statement.get("Action"))), as_list(statement.get("Resource"))
    if statement["Effect"] == "Allow" and (not resources or "NotAction" in statement or "NotResource" in statement):
        yield f"{role}: a statement that is not limited to actions and resources"
    for action in actions:
        if "*" in action:
            yield f"{role}: wildcard action {action}"
    condition = statement.get("Condition")
    if condition and (not actions <= SENDS or condition != AS_SENDER):
        yield f"{role}: allows {sorted(actions)} under the condition {condition} alone"
    for resource in resources:
        if resource == "*":
            if not actions <= UNLIMITED.get(role, set()):
                yield f"{role}: wildcard resource for {sorted(actions)}"
        elif resource.endswith(":identity/*"):
            if not actions <= (SENDS if condition == AS_SENDER else ANY_IDENTITY.get(role, set())):
                yield f"{role}: any mail identity for {sorted(actions)}"
        elif resource.endswith(DESTINATIONS):
            if actions != {"ssm:GetParameters"} or role not in READS_DESTINATIONS:
                yield f"{role}: any destination's parameter for {sorted(actions)}"
        elif "*" in resource and not (actions <= LOGS and re.fullmatch(r"[^*]*:log-group:\w+:\*", resource)):
            yield f"{role}: wildcard in {resource} for {sorted(actions)}"
    if actions <= LOGS:
        own = role.removesuffix("Role") + "Logs"
        for resource in resources:
            if f":log-group:{own}:" not in resource:
                yield f"{role}: may write to logs other than {own}"
    if "sqs:SendMessage" in actions:
        for resource in resources:
            if resource.rsplit(":", 1)[-1] != SENDS_TO.get(role):
                yield f"{role}: may send to {resource}"
    if "ssm:GetParameters" in actions:
        # Where there are routes, the notifier and validation may read them, too; see `routes`.
        keys = role in ("LeadIntakeRole", "LeadRedeliveryRole", "LeadValidationRole")
        expected = {":parameter/marketplace-leads/storage-connection-string"}
        expected |= {":parameter/marketplace-leads/intake-keys"} if keys else set()
        expected |= {DESTINATIONS} if role in READS_DESTINATIONS else set()
        if {resource[resource.index(":parameter") :] for resource in resources} != expected:
            yield f"{role}: reads the parameters {resources}"


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]
