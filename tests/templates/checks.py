"""Every check of the templates. Each takes the sources and yields findings, sentences that name the place."""

import enum
import json
import logging
import math
import os
import re
import tempfile
import typing
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
os.environ["LOG_LEVEL"] = "ERROR"  # checkov's
os.environ["CHECKOV_PARALLELIZATION_TYPE"] = "none"  # the mistakes are spread over processes already

import parliament
from azure.mgmt.storage import models as storage_models
from cfnlint.api import lint
from cfnlint.core import get_rules
from checkov.arm.runner import Runner as ArmRunner
from checkov.cloudformation.runner import Runner as CloudFormationRunner
from checkov.runner_filter import RunnerFilter
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.yaml_helper import yaml_parse

from calls import called
from template import ACCOUNT, REGION, Resolved, transformed

logging.disable(logging.WARNING)

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ["lead-intake", "lead-redelivery", "lead-notifier", "lead-validation", "lead-export"]

# What checkov asks for and this project does without, and why.
CHECKOV_SKIPPED = {
    "CKV_AWS_27": "queues are encrypted with SQS's own keys, which this check does not know; our own check looks at it",
    "CKV_AWS_115": "only notifier and intake need a limit, and a new account cannot reserve any; our own check looks at it",
    "CKV_AWS_116": "only the notifier is invoked asynchronously, and it has a dead-letter queue",
    "CKV_AWS_117": "no function reaches anything in a VPC; in one, Azure could be reached only through a NAT gateway",
    "CKV_AWS_158": "CloudWatch Logs encrypts with its own keys, and the logs hold no personal data",
    "CKV_AWS_173": "no environment variable holds a secret; Lambda encrypts them with its own keys",
    "CKV_AWS_26": "alarms cannot be published to a topic under the AWS managed key; they hold no personal data",
    "CKV_AZURE_35": "Partner Center and Lambda write from addresses that nobody publishes",
    "CKV_AZURE_43": "the name is a parameter with its own length limits",
    "CKV_AZURE_59": "Partner Center reaches the account over the public network; blobs are not public",
    "CKV_AZURE_206": "redundancy is a parameter, and its default is three zones",
}

# What Lambda does in the name of every function.
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
# What it does for a function that a queue invokes.
TAKES_FROM_QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
# AWS lets these two be limited to no resource.
UNLIMITED = {"LeadValidationRole": {"ses:GetAccount", "ses:GetSuppressedDestination"}}
# Recipients are names in a setting, so the identities that validation looks at are not known here.
ANY_IDENTITY = {"LeadValidationRole": {"ses:GetEmailIdentity"}}
# A role may write to these queues only.
SENDS_TO = {
    "LeadIntakeRole": "LeadQueue",
    "LeadNotifierRole": "NotifierDeadLetterQueue",
    "NotifierScheduleRole": "NotifierDeadLetterQueue",
}

# Metrics of AWS that the template uses, and the dimension each has.
AWS_METRICS = {
    "AWS/Lambda": ({"Errors", "Throttles", "Url5xxCount", "Invocations", "Duration"}, "FunctionName"),
    "AWS/SQS": ({"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"}, "QueueName"),
    "AWS/SES": ({"Send", "Delivery", "Bounce", "Complaint", "Reject"}, "ses:configuration-set"),
}
SES_EVENTS = {
    "send",
    "reject",
    "bounce",
    "complaint",
    "delivery",
    "open",
    "click",
    "renderingFailure",
    "deliveryDelay",
    "subscription",
}
STATISTICS = {"Sum", "Average", "Minimum", "Maximum", "SampleCount"}
TAGGABLE = {
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::Logs::LogGroup",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::CloudWatch::Alarm",
    "AWS::SES::ConfigurationSet",
}


# --- The linters ---

# cfn-lint reads its rules anew for each template otherwise, a fifth of its time.
_CFN_LINT_RULES = get_rules([], [], [])


def cfn_lint_raw(sources):
    for match in lint(sources.aws, _CFN_LINT_RULES, [REGION]):
        yield f"{match.rule.id} {match.message} (line {match.linenumber})"


def cfn_lint_transformed(sources):
    try:
        text = json.dumps(transformed(sources.aws), indent=1)
    except InvalidDocumentException as error:
        yield "the transform refuses it: " + "; ".join(cause.message for cause in error.causes)
        return
    except Exception as error:
        yield f"the transform fails: {type(error).__name__} {error}"
        return
    for match in lint(text, _CFN_LINT_RULES, [REGION]):
        path = "/".join(str(part) for part in getattr(match, "path", None) or [])
        yield f"{match.rule.id} {match.message} (at {path})"


def _policies(aws):
    for name, role in aws.resources("AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", []):
            yield name, policy["PolicyDocument"]


def _transforms(sources):
    try:
        return bool(transformed(sources.aws))
    except Exception:
        return False


def parliament_policies(sources):
    if not _transforms(sources):
        return  # cfn-lint says so.
    aws = Resolved(transformed(sources.aws))
    for name, document in _policies(aws):
        analysed = parliament.analyze_policy_string(json.dumps(document), name)
        for finding in analysed.findings:
            unlimited = UNLIMITED.get(name, set())
            if finding.issue == "RESOURCE_STAR" and set(finding.detail or []) <= unlimited:
                continue
            yield f"{name}: {finding.issue} {finding.title} {finding.detail}"


