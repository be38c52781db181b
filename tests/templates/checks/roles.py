"""The roles: each function has its own, which allows what the function calls and nothing else."""

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
                actions |= set(_list(statement.get("Action")))
        expected = needed.get(name, set())
        for action in sorted(actions - expected):
            yield f"{name}: allows {action}, which is not called"
        for action in sorted(expected - actions):
            yield f"{name}: does not allow {action}, which is called"


def partitions(view):
    """Every resource of every statement is in the partition and region of the stack, and the sender's identities are its
    address and its domain."""
    for partition, region in [("aws", "eu-west-1"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1")]:
        resolved = Resolved(view.template, pseudo={"AWS::Partition": partition, "AWS::Region": region})
        for name, role in resolved.resources("AWS::IAM::Role"):
            for policy in role["Properties"].get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    resources = _list(statement.get("Resource"))
                    for resource in resources:
                        # The references to attributes are computed for one partition and region.
                        if re.match(r"arn:[^:]*:(ssm|ses):", resource):
                            if not resource.startswith(
                                (f"arn:{partition}:ssm:{region}:{ACCOUNT}:", f"arn:{partition}:ses:{region}:{ACCOUNT}:")
                            ):
                                yield f"{name}: {resource} is not in {partition}, {region}"
                    if "ses:SendEmail" in _list(statement.get("Action")):
                        sent = {r.rsplit(":identity/", 1)[1] for r in resources if ":identity/" in r}
                        if sent != {"leads@contoso.example", "contoso.example"}:
                            yield f"{name}: sends as {sorted(sent)}"


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
        needed[f"{name}Role"] = LOGS | calls[function_of(name)] | dead_letters | queued
    for schedule in view.of("AWS::Scheduler::Schedule").values():
        target = schedule["Target"]
        dead_letters = {"sqs:SendMessage"} if target.get("DeadLetterConfig") else set()
        needed[target["RoleArn"].rsplit("/", 1)[-1]] = {"lambda:InvokeFunction"} | dead_letters
    return needed


def _statement(role, statement):
    """What is wrong with the resources of one statement."""
    actions, resources = set(_list(statement.get("Action"))), _list(statement.get("Resource"))
    if statement["Effect"] == "Allow" and (not resources or "NotAction" in statement or "NotResource" in statement):
        yield f"{role}: a statement that is not limited to actions and resources"
    for action in actions:
        if "*" in action:
            yield f"{role}: wildcard action {action}"
    for resource in resources:
        if resource == "*":
            if not actions <= UNLIMITED.get(role, set()):
                yield f"{role}: wildcard resource for {sorted(actions)}"
        elif resource.endswith(":identity/*"):
            if not actions <= ANY_IDENTITY.get(role, set()):
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


def _list(value):
    return value if isinstance(value, list) else [] if value is None else [value]
