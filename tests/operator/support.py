"""Runs the operator's command in a folder of its own, with stubs in place of `aws` and `az`."""

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../infra/leads"))
sys.path.append(os.path.join(HERE, "../templates"))
sys.dont_write_bytecode = True

import stub  # noqa: E402
from checks.commands import programs  # noqa: E402
from leads import functions, looking, main, setup, stack  # noqa: E402

OUTPUTS = {
    "IntakeUrl": "https://abc.lambda-url.eu-west-1.on.aws/leads",
    "ExportUrl": "https://def.lambda-url.eu-west-1.on.aws/leads",
    "IntakeFunction": "leads-lead-intake",
    "RedeliveryFunction": "leads-lead-redelivery",
    "NotifierFunction": "leads-lead-notifier",
    "ValidationFunction": "leads-lead-validation",
    "ExportFunction": "leads-lead-export",
    "ScheduleName": "leads-lead-notifier",
    "LeadQueueUrl": "https://sqs/leads-LeadQueue",
    "LeadDeadLetterQueueUrl": "https://sqs/leads-Dead",
    "NotifierDeadLetterQueueUrl": "https://sqs/leads-Runs",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:leads-AlarmTopic-0A1B2C3D4E5F",
}
PARAMETERS = {
    "StorageConnectionStringParameter": "/marketplace-leads/storage-connection-string",
    "IntakeKeysParameter": "/marketplace-leads/intake-keys",
    "MailFrom": "leads@contoso.example",
    "MailTo": "Sales Team; (x) <a=b>",
    "IntervalMinutes": "60",
    "Architecture": "x86_64",
    "RoutesParameter": "/marketplace-leads/routes",
    "DestinationsPrefix": "/marketplace-leads/destinations/",
    "AlarmEmail": "",
}
RECORD = {
    "run": "r",
    "started": "2026-11-22T14:00:03Z",
    "duration_ms": 1,
    "outcome": "complete",
    "leads": 3,
    "leads_by_https": 2,
    "quarantined": 0,
    "mailed": 3,
    "digests": 1,
    "mails": 1,
    "owed": 0,
    "parked": 0,
    "patrolled": 0,
    "requests": 11,
}
REPORT = {"ok": True, "summary": "all is well", "checks": [], "report": "table  ok  both tables exist"}


def error(code, operation, message):
    return f"\nAn error occurred ({code}) when calling the {operation} operation: {message}\n"


def described(status="UPDATE_COMPLETE", parameters=None, outputs=None):
    return {
        "Stacks": [
            {
                "StackName": "leads",
                "StackStatus": status,
                "Parameters": [
                    {"ParameterKey": k, "ParameterValue": v}
                    for k, v in (PARAMETERS if parameters is None else parameters).items()
                ],
                "Outputs": [
                    {"OutputKey": k, "OutputValue": v} for k, v in (OUTPUTS if outputs is None else outputs).items()
                ],
            }
        ]
    }


def function(name, answer, **when):
    """A rule: what a function answers to an event with these fields."""
    return {
        "call": "lambda invoke",
        "when": {"--function-name": f"leads-lead-{name}", **({"payload": when} if when else {})},
        "payload": answer,
    }


def subscribed(state, address="ops@contoso.example"):
    """A rule: what SNS says of the subscription of an address to the alarms."""
    found = [{"SubscriptionArn": state, "Protocol": "email", "Endpoint": address}] if state else []
    return {
        "call": "sns list-subscriptions-by-topic",
        "when": {"TopicArn": OUTPUTS["AlarmTopicArn"]},
        "answer": {"Subscriptions": found},
    }


DEPLOYED = [{"call": "cloudformation describe-stacks", "answer": described()}]


class Outcome:
    def __init__(self, status, out, err, calls):
        self.status, self.out, self.err, self.calls = status, out, err, calls

    def of(self, operation):
        return [call for call in self.calls if call["operation"] == operation]

    def one(self, operation):
        found = self.of(operation)
        assert len(found) == 1, (operation, [call["operation"] for call in self.calls], self.err)
        return found[0]

    def payloads(self):
        return [call["payload"] for call in self.of("lambda invoke")]


class Terminal(io.StringIO):
    """Standard input that a person types into."""

    def isatty(self):
        return True


class CommandTest(unittest.TestCase):
    """A test that runs commands."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="leads-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(os.path.join(HERE, "stub.py"), encoding="utf-8") as file:
            stub = f"#!{sys.executable} -IS\n" + file.read()
        for name in ("aws", "az"):
            path = os.path.join(self.folder, "bin", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(stub)
            os.chmod(path, 0o755)
        here = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, here)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LEADS_"))}
        environment = dict(kept, PATH=os.path.join(self.folder, "bin"), STUB_FOLDER=self.folder, AWS_REGION="eu-west-1")
        patches = [mock.patch.dict(os.environ, environment, clear=True)]
        patches += [mock.patch.object(module, "PAUSE", 0) for module in (stack, functions, setup)]
        patches.append(mock.patch.object(looking, "POLL", 0))
        patches.append(mock.patch.object(looking, "SQS_PAUSE", 0))
        # Without a process for each call these tests take a tenth of the time.
        patches.append(mock.patch("subprocess.run", self.call_stub))
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def call_stub(self, command, env=None, **_):
        program, *arguments = command
        self.assertEqual(os.path.dirname(program), os.path.join(self.folder, "bin"))
        status, out, err = stub.answer(
            self.folder, os.path.basename(program), arguments, os.environ if env is None else env
        )
        return subprocess.CompletedProcess(command, status, out, err)

    def run_command(self, *arguments, rules=(), typed=None, piped="", deployed=True):
        """Runs the command. `typed` is what a person answers, `piped` what standard input holds."""
        with open("rules.json", "w", encoding="utf-8") as file:
            json.dump(list(rules) + (DEPLOYED if deployed else []), file)
        if os.path.exists("calls.jsonl"):
            os.unlink("calls.jsonl")
        out, err = io.StringIO(), io.StringIO()
        source = Terminal(typed) if typed is not None else io.StringIO(piped)
        secret = mock.patch("getpass.getpass", lambda prompt="", stream=None: source.readline().rstrip("\n"))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch("sys.stdin", source), secret:
            try:
                status = main.main(list(arguments))
            except SystemExit as ended:
                status = ended.code
        calls = []
        if os.path.exists("calls.jsonl"):
            with open("calls.jsonl", encoding="utf-8") as file:
                calls = [json.loads(line) for line in file]
        for call in calls:
            self.assertTrue(all(mode == 0o600 for mode in call["modes"]), "a file for the AWS CLI that others can read")
            if call["program"] == "az":
                self.assertEqual(programs.read("az", call["arguments"], False).faults, [])
        self.assertNotIn("the stub has no rule", err.getvalue() + out.getvalue())
        return Outcome(status, out.getvalue(), err.getvalue(), calls)

    def write(self, name, text):
        os.makedirs(os.path.dirname(os.path.join(self.folder, name)), exist_ok=True)
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def answers(self):
        self.assertEqual(stat.S_IMODE(os.stat(".leads.json").st_mode), 0o600)
        with open(".leads.json", encoding="utf-8") as file:
            return json.load(file)

    def assert_hidden(self, outcome, *secrets):
        """No secret on a command line, in what is printed, or in the answers."""
        seen = json.dumps([call["arguments"] for call in outcome.calls]) + outcome.out + outcome.err
        if os.path.exists(".leads.json"):
            with open(".leads.json", encoding="utf-8") as file:
                seen += file.read()
        for secret in secrets:
            self.assertNotIn(secret, seen)