def _checkov(framework, text):
    runner, name = {
        "cloudformation": (CloudFormationRunner, "template.yaml"),
        "arm": (ArmRunner, "storage.json"),
    }[framework]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, "utf-8")
        return runner().run(root_folder=None, files=[str(path)], runner_filter=RunnerFilter(framework=[framework]))


def _checkov_findings(framework, text):
    report = _checkov(framework, text)
    if not report.passed_checks:
        yield "could not be read"
    for check in report.failed_checks:
        if check.check_id not in CHECKOV_SKIPPED:
            yield f"{check.check_id} {check.check_name}: {check.resource}"


def checkov_aws(sources):
    return _checkov_findings("cloudformation", sources.aws)


def checkov_azure(sources):
    return _checkov_findings("arm", sources.azure)


def stale_checkov_skips(sources):
    """Entries of the skip list that nothing needs."""
    reports = [_checkov("cloudformation", sources.aws), _checkov("arm", sources.azure)]
    failed = {check.check_id for report in reports for check in report.failed_checks}
    return sorted(set(CHECKOV_SKIPPED) - failed)


# --- Our own assertions: AWS ---


def variables(settings):
    """The functions' environment variables in `settings.rs`: name to (names of functions, default or None)."""
    shown = dict(re.findall(r'Self::(\w+) => "(lead-\w+)"', settings))
    found = {}
    for body in re.findall(r"^const \w+: Variable = Variable \{\n(.*?)^\};", settings, re.M | re.S):
        name = re.search(r'name: "(\w+)"', body).group(1)
        listed = re.search(r"functions: (&Function::ALL|&\[[^\]]*\])", body, re.S).group(1)
        users = FUNCTIONS if "ALL" in listed else [shown[f] for f in re.findall(r"\w+", listed)]
        default = re.search(r'default: Value\("([^"]*)"\)', body)
        found[name] = (users, default.group(1) if default else None)
    return found


def metrics(telemetry):
    """The names of the metrics in `telemetry.rs`."""
    block = re.search(r"pub mod metric \{(.*?)^\}", telemetry, re.M | re.S).group(1)
    return set(re.findall(r'pub const \w+: &str = "(\w+)"', block))


def schedule_fault(expression):
    """What is wrong with an EventBridge Scheduler expression, or None. The grammar is that of the service's guide."""
    rate = re.fullmatch(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)", expression)
    if rate:
        number, unit = int(rate[1]), rate[2]
        if number == 0:
            return "a rate of 0"
        if (number == 1) == unit.endswith("s"):
            return f"{number} {unit}"
        return None
    cron = re.fullmatch(r"cron\((.*)\)", expression)
    if not cron:
        return "neither rate(number unit) nor cron(six fields)"
    fields = cron[1].split(" ")
    if len(fields) != 6:
        return f"{len(fields)} fields in place of six"
    months = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
    days = "SUN MON TUE WED THU FRI SAT".split()
    rules = [
        ("minutes", 0, 59, [], ""),
        ("hours", 0, 23, [], ""),
        ("day of month", 1, 31, [], "?LW"),
        ("month", 1, 12, months, ""),
        ("day of week", 1, 7, days, "?L#"),
        ("year", 1970, 2199, [], ""),
    ]
    if (fields[2] == "?") == (fields[4] == "?"):
        return "exactly one of day of month and day of week must be ?"
    for text, (what, low, high, names, special) in zip(fields, rules):
        one = "|".join([r"\d+", *names])
        for part in text.split(","):
            if part == "*" or (part == "?" and "?" in special):
                continue
            if "L" in special and re.fullmatch(rf"L|({one})L", part):
                continue
            if "W" in special and re.fullmatch(r"\d+W|LW", part):
                continue
            if "#" in special and re.fullmatch(rf"({one})#[1-5]", part):
                continue
            if not re.fullmatch(rf"(\*|({one})(-({one}))?)(/\d+)?", part):
                return f"{what} {part}"
            for number in re.findall(r"\d+", part.split("/")[0]):
                if not low <= int(number) <= high:
                    return f"{what} {part}"
    return None


def _function_of(name):
    return "lead-" + re.sub(r"^Lead", "", name).lower()


class Assertions:
    """What no linter sees, of the AWS template."""

    def __init__(self, sources):
        self.sources = sources
        self.raw = yaml_parse(sources.aws)
        self.template = transformed(sources.aws)
        self.aws = Resolved(self.template)
        self.variables = variables(sources.settings)
        self.emitted = metrics(sources.telemetry)
        self.all = dict(self.aws.resources())
        self.functions = {n: r["Properties"] for n, r in self.all.items() if r["Type"] == "AWS::Lambda::Function"}
        self.queues = {n: r["Properties"] for n, r in self.all.items() if r["Type"] == "AWS::SQS::Queue"}
        self.alarms = {n: r["Properties"] for n, r in self.all.items() if r["Type"] == "AWS::CloudWatch::Alarm"}

    def of(self, kind):
        return {n: r["Properties"] for n, r in self.all.items() if r["Type"] == kind}

    def findings(self):
        for name in dir(self):
            if name.startswith("check_"):
                yield from getattr(self, name)()

    def check_functions(self):
        names = sorted(properties["FunctionName"] for properties in self.functions.values())
        if names != sorted(f"leads-{name}" for name in FUNCTIONS):
            yield f"the functions are {names}"
        for name, resource in self.raw["Resources"].items():
            if resource["Type"] != "AWS::Serverless::Function":
                continue
            code = resource["Properties"].get("CodeUri", "")
            manifest = ROOT / "infra/aws" / code / "Cargo.toml"
            if not manifest.is_file() or f'name = "{_function_of(name)}"' not in manifest.read_text("utf-8"):
                yield f"{name}: CodeUri {code} is not the package {_function_of(name)}"
            if resource.get("Metadata", {}).get("BuildMethod") != "rust-cargolambda":
                yield f"{name}: sam build needs BuildMethod rust-cargolambda"
        for name, function in self.functions.items():
            for key, value in [("Runtime", "provided.al2023"), ("Handler", "bootstrap"), ("Architectures", ["arm64"])]:
                if function.get(key) != value:
                    yield f"{name}: {key} is {function.get(key)}, not {value}"
            if not 128 <= function.get("MemorySize", 0) <= 10240 or not 1 <= function.get("Timeout", 0) <= 900:
                yield f"{name}: memory or time-out is not set, or out of Lambda's range"
        x86 = Resolved(self.template, {"Architecture": "x86_64"})
        for name, function in x86.resources("AWS::Lambda::Function"):
            if function["Properties"].get("Architectures") != ["x86_64"]:
                yield f"{name}: the parameter Architecture does not reach it"
        longest = int(self.template["Parameters"]["IntakeBudgetMs"].get("MaxValue", math.inf))
        if longest >= self.functions["LeadIntake"]["Timeout"] * 1000:
            yield "LeadIntake: the longest budget does not fit into the time-out"

    def check_environment(self):
        inline = {n.removesuffix("_PARAMETER") for n in self.variables if n.endswith("_PARAMETER")}
        for name, function in self.functions.items():
            short = _function_of(name)
            set_here = set(function.get("Environment", {}).get("Variables", {}))
            read = {v for v, (users, _) in self.variables.items() if short in users}
            for variable in sorted(set_here - read):
                yield f"{name}: sets {variable}, which {short} does not read"
            for variable in sorted(read - set_here - inline):
                yield f"{name}: does not set {variable}, which {short} reads"
            for variable in sorted(set_here & inline):
                yield f"{name}: {variable} would hold a secret"
            for variable, value in function.get("Environment", {}).get("Variables", {}).items():
                default = self.variables.get(variable, (None, None))[1]
                if default is not None and str(value) != default:
                    yield f"{name}: {variable} is {value} by default, {default} in the code"

    def check_roles(self):
        roles = self.of("AWS::IAM::Role")
        used = {}
        for name, function in self.functions.items():
            role = function["Role"].rsplit("/", 1)[-1]
            used.setdefault(role, []).append(name)
            if role != f"{name}Role":
                yield f"{name}: its role is {role}, not one of its own"
        needed = self._needed_actions()
        for role in sorted(set(roles) ^ set(needed)):
            yield f"{role}: unexpected or missing role"
        for name, role in roles.items():
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
                    yield from self._statement(name, statement)
                    actions |= set(_list(statement.get("Action")))
            expected = needed.get(name, set())
            for action in sorted(actions - expected):
                yield f"{name}: allows {action}, which is not called"
            for action in sorted(expected - actions):
                yield f"{name}: does not allow {action}, which is called"

    def _needed_actions(self):
        """What each role has to allow: what the function's code calls, and what AWS does in its name."""
        calls = called(self.sources.code)
        from_queue = {m["FunctionName"] for m in self.of("AWS::Lambda::EventSourceMapping").values()}
        needed = {}
        for name, function in self.functions.items():
            dead_letters = {"sqs:SendMessage"} if function.get("DeadLetterConfig") else set()
            queued = TAKES_FROM_QUEUE if name in from_queue else set()
            needed[f"{name}Role"] = LOGS | calls[_function_of(name)] | dead_letters | queued
        for schedule in self.of("AWS::Scheduler::Schedule").values():
            target = schedule["Target"]
            dead_letters = {"sqs:SendMessage"} if target.get("DeadLetterConfig") else set()
            needed[target["RoleArn"].rsplit("/", 1)[-1]] = {"lambda:InvokeFunction"} | dead_letters
        return needed

    def _statement(self, role, statement):
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
            keys = role in ("LeadIntakeRole", "LeadValidationRole")
            expected = {":parameter/marketplace-leads/storage-connection-string"}
            expected |= {":parameter/marketplace-leads/intake-keys"} if keys else set()
            if {resource[resource.index(":parameter") :] for resource in resources} != expected:
                yield f"{role}: reads the parameters {resources}"

    def check_queues(self):
        redrives = {
            n: q["RedrivePolicy"]["deadLetterTargetArn"] for n, q in self.queues.items() if "RedrivePolicy" in q
        }
        dead_letters = {arn.rsplit(":", 1)[-1] for arn in redrives.values()}
        for kind in ("AWS::Scheduler::Schedule", "AWS::Lambda::Function"):
            for properties in self.of(kind).values():
                target = properties.get("Target", {}).get("DeadLetterConfig", {}).get("Arn")
                target = target or properties.get("DeadLetterConfig", {}).get("TargetArn")
                dead_letters |= {target.rsplit(":", 1)[-1]} if target else set()
        for name, queue in self.queues.items():
            if queue.get("SqsManagedSseEnabled") is not True and not queue.get("KmsMasterKeyId"):
                yield f"{name}: not encrypted"
            if queue.get("MessageRetentionPeriod") != 14 * 24 * 60 * 60:
                yield f"{name}: does not keep messages for 14 days"
            if name not in redrives and name not in dead_letters:
                yield f"{name}: has no dead-letter queue and is none"
        for name, target in redrives.items():
            if target.rsplit(":", 1)[-1] not in self.queues or target.endswith(f":{name}"):
                yield f"{name}: its dead-letter queue is {target}"
            if not 1 <= self.queues[name]["RedrivePolicy"].get("maxReceiveCount", 0) <= 1000:
                yield f"{name}: maxReceiveCount must be from 1 to 1000"
        for mapping in self.of("AWS::Lambda::EventSourceMapping").values():
            queue = mapping["EventSourceArn"].rsplit(":", 1)[-1]
            function = self.functions[mapping["FunctionName"]]
            if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
                yield f"{mapping['FunctionName']}: one bad message would hold up its batch"
            if self.queues[queue].get("VisibilityTimeout", 30) < 6 * function["Timeout"]:
                yield f"{queue}: visible again before {mapping['FunctionName']} may be done"
        if len(self.of("AWS::Lambda::EventSourceMapping")) != 1:
            yield "lead-redelivery does not read the queue"

    def check_retention(self):
        for name, properties in self.of("AWS::Logs::LogGroup").items():
            if not properties.get("RetentionInDays"):
                yield f"{name}: logs are kept for ever"
        for name, function in self.functions.items():
            group = self.all.get(f"{name}Logs", {}).get("Properties", {})
            if group.get("LogGroupName") != f"/aws/lambda/{function['FunctionName']}":
                yield f"{name}: no log group of its name"
            if function.get("LoggingConfig", {}).get("LogGroup") != f"{name}Logs":
                yield f"{name}: does not write to {name}Logs"
        for name in self.queues:
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                if self.template["Resources"][name].get(policy) != "Retain":
                    yield f"{name}: {policy} would lose what waits in it"

    def check_concurrency(self):
        reserved = {n: f.get("ReservedConcurrentExecutions") for n, f in self.functions.items()}
        if reserved["LeadNotifier"] != 1:
            yield f"LeadNotifier: reserved concurrency is {reserved['LeadNotifier']}, not 1"
        if not str(reserved["LeadIntake"]).isdigit():
            yield "LeadIntake: not capped"
        for name, function in Resolved(self.template, {"ReserveConcurrency": "false"}).resources(
            "AWS::Lambda::Function"
        ):
            if "ReservedConcurrentExecutions" in function["Properties"]:
                yield f"{name}: still reserves concurrency where ReserveConcurrency is false"

    def check_schedule(self):
        parameter = self.template["Parameters"]["IntervalMinutes"]
        intervals = self.template["Mappings"]["Intervals"]
        allowed = [str(value) for value in parameter["AllowedValues"]]
        if sorted(allowed) != sorted(intervals):
            yield "IntervalMinutes and the mapping Intervals differ"
        minutes = {"minute": 1, "hour": 60, "day": 1440}
        for interval in allowed:
            aws = Resolved(self.template, {"IntervalMinutes": interval})
            for name, schedule in aws.resources("AWS::Scheduler::Schedule"):
                expression = schedule["Properties"]["ScheduleExpression"]
                fault = schedule_fault(expression)
                if fault:
                    yield f"{name}: {expression} is not valid: {fault}"
                    continue
                number, unit = re.fullmatch(r"rate\((\d+) (\w+?)s?\)", expression).groups()
                if int(number) * minutes[unit] != int(interval):
                    yield f"{name}: runs at {expression} for an interval of {interval} minutes"
            for name, alarm in aws.resources("AWS::CloudWatch::Alarm"):
                if alarm["Properties"]["MetricName"] == "NotifierRuns":
                    properties = alarm["Properties"]
                    if properties["Period"] * properties["EvaluationPeriods"] != 2 * 60 * int(interval):
                        yield f"{name}: does not look at two intervals of {interval} minutes"
                    if properties.get("TreatMissingData") != "breaching":
                        yield f"{name}: would not notice that nothing runs"
        pattern = self.template["Parameters"]["ScheduleExpression"]["AllowedPattern"]
        for expression in ["rate(1 hour)", "rate(15 minutes)", "cron(0 8-18 ? * MON-FRI *)", "cron(0/30 7 1 * ? 2027)"]:
            if schedule_fault(expression) or not re.search(pattern, expression):
                yield f"ScheduleExpression: refuses {expression}"
        for expression in [
            "every hour",
            "rate(0 hours)",
            "rate(1.5 hours)",
            "cron(0 8 * *)",
            "at(2027-01-01T00:00:00)",
        ]:
            if re.search(pattern, expression):
                yield f"ScheduleExpression: takes {expression}"
        schedules = self.of("AWS::Scheduler::Schedule")
        if len(schedules) != 1:
            yield f"there are {len(schedules)} schedules"
        for name, schedule in schedules.items():
            target = schedule["Target"]
            if json.loads(target.get("Input", "null")) != {"command": "run"}:
                yield f"{name}: sends {target.get('Input')}"
            if not target["Arn"].endswith(":function:LeadNotifier") or not target["RoleArn"].endswith(
                "NotifierScheduleRole"
            ):
                yield f"{name}: runs {target['Arn']} as {target['RoleArn']}"
            retry = target.get("RetryPolicy", {})
            if not retry.get("MaximumRetryAttempts") or not 60 <= retry.get("MaximumEventAgeInSeconds", 0) <= 86400:
                yield f"{name}: does not try again"
            if not target.get("DeadLetterConfig", {}).get("Arn", "").endswith(":NotifierDeadLetterQueue"):
                yield f"{name}: no dead-letter queue"
            if schedule.get("State") != "ENABLED" or not schedule.get("ScheduleExpressionTimezone"):
                yield f"{name}: off by default, or without time zone"
        off = dict(Resolved(self.template, {"ScheduleState": "DISABLED"}).resources())
        if off["NotifierSchedule"]["Properties"]["State"] != "DISABLED":
            yield "NotifierSchedule: cannot be switched off"
        own = dict(Resolved(self.template, {"ScheduleExpression": "cron(0 8 ? * MON-FRI *)"}).resources())
        if own["NotifierSchedule"]["Properties"]["ScheduleExpression"] != "cron(0 8 ? * MON-FRI *)":
            yield "NotifierSchedule: does not take ScheduleExpression"

    def check_asynchronous_invocation(self):
        configured = {c["FunctionName"]: c for c in self.of("AWS::Lambda::EventInvokeConfig").values()}
        if configured.get("LeadNotifier", {}).get("MaximumRetryAttempts") != 2:
            yield "LeadNotifier: failed runs are not tried again"
        dead_letters = self.functions["LeadNotifier"].get("DeadLetterConfig", {}).get("TargetArn", "")
        if not dead_letters.endswith(":NotifierDeadLetterQueue"):
            yield "LeadNotifier: failed runs are not kept"

    def check_urls(self):
        urls = {
            u["TargetFunctionArn"]: (u["AuthType"], u.get("InvokeMode")) for u in self.of("AWS::Lambda::Url").values()
        }
        expected = {"LeadIntake": ("NONE", "BUFFERED"), "LeadExport": ("AWS_IAM", "RESPONSE_STREAM")}
        if urls != expected:
            yield f"the function URLs are {urls}"
        public = sorted(
            (p["FunctionName"], p["Action"], p.get("FunctionUrlAuthType"), p.get("InvokedViaFunctionUrl"))
            for p in self.of("AWS::Lambda::Permission").values()
        )
        if public != [
            ("LeadIntake", "lambda:InvokeFunction", None, True),
            ("LeadIntake", "lambda:InvokeFunctionUrl", "NONE", None),
        ]:
            yield f"the permissions to invoke are {public}"

    def check_mail(self):
        for name, properties in self.of("AWS::SES::ConfigurationSetEventDestination").items():
            destination = properties["EventDestination"]
            events = set(destination.get("MatchingEventTypes", []))
            for event in sorted(events - SES_EVENTS):
                yield f"{name}: SES has no event {event}"
            if not {"bounce", "complaint", "send", "delivery", "reject"} <= events:
                yield f"{name}: bounces or complaints would not be seen"
            if destination.get("Enabled") is not True:
                yield f"{name}: not enabled"
            for dimension in destination.get("CloudWatchDestination", {}).get("DimensionConfigurations", []):
                if dimension["DimensionValueSource"] not in ("messageTag", "emailHeader", "linkTag"):
                    yield f"{name}: no such source of dimensions, {dimension['DimensionValueSource']}"
                if dimension["DimensionName"] != "ses:configuration-set":
                    yield f"{name}: SES sets no tag {dimension['DimensionName']} by itself"
            if properties["ConfigurationSetName"] not in self.of("AWS::SES::ConfigurationSet"):
                yield f"{name}: belongs to no configuration set"
        if len(self.of("AWS::SES::ConfigurationSetEventDestination")) != 1:
            yield "there is no event destination"

    def _metric(self, where, namespace, metric, dimensions):
        if namespace == "MarketplaceLeads":
            if metric not in self.emitted:
                yield f"{where}: no function emits {metric}"
            expected = {"Function", "Source"} if metric == "LeadsFound" else {"Function"}
            if set(dimensions) != expected:
                yield f"{where}: {metric} has the dimensions {sorted(expected)}, not {sorted(dimensions)}"
            # A reference to a function is its deployed name, which the code gives the metric.
            if dimensions.get("Function") not in self.functions:
                yield f"{where}: {dimensions.get('Function')} refers to no function"
            if dimensions.get("Source", "https") not in ("https", "table"):
                yield f"{where}: there is no source {dimensions['Source']}"
        elif namespace in AWS_METRICS:
            known, dimension = AWS_METRICS[namespace]
            if metric not in known:
                yield f"{where}: {namespace} has no {metric}"
            targets = {
                "FunctionName": set(self.functions),
                "QueueName": {f"{queue}.QueueName" for queue in self.queues},
                "ses:configuration-set": set(self.of("AWS::SES::ConfigurationSet")),
            }[dimension]
            if set(dimensions) != {dimension} or dimensions[dimension] not in targets:
                yield f"{where}: {metric} of {dimensions}"
        else:
            yield f"{where}: unknown namespace {namespace}"

    def check_alarms(self):
        for name, alarm in self.alarms.items():
            dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
            yield from self._metric(name, alarm.get("Namespace"), alarm.get("MetricName"), dimensions)
            period, count = alarm.get("Period", 0), alarm.get("EvaluationPeriods", 0)
            if not count or period < 60 or period % 60 or period * count > (86400 if period < 3600 else 604800):
                yield f"{name}: period {period} s, {count} of them"
            if alarm.get("TreatMissingData") not in ("notBreaching", "breaching"):
                yield f"{name}: does not say what missing data means"
            if alarm.get("Statistic") not in STATISTICS or "Threshold" not in alarm:
                yield f"{name}: no statistic or threshold"
            if alarm.get("AlarmActions") != ["AlarmTopic"] or alarm.get("ActionsEnabled") is False:
                yield f"{name}: tells nobody"
            heading = alarm["AlarmName"].removeprefix("leads-")
            if f"### `{heading}`" not in self.sources.operations:
                yield f"{name}: docs/operations.md has no section {heading}"
        watched = {}
        for name, alarm in self.alarms.items():
            target = next(iter(alarm.get("Dimensions", [])), {}).get("Value")
            watched.setdefault((alarm.get("Namespace"), alarm.get("MetricName"), target), name)
        needed = [("AWS/Lambda", "Errors", name) for name in self.functions]
        needed += [
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", f"{q}.QueueName") for q in self.queues if "Dead" in q
        ]
        needed += [
            ("AWS/SQS", "ApproximateAgeOfOldestMessage", "LeadQueue.QueueName"),
            ("AWS/Lambda", "Url5xxCount", "LeadIntake"),
            ("AWS/Lambda", "Throttles", "LeadIntake"),
            ("AWS/SES", "Bounce", "MailConfigurationSet"),
            ("AWS/SES", "Complaint", "MailConfigurationSet"),
            ("MarketplaceLeads", "IntakeUnauthorized", "LeadIntake"),
            ("MarketplaceLeads", "LeadsQuarantined", "LeadIntake"),
            ("MarketplaceLeads", "LeadsQuarantined", "LeadRedelivery"),
            ("MarketplaceLeads", "LeadsLost", "LeadIntake"),
            ("MarketplaceLeads", "NotifierRuns", "LeadNotifier"),
        ]
        for what in needed:
            if what not in watched:
                yield f"no alarm watches {' '.join(what)}"
        with_mail = Resolved(self.template, {"AlarmEmail": "ops@contoso.example"})
        subscriptions = [r["Properties"] for _, r in with_mail.resources("AWS::SNS::Subscription")]
        if [(s["Protocol"], s["Endpoint"], s["TopicArn"]) for s in subscriptions] != [
            ("email", "ops@contoso.example", "AlarmTopic")
        ]:
            yield "AlarmEmail gets no alarms"
        paused = Resolved(self.template, {"ScheduleState": "DISABLED"})
        silent = [
            n for n, r in paused.resources("AWS::CloudWatch::Alarm") if r["Properties"].get("ActionsEnabled") is False
        ]
        if silent != ["LeadNotifierMissing"]:
            yield f"with the schedule off, the alarms without actions are {silent}"

    def check_commands(self):
        listed = re.search(r"const COMMANDS[^=]*= &\[\n(.*?)^\];", self.sources.commands, re.M | re.S).group(1)
        for command in re.findall(r'^    \("([a-z-]+)", ', listed, re.M):
            if not re.search(rf"^### .*`{command}`", self.sources.operations, re.M):
                yield f"docs/operations.md has no section for the notifier's command {command}"
            if f'{{"command":"{command}"' not in self.sources.operations:
                yield f"docs/operations.md has no example of the notifier's command {command}"

    def check_dashboard(self):
        dashboards = list(self.of("AWS::CloudWatch::Dashboard").values())
        if len(dashboards) != 1:
            yield "there is no dashboard"
            return
        try:
            widgets = json.loads(dashboards[0]["DashboardBody"])["widgets"]
        except ValueError as error:
            yield f"the dashboard is no JSON: {error}"
            return
        shown_alarms, shown_metrics, taken = set(), set(), set()
        for widget in widgets:
            properties = widget["properties"]
            title = f"dashboard, {properties.get('title')}"
            if widget["x"] + widget["width"] > 24:
                yield f"{title}: wider than the dashboard"
            cells = {
                (x, y)
                for x in range(widget["x"], widget["x"] + widget["width"])
                for y in range(widget["y"], widget["y"] + widget["height"])
            }
            if cells & taken:
                yield f"{title}: overlaps another"
            taken |= cells
            if widget["type"] == "alarm":
                shown_alarms |= {arn.rsplit(":", 1)[-1] for arn in properties["alarms"]}
                continue
            if properties.get("region") != REGION or properties.get("period", 0) % 60:
                yield f"{title}: region or period"
            for row in properties["metrics"]:
                *row, options = row if isinstance(row[-1], dict) else [*row, {}]
                namespace, metric, *pairs = row
                yield from self._metric(title, namespace, metric, dict(zip(pairs[::2], pairs[1::2])))
                statistic = options.get("stat", properties.get("stat"))
                if statistic not in STATISTICS and not re.fullmatch(r"p\d\d?(\.\d+)?", str(statistic)):
                    yield f"{title}: no statistic {statistic}"
                if namespace == "MarketplaceLeads":
                    shown_metrics.add(metric)
        for name in sorted(shown_alarms ^ set(self.alarms)):
            yield f"dashboard: alarm {name} is only there or only here"
        for metric in sorted(self.emitted - shown_metrics):
            yield f"dashboard: {metric} is not shown"

    def check_parameters(self):
        parameters = self.template["Parameters"]
        groups = self.template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        if sorted(grouped) != sorted(parameters):
            yield f"parameters and their groups differ: {sorted(set(grouped) ^ set(parameters))}"
        limits = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue", "MaxLength"}
        for name, parameter in parameters.items():
            if not parameter.get("Description"):
                yield f"{name}: no description"
            if not limits & set(parameter):
                yield f"{name}: no constraint"
            default, pattern = parameter.get("Default"), parameter.get("AllowedPattern")
            if default is None and name not in ("MailFrom", "MailTo"):
                yield f"{name}: no default"
            if pattern and (
                default is not None and not re.search(pattern, default) or pattern[0] != "^" or pattern[-1] != "$"
            ):
                yield f"{name}: its pattern {pattern}"
            if pattern and not parameter.get("ConstraintDescription"):
                yield f"{name}: the message for a wrong value would be the bare pattern"
        for name, good, bad in [
            ("MailFrom", "leads@contoso.example", "Leads"),
            ("MailTo", "a@contoso.example;b@contoso.example", "a@contoso.example, b@contoso.example"),
            (
                "StorageConnectionStringParameter",
                "/a/b",
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aaaa",
            ),
            ("IntakeKeysParameter", "/a/b", "0123456789abcdef"),
        ]:
            pattern = parameters[name].get("AllowedPattern", "")
            if not re.search(pattern, good) or re.search(pattern, bad):
                yield f"{name}: takes {bad} or refuses {good}"

    def check_tags(self):
        for name, resource in self.all.items():
            if resource["Type"] in TAGGABLE:
                tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
                if tags.get("application") != "marketplace-leads":
                    yield f"{name}: no tag"

    def check_outputs(self):
        outputs = {name: self.aws.value(output["Value"]) for name, output in self.template["Outputs"].items()}
        expected = {
            "IntakeUrl": "LeadIntakeUrl.FunctionUrlleads",
            "ExportUrl": "LeadExportUrl.FunctionUrlleads",
            "IntakeFunction": "LeadIntake",
            "RedeliveryFunction": "LeadRedelivery",
            "NotifierFunction": "LeadNotifier",
            "ValidationFunction": "LeadValidation",
            "ExportFunction": "LeadExport",
            "ScheduleName": "NotifierSchedule",
            "LeadQueueUrl": "LeadQueue",
            "LeadDeadLetterQueueUrl": "LeadDeadLetterQueue",
            "NotifierDeadLetterQueueUrl": "NotifierDeadLetterQueue",
            "MailConfigurationSetName": "MailConfigurationSet",
            "AlarmTopicArn": "AlarmTopic",
            "DashboardUrl": f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}#dashboards/dashboard/Dashboard",
        }
        for name in sorted(set(outputs) | set(expected)):
            if outputs.get(name) != expected.get(name):
                yield f"output {name} is {outputs.get(name)}, not {expected.get(name)}"


def _list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def aws_assertions(sources):
    if not _transforms(sources):
        return  # cfn-lint says so.
    try:
        yield from Assertions(sources).findings()
    except Exception as error:
        # What an assertion rests on is not there.
        yield f"the template cannot be read: {type(error).__name__} {error}"


# --- Our own assertions: Azure ---

_ARM_MODELS = {
    "Microsoft.Storage/storageAccounts": storage_models.StorageAccountCreateParameters,
    "Microsoft.Storage/storageAccounts/tableServices": storage_models.TableServiceProperties,
    "Microsoft.Storage/storageAccounts/tableServices/tables": storage_models.Table,
}
_ARM_ENVELOPE = {"type", "apiVersion", "name", "dependsOn", "condition", "scope", "location", "tags", "metadata"}
_ARM_FUNCTIONS = {
    "parameters",
    "resourceId",
    "format",
    "not",
    "empty",
    "reference",
    "resourceGroup",
    "environment",
}


def _against_model(where, value, model):
    """Findings for a JSON value that does not fit a model of the SDK: names of properties and values of enums."""
    known = {f._rest_name: hint for f, hint in _fields(model)}
    for name, inner in value.items():
        if name not in known:
            yield f"{where}: {model.__name__} has no {name}"
            continue
        kinds = _kinds(known[name])
        enums = [k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)]
        models = [k for k in kinds if k not in enums and vars(storage_models).get(k.__name__) is k]
        if isinstance(inner, str) and inner.startswith("["):
            continue
        if enums and inner not in [member.value for e in enums for member in e]:
            yield f"{where}: {name} is {inner}, not one of {[member.value for e in enums for member in e]}"
        elif models and isinstance(inner, dict):
            yield from _against_model(f"{where}.{name}", inner, models[0])
        elif (
            models
            or (kinds == [bool] and not isinstance(inner, bool))
            or (kinds == [str] and not isinstance(inner, str))
        ):
            yield f"{where}: {name} is {json.dumps(inner)}"
    for f, hint in _fields(model):
        if type(None) not in typing.get_args(hint) and f._rest_name not in value and f._rest_name not in _ARM_ENVELOPE:
            yield f"{where}: {f._rest_name} is missing"


def _fields(model):
    model({})  # The SDK fills in its field table when a model is first made.
    hints = {}
    for kind in reversed(model.__mro__):
        hints.update(getattr(kind, "__annotations__", {}))
    scope = {**vars(typing), "_models": storage_models, **vars(storage_models)}
    for attribute, rest in model._attr_to_rest_field.items():
        hint = hints[attribute]
        yield rest, eval(hint, scope) if isinstance(hint, str) else hint


def _kinds(hint):
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        return [getattr(storage_models, hint.rsplit(".", 1)[-1])]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Union:
        kinds = [k for a in arguments if a is not type(None) for k in _kinds(a)]
        # An open enum is `Union[str, Enum]`.
        return [k for k in kinds if k is not str] or kinds
    return [hint]


def _expressions(node, where="$"):
    if isinstance(node, dict):
        for name, inner in node.items():
            yield from _expressions(inner, f"{where}.{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _expressions(inner, f"{where}[{index}]")
    elif isinstance(node, str) and node.startswith("[") and node.endswith("]"):
        yield where, node[1:-1]


def arm_models(sources):
    """The ARM template against the models of the official SDK."""
    try:
        template = json.loads(sources.azure)
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    for resource in template["resources"]:
        model = _ARM_MODELS.get(resource["type"])
        if model is None:
            if resource["type"] != "Microsoft.Insights/diagnosticSettings":
                yield f"{resource['type']}: not a type of this template"
            continue
        body = {k: v for k, v in resource.items() if k not in _ARM_ENVELOPE}
        yield from _against_model(resource["type"], body, model)
    for sku in template["parameters"]["sku"]["allowedValues"]:
        if sku not in [member.value for member in storage_models.SkuName]:
            yield f"sku: no {sku}"


def arm_assertions(sources):
    try:
        template = json.loads(sources.azure)
        yield from _arm(template, variables(sources.settings))
    except Exception as error:
        yield f"the template cannot be read: {type(error).__name__} {error}"


def _arm(template, settings):
    if "deploymentTemplate.json" not in template.get("$schema", "") or not template.get("contentVersion"):
        yield "no deployment template"
    for where, expression in _expressions(template):
        # Quotes are doubled inside a string.
        bare = re.sub(r"'(?:[^']|'')*'", "''", expression)
        if bare.count("(") != bare.count(")") or "'" in bare.replace("''", ""):
            yield f"{where}: parentheses or quotes do not match"
        for function in re.findall(r"(\w+)\(", bare):
            if function not in _ARM_FUNCTIONS:
                yield f"{where}: unexpected function {function}"
        for parameter in re.findall(r"parameters\('(\w+)'\)", expression):
            if parameter not in template["parameters"]:
                yield f"{where}: no parameter {parameter}"
        for text, arguments in re.findall(r"format\('((?:[^']|'')*)'((?:, [^,]+)*)\)", expression):
            given = len(re.findall(r", ", arguments))
            if re.findall(r"\{(\d+)\}", text) and max(map(int, re.findall(r"\{(\d+)\}", text))) >= given:
                yield f"{where}: format has too few values"
    for name, parameter in template["parameters"].items():
        if not parameter.get("metadata", {}).get("description"):
            yield f"{name}: no description"
        if f"parameters('{name}')" not in json.dumps(template):
            yield f"{name}: not used"
        if parameter["type"] not in ("string", "object"):
            yield f"{name}: type {parameter['type']}"
    kinds = [resource["type"] for resource in template["resources"]]
    account = next(r for r in template["resources"] if r["type"] == "Microsoft.Storage/storageAccounts")
    wanted = {
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        # Partner Center signs with the account's key.
        "allowSharedKeyAccess": True,
    }
    for name, value in wanted.items():
        if account["properties"].get(name) != value:
            yield f"storage account: {name} is not {value}"
    if account["kind"] != "StorageV2" or account["sku"] != {"name": "[parameters('sku')]"}:
        yield "storage account: kind or redundancy"
    if any(
        resource["apiVersion"] != account["apiVersion"]
        for resource in template["resources"]
        if "Storage/" in resource["type"]
    ):
        yield "storage resources of several API versions"
    for table, variable in [("leadTable", "LEADS_TABLE"), ("stateTable", "LEADS_STATE_TABLE")]:
        name = f"[format('{{0}}/default/{{1}}', parameters('storageAccountName'), parameters('{table}'))]"
        if not any(r["type"].endswith("/tables") and r["name"] == name for r in template["resources"]):
            yield f"no table {table}"
        if template["parameters"][table]["defaultValue"] != settings[variable][1]:
            yield f"{table}: another default than {variable}"
    for resource in template["resources"][1:]:
        if not resource.get("dependsOn"):
            yield f"{resource['type']}: waits for nothing"
        for dependency in resource.get("dependsOn", []):
            kind = re.search(r"resourceId\('([^']+)'", dependency)
            if not kind or kind[1] not in kinds:
                yield f"{resource['type']}: depends on {dependency}"
    settings_ = [r for r in template["resources"] if r["type"] == "Microsoft.Insights/diagnosticSettings"]
    if len(settings_) != 1 or "logAnalyticsWorkspaceId" not in settings_[0].get("condition", ""):
        yield "no optional diagnostic setting"
    for setting in settings_:
        logs = {log["category"] for log in setting["properties"]["logs"] if log["enabled"]}
        if logs != {"StorageRead", "StorageWrite", "StorageDelete"}:
            yield f"diagnostic setting: the table service has no such logs, {sorted(logs)}"
        if {metric["category"] for metric in setting["properties"]["metrics"]} != {"Transaction"}:
            yield "diagnostic setting: metrics"
    for name, output in template["outputs"].items():
        if re.search(r"listKeys|listAccountSas|primaryKey|\bkeys\[", output["value"], re.I):
            yield f"output {name}: shows a key"
    if "az storage account keys list" not in template["outputs"].get("connectionStringCommand", {}).get("value", ""):
        yield "no output says how to get the connection string"


# In the order of the table in docs/template-checks.md.
AWS_CHECKS = {
    "cfn-lint, raw": cfn_lint_raw,
    "cfn-lint, transformed": cfn_lint_transformed,
    "parliament": parliament_policies,
    "checkov": checkov_aws,
    "own": aws_assertions,
}
AZURE_CHECKS = {
    "SDK models": arm_models,
    "checkov": checkov_azure,
    "own": arm_assertions,
}


def run(check, sources):
    """The findings of one check. One that cannot even run on a template has found something."""
    try:
        return list(check(sources))
    except Exception as error:
        return [f"fails: {type(error).__name__} {error}"]
