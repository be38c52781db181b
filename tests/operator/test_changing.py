"""Settings, routes, destinations, keys: what is changed, what stays, and where no secret is."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import unittest
import urllib.parse
from unittest import mock

from support import DEPLOYED, OUTPUTS, PARAMETERS, REPORT, CommandTest, described, error, function, subscribed

from leads import aws, storage  # noqa: E402

STORAGE, KEYS = PARAMETERS["StorageConnectionStringParameter"], PARAMETERS["IntakeKeysParameter"]
OLD, NEW = (
    base64.b64encode(b"first key of the account").decode(),
    base64.b64encode(b"other key of the account").decode(),
)
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=contosoleads;AccountKey={OLD};EndpointSuffix=core.windows.net"
CHANGE = {
    "ResourceChange": {
        "Action": "Modify",
        "LogicalResourceId": "LeadNotifier",
        "ResourceType": "AWS::Lambda::Function",
        "Replacement": "False",
    }
}
CHANGE_SET = [
    {"call": "cloudformation create-change-set"},
    {"call": "cloudformation execute-change-set"},
    {"call": "cloudformation delete-change-set"},
    {"call": "cloudformation describe-change-set", "answer": {"Status": "CREATE_COMPLETE", "Changes": [CHANGE]}},
]
RESTART = [
    # Another change is under way at first.
    {
        "call": "lambda update-function-configuration",
        "error": error("ResourceConflictException", "UpdateFunctionConfiguration", "an update is in progress"),
        "times": 1,
    },
    {"call": "lambda update-function-configuration", "answer": {"LastUpdateStatus": "InProgress"}},
    {"call": "lambda get-function-configuration", "answer": {"LastUpdateStatus": "InProgress"}, "times": 1},
    {"call": "lambda get-function-configuration", "answer": {"LastUpdateStatus": "Successful"}},
]
# The functions take the settings that a change has brought.
TAKEN = [function("validation", REPORT, checks=["settings"]), function("notifier", {"runs": []}, command="history")]
PUT = {"call": "ssm put-parameter", "answer": {"Version": 2}}
EMPTY = {"call": "sqs get-queue-attributes", "answer": {"Attributes": {}}}


def parameter(name, value):
    return {"call": "ssm get-parameter", "when": {"Name": name}, "answer": {"Parameter": {"Value": value}}}


def history(*values):
    """What SSM knows of a parameter: its values one after the other, the last of which is the present one."""
    versions = [{"Version": number, "Value": value} for number, value in enumerate(values, 1)]
    return {"call": "ssm get-parameter-history", "answer": {"Parameters": versions}}


def changed(outcome):
    """The functions that were made to start afresh."""
    return {call["request"]["FunctionName"] for call in outcome.of("lambda update-function-configuration")}


def missing(name):
    return {
        "call": "ssm get-parameter",
        "when": {"Name": name},
        "error": error("ParameterNotFound", "GetParameter", ""),
    }


class Settings(CommandTest):
    def test_one_setting_changes_and_every_other_keeps_its_value(self):
        outcome = self.run_command(
            "--yes", "settings", "set", "MailTo=a@b.example; c@d.example", "IntervalMinutes=15", rules=CHANGE_SET + TAKEN
        )
        self.assertEqual(outcome.status, 0, outcome.err)
        request = outcome.one("cloudformation create-change-set")["request"]
        given = {p["ParameterKey"]: p.get("ParameterValue", p.get("UsePreviousValue")) for p in request["Parameters"]}
        self.assertEqual(
            given,
            {**{name: True for name in PARAMETERS}, "MailTo": "a@b.example; c@d.example", "IntervalMinutes": "15"},
        )
        self.assertEqual((request["UsePreviousTemplate"], request["ChangeSetType"]), (True, "UPDATE"))
        self.assertIn("change LeadNotifier, AWS::Lambda::Function", outcome.out)
        self.assertIn("IntervalMinutes is 15 now; it was 60.", outcome.out)

    def test_a_change_is_shown_first_and_not_made_without_a_yes(self):
        outcome = self.run_command("settings", "set", "IntervalMinutes=15", rules=CHANGE_SET, typed="n\n")
        self.assertEqual((outcome.status, outcome.of("cloudformation execute-change-set")), (1, []))
        outcome.one("cloudformation delete-change-set")
        outcome = self.run_command("settings", "set", "IntervalMinutes=15", rules=CHANGE_SET)
        self.assertIn("Add --yes", outcome.err)

    def test_what_is_so_already_what_is_unknown_and_what_cloudformation_refuses(self):
        outcome = self.run_command("settings", "set", "IntervalMinutes=60")
        self.assertEqual((outcome.status, outcome.of("cloudformation create-change-set")), (0, []))
        self.assertIn("Did you mean IntervalMinutes?", self.run_command("settings", "set", "intervalminutes=5").err)
        self.assertIn("Name=value", self.run_command("settings", "set", "IntervalMinutes").err)
        refused = [
            {
                "call": "cloudformation describe-change-set",
                "answer": {"Status": "FAILED", "StatusReason": "Parameter X must be one of"},
            }
        ] + CHANGE_SET
        self.assertIn("must be one of", self.run_command("settings", "set", "IntervalMinutes=7", rules=refused).err)

    def test_a_change_that_is_under_way_is_waited_for(self):
        busy = dict(DEPLOYED[0]["answer"]["Stacks"][0], StackStatus="UPDATE_IN_PROGRESS")
        rules = [{"call": "cloudformation describe-stacks", "answer": {"Stacks": [busy]}, "times": 4}]
        outcome = self.run_command("--yes", "settings", "set", "IntervalMinutes=5", rules=rules + CHANGE_SET + TAKEN)
        self.assertEqual(outcome.status, 0, outcome.err)
        operations = [call["operation"] for call in outcome.calls]
        waited = operations[: operations.index("cloudformation create-change-set")]
        self.assertEqual(waited, ["cloudformation describe-stacks"] * 5)

    def test_what_an_emulator_on_this_machine_does_is_waited_for_a_moment_alone(self):
        waited = []
        with mock.patch("time.sleep", waited.append):
            for endpoint in ("", "http://127.0.0.1:8100", "https://vpce-1.example.amazonaws.com"):
                with mock.patch.dict(os.environ, AWS_ENDPOINT_URL=endpoint):
                    aws.Aws().wait(20)
        self.assertEqual([waited[0], waited[1] < 1, waited[2]], [20, True, 20])

    def test_a_change_that_was_taken_back_is_told_with_the_reason(self):
        back = {"Stacks": [dict(DEPLOYED[0]["answer"]["Stacks"][0], StackStatus="UPDATE_ROLLBACK_COMPLETE")]}
        events = {
            "StackEvents": [
                {
                    "ResourceStatus": "CREATE_FAILED",
                    "LogicalResourceId": "Late",
                    "ResourceStatusReason": "Resource creation cancelled",
                },
                {
                    "ResourceStatus": "UPDATE_FAILED",
                    "LogicalResourceId": "LeadNotifier",
                    "ResourceStatusReason": "no such role",
                },
            ]
        }
        rules = [
            dict(DEPLOYED[0], times=3),
            {"call": "cloudformation describe-stacks", "answer": back},
            {"call": "cloudformation describe-stack-events", "answer": events},
        ]
        outcome = self.run_command("--yes", "settings", "set", "IntervalMinutes=5", rules=rules + CHANGE_SET)
        self.assertEqual(outcome.status, 2)
        self.assertIn("UPDATE_ROLLBACK_COMPLETE: LeadNotifier: no such role", outcome.err)
        self.assertIn("everything is as before", outcome.err)

    def values_given(self, outcome):
        """The values of each change set that was proposed, without those that stay."""
        return [
            {p["ParameterKey"]: p["ParameterValue"] for p in call["request"]["Parameters"] if "ParameterValue" in p}
            for call in outcome.of("cloudformation create-change-set")
        ]

    def test_values_with_which_the_functions_do_not_work_are_said_and_put_back(self):
        refused = function("validation", dict(REPORT, ok=False, report="settings  failed  LEADS_TIME_ZONE"))
        stopped = {
            **function("notifier", {"errorType": "Runtime.ExitError", "errorMessage": "exit status 1"}),
            "answer": {"FunctionError": "Unhandled"},
        }
        wrong, before = {"IntervalMinutes": "15"}, {"IntervalMinutes": "60"}
        for rules, said in [
            ([refused, *TAKEN], "LEADS_TIME_ZONE"),
            # What validation does not look at can stop the notifier all the same.
            ([stopped, *TAKEN], "leads-lead-notifier could not do it: exit status 1"),
        ]:
            for typed, proposed, kept in [("y\ny\n", [wrong, before], before), ("y\nn\n", [wrong], wrong)]:
                self.write(".leads.json", json.dumps({"parameters": {"TimeZone": "UTC"}}))
                outcome = self.run_command(
                    "settings", "set", "IntervalMinutes=15", rules=rules + CHANGE_SET, typed=typed
                )
                self.assertEqual((outcome.status, self.values_given(outcome)), (1, proposed), outcome.err)
                self.assertEqual(len(outcome.of("cloudformation execute-change-set")), len(proposed))
                self.assertIn(said, outcome.out + outcome.err)
                self.assertEqual(self.answers()["parameters"], {"TimeZone": "UTC", **kept})
                hint = "leads settings set IntervalMinutes=60" if proposed == [wrong] else "are in place again"
                self.assertIn(hint, outcome.out)
        outcome = self.run_command(
            "--json", "--yes", "settings", "set", "IntervalMinutes=15", rules=[refused, *TAKEN, *CHANGE_SET]
        )
        self.assertEqual((outcome.status, self.values_given(outcome)), (1, [wrong, before]))
        self.assertEqual(json.loads(outcome.out), {"changed": {}, "before": before, "ok": False})

    def test_a_notifier_that_fails_for_another_cause_takes_no_setting_back(self):
        failing = {
            **function("notifier", {"errorType": "NotifierFailed", "errorMessage": "the table is unavailable"}),
            "answer": {"FunctionError": "Unhandled"},
        }
        outcome = self.run_command(
            "--yes", "settings", "set", "IntervalMinutes=15", rules=[failing, *TAKEN, *CHANGE_SET]
        )
        self.assertEqual((outcome.status, self.values_given(outcome)), (0, [{"IntervalMinutes": "15"}]), outcome.err)

    def test_a_change_that_cannot_be_looked_at_is_said_to_be_made(self):
        refused = {"call": "lambda invoke", "error": error("AccessDeniedException", "Invoke", "not allowed")}
        outcome = self.run_command("--yes", "settings", "set", "IntervalMinutes=15", rules=[refused, *CHANGE_SET])
        self.assertEqual((outcome.status, self.values_given(outcome)), (2, [{"IntervalMinutes": "15"}]))
        self.assertIn("the settings are changed; whether the functions work with them is not known", outcome.err)

    def test_another_address_for_the_alarms_is_told_of_the_link_to_open(self):
        stack = described(parameters=dict(PARAMETERS, AlarmEmail="ops@contoso.example"))
        rules = [
            dict(DEPLOYED[0], times=2),
            {"call": "cloudformation describe-stacks", "answer": stack},
            subscribed("PendingConfirmation"),
        ]
        given = ["--yes", "settings", "set", "AlarmEmail=ops@contoso.example"]
        outcome = self.run_command(*given, rules=rules + CHANGE_SET + TAKEN)
        self.assertEqual(outcome.status, 0, outcome.err)
        self.assertIn("AWS has mailed a link to ops@contoso.example: open it", outcome.out)

    def test_settings_are_shown_with_what_they_mean(self):
        summary = {
            "call": "cloudformation get-template-summary",
            "answer": {
                "Parameters": [{"ParameterKey": "IntervalMinutes", "DefaultValue": "60", "Description": "How often."}]
            },
        }
        outcome = self.run_command("settings", "get", rules=[summary])
        self.assertIn("IntervalMinutes = 60   (default)\n    How often.", outcome.out)
        self.assertEqual(self.run_command("settings", "get", "MailTo", rules=[summary]).out, "Sales Team; (x) <a=b>\n")


class Routes(CommandTest):
    def routes_of(self, outcome):
        written = [call["request"] for call in outcome.of("ssm put-parameter")]
        self.assertTrue(all((w["Name"], w["Type"]) == ("/marketplace-leads/routes", "String") for w in written))
        return [json.loads(w["Value"]) for w in written]

    def test_a_route_is_added_replaced_and_removed_and_the_others_keep_their_order(self):
        first, last = {"id": "vm", "to": ["a@b.example"]}, {"name": "old", "to": ["c@d.example"], "further": 1}
        there = [parameter("/marketplace-leads/routes", json.dumps([first, last])), PUT, function("validation", REPORT)]
        new = {
            "id": "boss",
            "offers": ["Contoso VM"],
            "actions": ["PLT"],
            "to": ["b@b.example", "crm"],
            "cadence": "daily at 08:00 on mon-fri",
            "urgentAtOnce": False,
            "doNotContact": "drop",
        }
        outcome = self.run_command(
            "route",
            "add",
            "--id",
            "boss",
            "--to",
            "b@b.example",
            "--to",
            "crm",
            "--offer",
            "Contoso VM",
            "--action",
            "PLT",
            "--cadence",
            "daily at 08:00 on mon-fri",
            "--urgent-waits",
            "--drop-do-not-contact",
            rules=there,
        )
        self.assertEqual(self.routes_of(outcome), [[first, last, new]], outcome.err)
        outcome = self.run_command("--yes", "route", "add", "--id", "vm", "--to", "x@y.example", rules=there)
        self.assertEqual(self.routes_of(outcome), [[{"id": "vm", "to": ["x@y.example"]}, last]])
        outcome = self.run_command("route", "remove", "old", rules=there)
        self.assertEqual(self.routes_of(outcome), [[first]])
        self.assertIn("vm: to a@b.example\nold: to c@d.example", self.run_command("route", "list", rules=there).out)
        self.assertIn("no route other", self.run_command("route", "remove", "other", rules=there).err)
        self.assertIn(
            "no id of a route",
            self.run_command("route", "add", "--id", "Boss!", "--to", "a@b.example", rules=there).err,
        )

    def test_a_route_gets_the_weekly_summary_alone(self):
        there = [parameter("/marketplace-leads/routes", "[]"), PUT, function("validation", REPORT)]
        friday = {"id": "figures", "to": ["a@b.example"], "zone": "Europe/Berlin", "summary": "weekly on fri at 16:00"}
        for given, route in [
            (["--summary", friday["summary"], "--zone", "Europe/Berlin"], friday),
            (["--summary"], {"id": "figures", "to": ["a@b.example"], "summary": "weekly"}),
        ]:
            outcome = self.run_command("route", "add", "--id", "figures", "--to", "a@b.example", *given, rules=there)
            self.assertEqual(self.routes_of(outcome), [[route]], outcome.err)
            self.assertIn(f"figures: to a@b.example; summary {route['summary']}", outcome.out)

    def test_routes_that_validation_does_not_take_are_put_back(self):
        before = '[{"id": "vm", "to": ["a@b.example"]}]'
        rules = [parameter("/marketplace-leads/routes", before), PUT, function("validation", dict(REPORT, ok=False))]
        outcome = self.run_command(
            "route", "add", "--id", "boss", "--to", "a@b.example", "--cadence", "sometimes", rules=rules
        )
        self.assertEqual((outcome.status, self.routes_of(outcome)[-1]), (2, json.loads(before)))
        self.assertIn("those of before are in place again", outcome.err)

    def test_routes_that_were_too_long_for_a_standard_parameter_once_become_short_again(self):
        said = "This parameter uses the advanced-parameter tier."
        kept = [
            dict(PUT, when={"Tier": "Advanced"}),
            {"call": "ssm put-parameter", "error": error("ValidationException", "PutParameter", said)},
        ]
        two = [{"id": "vm", "to": ["a@b.example"]}, {"id": "boss", "to": ["b@b.example"]}]
        there = parameter("/marketplace-leads/routes", json.dumps(two))
        outcome = self.run_command("route", "remove", "vm", rules=[there, function("validation", REPORT), *kept])
        self.assertEqual((outcome.status, self.routes_of(outcome)[-1]), (0, two[1:]), outcome.err)
        # Those of before are put back in the same way.
        wrong = function("validation", dict(REPORT, ok=False))
        outcome = self.run_command("route", "remove", "vm", rules=[there, wrong, *kept])
        self.assertEqual((outcome.status, self.routes_of(outcome)[-1]), (2, two))
        self.assertIn("those of before are in place again", outcome.err)

    def test_the_first_route_makes_the_stack_read_the_parameter_and_an_old_stack_says_so(self):
        stack = dict(DEPLOYED[0]["answer"]["Stacks"][0])
        stack["Parameters"] = [
            {"ParameterKey": k, "ParameterValue": "" if k == "RoutesParameter" else v} for k, v in PARAMETERS.items()
        ]
        rules = [
            {"call": "cloudformation describe-stacks", "answer": {"Stacks": [stack]}},
            missing("/marketplace-leads/routes"),
            PUT,
            function("validation", REPORT),
        ] + CHANGE_SET
        outcome = self.run_command("--yes", "route", "add", "--id", "vm", "--to", "a@b.example", rules=rules)
        self.assertIn(
            {"ParameterKey": "RoutesParameter", "ParameterValue": "/marketplace-leads/routes"},
            outcome.one("cloudformation create-change-set")["request"]["Parameters"],
        )
        stack = dict(stack, Parameters=[p for p in stack["Parameters"] if p["ParameterKey"] != "RoutesParameter"])
        outcome = self.run_command(
            "route", "list", rules=[{"call": "cloudformation describe-stacks", "answer": {"Stacks": [stack]}}]
        )
        self.assertIn("leads update", outcome.err)


class Destinations(CommandTest):
    URL, HEADER = "https://hooks.contoso.example/secret-part", "header-secret"
    CRM = "/marketplace-leads/destinations/crm"

    def test_a_destination_is_kept_as_a_secret_that_is_on_no_command_line(self):
        outcome = self.run_command(
            "destination",
            "add",
            "crm",
            "--kind",
            "webhook",
            "--header",
            "X-Api-Key",
            rules=[missing(self.CRM), PUT],
            typed=f"{self.URL}\n{self.HEADER}\n",
        )
        request = outcome.one("ssm put-parameter")["request"]
        value = json.loads(request["Value"])
        self.assertEqual(
            (request["Name"], request["Type"], value["kind"], value["url"], value["header"]),
            (self.CRM, "SecureString", "webhook", self.URL, {"name": "X-Api-Key", "value": self.HEADER}),
        )
        (key,) = value["secrets"]
        self.assertEqual(len(base64.b64decode(key.removeprefix("whsec_"))), 32)
        self.assertIn(key, outcome.out)
        self.assertNotIn(key, json.dumps([call["arguments"] for call in outcome.calls]))
        self.assert_hidden(outcome, self.URL, self.HEADER)
        outcome = self.run_command(
            "destination", "add", "crm", "--kind", "slack", rules=[missing(self.CRM), PUT], piped=f"{self.URL}\n"
        )
        self.assertEqual(
            json.loads(outcome.one("ssm put-parameter")["request"]["Value"]), {"kind": "slack", "url": self.URL}
        )

    def test_what_the_cli_says_of_a_secret_that_it_does_not_take_is_not_repeated(self):
        for said in [
            f"Parameter validation failed:\nInvalid length for parameter Value, value: {self.URL}",
            error("ValidationException", "PutParameter", f"1 validation error detected: Value '{self.URL}' at 'value'"),
        ]:
            rules = [missing(self.CRM), {"call": "ssm put-parameter", "error": said}]
            outcome = self.run_command(
                "destination", "add", "crm", "--kind", "slack", rules=rules, piped=f"{self.URL}\n"
            )
            self.assertEqual(outcome.status, 2)
            self.assertIn("ssm put-parameter", outcome.err)
            self.assert_hidden(outcome, self.URL, "secret-part")

    def test_what_is_no_public_https_address_is_refused_without_showing_it(self):
        for url in [
            "http://hooks.contoso.example/secret-part",
            "https://10.0.0.1/secret-part",
            "https://[::1]/secret-part",
            "https://localhost/secret-part",
            "secret-part",
        ]:
            outcome = self.run_command(
                "destination", "add", "crm", "--kind", "slack", rules=[missing(self.CRM)], piped=f"{url}\n"
            )
            self.assertEqual((outcome.status, outcome.of("ssm put-parameter")), (2, []), url)
            self.assert_hidden(outcome, "secret-part")

    def test_destinations_are_listed_tested_and_removed_but_not_while_a_route_names_them(self):
        routes = parameter("/marketplace-leads/routes", '[{"id": "vm", "to": ["crm", "a@b.example"]}]')
        rules = [
            routes,
            parameter(self.CRM, json.dumps({"kind": "webhook", "url": self.URL})),
            function("validation", REPORT),
            {"call": "ssm describe-parameters", "answer": {"Parameters": [{"Name": self.CRM}]}},
            {"call": "ssm delete-parameters", "answer": {"DeletedParameters": [self.CRM]}},
        ]
        outcome = self.run_command("destination", "list", rules=rules)
        self.assertEqual(outcome.out, "crm: webhook, used by the route vm\n")
        self.assert_hidden(outcome, self.URL)
        self.assertEqual(
            self.run_command("destination", "test", "crm", rules=rules).payloads(),
            [{"checks": ["destinations", "mail"], "send": True}],
        )
        for status, code in [("ok", 0), ("warning", 1)]:
            said = dict(REPORT, checks=[{"id": "mail", "status": "warning"}, {"id": "destinations", "status": status}])
            outcome = self.run_command("destination", "test", "crm", rules=[function("validation", said), *rules])
            self.assertEqual(outcome.status, code)
        self.assertIn("the route vm names crm", self.run_command("destination", "remove", "crm", rules=rules).err)
        free = [parameter("/marketplace-leads/routes", "[]")] + rules[1:]
        self.assertEqual(
            self.run_command("destination", "remove", "crm", rules=free).one("ssm delete-parameters")["request"],
            {"Names": [self.CRM]},
        )


class IntakeKey(CommandTest):
    FIRST, SECOND = "f" * 48, "5" * 48

    def written(self, outcome):
        return [call["request"]["Value"] for call in outcome.of("ssm put-parameter")]

    def test_a_rotation_makes_both_keys_valid_then_ends_the_old_one(self):
        outcome = self.run_command("rotate", "intake-key", rules=[parameter(KEYS, self.FIRST), PUT])
        (both,) = self.written(outcome)
        old, new = both.split(",")
        self.assertEqual((old, len(new)), (self.FIRST, 48))
        self.assertIn(f"https://abc.lambda-url.eu-west-1.on.aws/leads?code={new}", outcome.out)
        self.assert_hidden(outcome, self.FIRST)
        self.assertNotIn(new, json.dumps([call["arguments"] for call in outcome.calls]))
        # Run again, it says the same key and writes nothing.
        outcome = self.run_command("rotate", "intake-key", rules=[parameter(KEYS, both), PUT])
        self.assertEqual((self.written(outcome), f"code={new}" in outcome.out), ([], True))
        outcome = self.run_command(
            "rotate", "intake-key", "--finish", rules=[parameter(KEYS, both), PUT, EMPTY] + RESTART, typed="yes\n"
        )
        self.assertEqual(
            (outcome.status, self.written(outcome), len(changed(outcome))),
            (0, [new], 5),
        )

    def test_the_old_key_does_not_end_while_leads_wait_or_without_a_yes(self):
        both = parameter(KEYS, f"{self.FIRST},{self.SECOND}")
        waiting = {
            "call": "sqs get-queue-attributes",
            "answer": {"Attributes": {"ApproximateNumberOfMessagesNotVisible": "1"}},
        }
        for rules, typed, said in [
            ([both, PUT, waiting], "yes\n", "1 lead still in the queue"),
            ([both, PUT, EMPTY], "no\n", "both keys stay valid"),
            ([parameter(KEYS, self.FIRST), history(self.FIRST), PUT, EMPTY], "yes\n", "only one key is valid"),
        ]:
            outcome = self.run_command("rotate", "intake-key", "--finish", rules=rules, typed=typed)
            self.assertNotEqual(outcome.status, 0)
            self.assertEqual(self.written(outcome), [])
            self.assertIn(said, outcome.out + outcome.err)

    def test_a_queue_counts_as_empty_only_if_every_count_says_so_and_dead_letters_are_asked_about(self):
        both = parameter(KEYS, f"{self.FIRST},{self.SECOND}")
        late = [
            dict(EMPTY, times=3),
            {"call": "sqs get-queue-attributes", "answer": {"Attributes": {"ApproximateNumberOfMessagesDelayed": "2"}}},
        ]
        outcome = self.run_command("--yes", "rotate", "intake-key", "--finish", rules=[both, PUT] + late)
        self.assertIn("2 leads still in the queue", outcome.err)
        dead = {
            "call": "sqs get-queue-attributes",
            "when": {"QueueUrl": OUTPUTS["LeadDeadLetterQueueUrl"]},
            "answer": {"Attributes": {"ApproximateNumberOfMessages": "1"}},
        }
        outcome = self.run_command("rotate", "intake-key", "--finish", rules=[both, PUT, dead, EMPTY], typed="no\n")
        self.assertEqual((outcome.status, self.written(outcome)), (1, []))
        self.assertIn("1 lead in the dead-letter queue", outcome.err)

    def test_a_stack_without_intake_has_no_key_to_rotate_and_its_other_functions_start_afresh(self):
        left = {name: value for name, value in OUTPUTS.items() if name not in ("IntakeUrl", "IntakeFunction")}
        without = described(parameters=dict(PARAMETERS, HttpsIntake="off"), outputs=left)
        rules = [{"call": "cloudformation describe-stacks", "answer": without}, PUT, parameter(KEYS, "a" * 20)]
        for command in (["rotate", "intake-key"], ["logs", "intake"]):
            outcome = self.run_command("--yes", *command, rules=rules, deployed=False)
            self.assertEqual((outcome.status, outcome.of("ssm put-parameter")), (2, []), outcome.err)
            self.assertIn("leads settings set HttpsIntake=on makes it", outcome.err)
        storage_rules = [parameter(STORAGE, CONNECTION), function("validation", REPORT), *RESTART]
        given = CONNECTION.replace(OLD, NEW) + "\n"
        outcome = self.run_command(
            "--yes", "rotate", "storage-key", rules=rules + storage_rules, piped=given, deployed=False
        )
        restarted = changed(outcome)
        self.assertEqual((outcome.status, len(restarted)), (0, 4), outcome.err)
        self.assertNotIn("leads-lead-intake", restarted)

    def test_switching_intake_off_says_what_is_lost_with_it(self):
        on = [{"call": "cloudformation describe-stacks", "answer": described(parameters=dict(PARAMETERS, HttpsIntake="on"))}]
        outcome = self.run_command("settings", "set", "HttpsIntake=off", rules=on + CHANGE_SET, typed="no\n")
        self.assertEqual((outcome.status, outcome.of("cloudformation execute-change-set")), (1, []))
        self.assertIn("still sends to the HTTPS endpoint is lost", outcome.err)

    def test_a_rotation_can_be_taken_back_before_and_after_its_end(self):
        both = f"{self.FIRST},{self.SECOND}"
        for now, before, expected, said in [
            (both, [self.FIRST], self.FIRST, "only the old key is valid"),
            (self.SECOND, [self.FIRST, both], both, "Both keys are valid again"),
        ]:
            rules = [parameter(KEYS, now), history(*before, now), PUT, EMPTY] + RESTART
            outcome = self.run_command("rotate", "intake-key", "--undo", rules=rules, typed="yes\n")
            self.assertEqual((outcome.status, self.written(outcome), len(changed(outcome))), (0, [expected], 5))
            self.assertIn(said, outcome.out)
            self.assert_hidden(outcome, self.FIRST, self.SECOND)

    def test_the_new_key_does_not_end_while_leads_wait_or_without_a_yes(self):
        both = f"{self.FIRST},{self.SECOND}"
        there = [parameter(KEYS, both), history(self.FIRST, both), PUT]
        dead = {
            "call": "sqs get-queue-attributes",
            "when": {"QueueUrl": OUTPUTS["LeadDeadLetterQueueUrl"]},
            "answer": {"Attributes": {"ApproximateNumberOfMessages": "1"}},
        }
        waiting = dict(dead, when={"QueueUrl": OUTPUTS["LeadQueueUrl"]})
        for rules, typed, said in [
            ([waiting, EMPTY], "yes\n", "1 lead still in the queue, perhaps with the new key"),
            ([dead, EMPTY], "no\n", "1 lead in the dead-letter queue"),
            ([EMPTY], "no\n", "Does every offer in Partner Center have the old address?"),
        ]:
            outcome = self.run_command("rotate", "intake-key", "--undo", rules=there + rules, typed=typed)
            self.assertNotEqual(outcome.status, 0)
            self.assertEqual((self.written(outcome), changed(outcome)), ([], set()))
            self.assertIn(said, outcome.err)

    def test_what_was_interrupted_while_the_functions_start_afresh_is_done_to_its_end_and_not_reversed(self):
        both = f"{self.FIRST},{self.SECOND}"
        for option, now, before, said in [
            ("--undo", both, [self.FIRST, both, self.SECOND], "Both keys are valid again"),
            ("--undo", self.FIRST, [self.FIRST, both], "only the old key is valid"),
            ("--finish", self.SECOND, [self.FIRST, both], "Only the new key is valid now"),
        ]:
            rules = [parameter(KEYS, now), history(*before, now), PUT, EMPTY] + RESTART
            outcome = self.run_command("--yes", "rotate", "intake-key", option, rules=rules)
            self.assertEqual((outcome.status, self.written(outcome), len(changed(outcome))), (0, [], 5), outcome.err)
            self.assertIn(said, outcome.out)
        rules = [parameter(KEYS, self.FIRST), history(self.FIRST), PUT] + RESTART
        outcome = self.run_command("--yes", "rotate", "intake-key", "--undo", rules=rules)
        self.assertEqual((outcome.status, self.written(outcome)), (2, []))
        self.assertIn("SSM knows no earlier key", outcome.err)


class StorageKey(CommandTest):
    AZ = [
        {
            "call": "storage account keys list",
            "answer": [{"keyName": "key1", "value": OLD}, {"keyName": "key2", "value": NEW}],
        },
        {"call": "cloud show", "answer": {"suffixes": {"storageEndpoint": "core.windows.net"}}},
        {"call": "storage account keys renew"},
    ]
    AZURE = {"group": "marketplace-leads", "account": "contosoleads", "location": "westeurope", "key": "key1"}

    def begin(self, value, **answers):
        self.write(".leads.json", json.dumps({"azure": self.AZURE, **answers}))
        return self.run_command(
            "rotate",
            "storage-key",
            rules=[parameter(STORAGE, value), PUT, function("validation", REPORT)] + RESTART + self.AZ,
        )

    def test_the_functions_change_to_the_other_key_and_only_then_the_old_one_is_renewed(self):
        outcome = self.begin(CONNECTION)
        expected = CONNECTION.replace(OLD, NEW)
        self.assertEqual(
            (outcome.status, outcome.one("ssm put-parameter")["request"]["Value"]), (0, expected), outcome.err
        )
        self.assertIn(expected, outcome.out)
        self.assertEqual(
            (self.answers()["rotation"], outcome.of("storage account keys renew")), ({"renew": "key1"}, [])
        )
        self.assertNotIn(NEW, json.dumps([call["arguments"] for call in outcome.calls]) + json.dumps(self.answers()))
        # Interrupted and run again: the same key is the one to renew, whatever the functions use by now.
        again = self.begin(expected, rotation={"renew": "key1"})
        self.assertEqual(
            (again.one("ssm put-parameter")["request"]["Value"], self.answers()["rotation"]),
            (expected, {"renew": "key1"}),
        )
        rules = [parameter(STORAGE, expected), function("validation", REPORT)] + self.AZ
        outcome = self.run_command("rotate", "storage-key", "--finish", rules=rules, typed="no\n")
        self.assertEqual((outcome.status, outcome.of("storage account keys renew")), (1, []))
        outcome = self.run_command("rotate", "storage-key", "--finish", rules=rules, typed="yes\n")
        call = outcome.one("storage account keys renew")["arguments"]
        self.assertEqual(
            (outcome.status, call[call.index("--key") + 1], "rotation" in self.answers()), (0, "primary", False)
        )
        self.assert_hidden(outcome, OLD, NEW)

    def test_a_key_that_is_in_use_or_of_no_rotation_is_never_renewed(self):
        self.write(".leads.json", json.dumps({"azure": self.AZURE, "rotation": {"renew": "key1"}}))
        rules = [parameter(STORAGE, CONNECTION), function("validation", REPORT)] + self.AZ
        outcome = self.run_command("--yes", "rotate", "storage-key", "--finish", rules=rules)
        self.assertEqual((outcome.status, outcome.of("storage account keys renew")), (2, []))
        self.write(".leads.json", json.dumps({"azure": self.AZURE}))
        self.assertIn(
            "no rotation of the storage key",
            self.run_command("--yes", "rotate", "storage-key", "--finish", rules=rules).err,
        )

    def test_a_signature_is_made_anew_with_the_other_key(self):
        outcome = self.begin(storage.with_signature(CONNECTION, 30))
        value = outcome.one("ssm put-parameter")["request"]["Value"]
        self.assertTrue(
            value.startswith("TableEndpoint=https://contosoleads.table.core.windows.net;SharedAccessSignature=sv="),
            value,
        )
        self.assertIn(CONNECTION.replace(OLD, NEW), outcome.out)
        self.assertEqual(self.answers()["azure"]["key"], "key2")

    def test_a_signature_tells_itself_which_key_it_was_made_with(self):
        # The answers were kept, and then SSM refused the new signature.
        signed = storage.with_signature(CONNECTION, 30)
        self.write(".leads.json", json.dumps({"azure": dict(self.AZURE, key="key2"), "rotation": {"renew": "key1"}}))
        rules = [parameter(STORAGE, signed), function("validation", REPORT)] + self.AZ
        outcome = self.run_command("--yes", "rotate", "storage-key", "--finish", rules=rules)
        self.assertEqual((outcome.status, outcome.of("storage account keys renew")), (2, []))
        self.assertIn("the functions still use key1", outcome.err)
        # The answers say key1; the signature is of key2, so that key1 is the other one.
        outcome = self.begin(storage.with_signature(CONNECTION.replace(OLD, NEW), 30))
        self.assertEqual((outcome.status, self.answers()["rotation"]), (0, {"renew": "key2"}), outcome.err)
        unknown = CONNECTION.replace(OLD, base64.b64encode(b"neither of the two").decode())
        for text in (unknown, storage.with_signature(unknown, 30)):
            outcome = self.begin(text)
            self.assertEqual((outcome.status, outcome.of("ssm put-parameter")), (2, []))
            self.assertIn("none of the account's two", outcome.err)

    def test_a_signature_made_in_the_portal_tells_its_key_too(self):
        # https://learn.microsoft.com/rest/api/storageservices/create-account-sas: from 2020-12-06 on one line more.
        key = base64.b64decode(OLD)
        fields = {"sv": "2022-11-02", "ss": "bfqt", "srt": "sco", "sp": "rwdlacupiytfx", "se": "2027-11-11T00:00:00Z"}
        fields.update(st="2026-11-11T00:00:00Z", spr="https")
        lines = ["contosoleads", fields["sp"], fields["ss"], fields["srt"], fields["st"], fields["se"], "", "https"]
        to_sign = "".join(f"{line}\n" for line in [*lines, fields["sv"], ""])
        fields["sig"] = base64.b64encode(hmac.new(key, to_sign.encode(), hashlib.sha256).digest()).decode()
        host = "contosoleads.{}.core.windows.net"
        endpoints = f"BlobEndpoint=https://{host.format('blob')}/;TableEndpoint=https://{host.format('table')}/;"
        signed = f"{endpoints}SharedAccessSignature={urllib.parse.urlencode(fields)}"
        outcome = self.begin(signed, azure=dict(self.AZURE, key="key2"))
        self.assertEqual((outcome.status, self.answers()["rotation"]), (0, {"renew": "key1"}), outcome.err)

    def test_the_key_of_another_account_than_the_functions_use_is_not_touched(self):
        other = CONNECTION.replace("contosoleads", "contosonew")
        for text in (other, storage.with_signature(other, 30)):
            for more, answers in [([], {}), (["--finish"], {"rotation": {"renew": "key2"}})]:
                self.write(".leads.json", json.dumps({"azure": self.AZURE, **answers}))
                rules = [parameter(STORAGE, text), PUT, function("validation", REPORT)] + RESTART + self.AZ
                outcome = self.run_command("--yes", "rotate", "storage-key", *more, rules=rules)
                done = outcome.of("ssm put-parameter") + outcome.of("storage account keys renew")
                self.assertEqual((outcome.status, done), (2, []))
                self.assertIn("the functions use the storage account contosonew", outcome.err)
                self.assertIn("contosoleads", outcome.err)

    def test_without_az_a_signature_is_made_anew_of_the_connection_string_that_is_given(self):
        rules = [parameter(STORAGE, storage.with_signature(CONNECTION, 30)), PUT, function("validation", REPORT)]
        other = CONNECTION.replace(OLD, NEW)
        outcome = self.run_command("rotate", "storage-key", rules=rules + RESTART, piped=other + "\n")
        value = outcome.one("ssm put-parameter")["request"]["Value"]
        now = datetime.datetime.now(datetime.timezone.utc)
        lately = [storage.with_signature(other, 365, now - datetime.timedelta(seconds=ago)) for ago in range(60)]
        self.assertEqual((outcome.status, value in lately), (0, True), outcome.err)

    def test_without_az_the_other_connection_string_is_asked_for_and_put_back_where_it_does_not_work(self):
        other = CONNECTION.replace(OLD, NEW)
        rules = [parameter(STORAGE, CONNECTION), PUT] + RESTART
        outcome = self.run_command(
            "rotate", "storage-key", rules=rules + [function("validation", REPORT)], typed=other + "\n"
        )
        self.assertEqual((outcome.status, outcome.one("ssm put-parameter")["request"]["Value"]), (0, other))
        outcome = self.run_command(
            "rotate", "storage-key", rules=rules + [function("validation", dict(REPORT, ok=False))], piped=other + "\n"
        )
        self.assertEqual(
            (outcome.status, [call["request"]["Value"] for call in outcome.of("ssm put-parameter")]),
            (2, [other, CONNECTION]),
        )
        self.assert_hidden(outcome, OLD, NEW)


class AnotherAccount(CommandTest):
    def test_no_command_touches_a_stack_of_another_account_than_that_of_the_answers(self):
        self.write(".leads.json", json.dumps({"account": "999999999999", "azure": StorageKey.AZURE}))
        identity = {"call": "sts get-caller-identity", "answer": {"Account": "123456789012"}}
        for command in [
            "rotate storage-key",
            "rotate storage-key --finish",
            "rotate intake-key",
            "rotate intake-key --finish",
            "rotate intake-key --undo",
            "settings set IntervalMinutes=15",
            "route add --id vm --to a@b.example",
            "route remove vm",
            "destination add crm --kind slack",
            "destination remove crm",
            "erase --confirm",
            "discard vm",
            "retry",
            "pause",
            "resume",
            "run",
            "test --to a@b.example",
            "backfill --since 2026-11-01 --until 2026-11-02",
            "validate --create",
            "status",
            "export",
            "update",
            "remove",
        ]:
            with self.subTest(command):
                outcome = self.run_command("--yes", *command.split(), rules=[identity], piped="secret\n")
                called = [call["operation"] for call in outcome.calls]
                self.assertEqual((outcome.status, called), (2, ["sts get-caller-identity"]), outcome.err)
                self.assertIn(".leads.json is about 999999999999", outcome.err)

    def test_the_account_is_asked_for_once_and_only_where_the_answers_name_one(self):
        rules = [
            {"call": "sts get-caller-identity", "answer": {"Account": "123456789012"}},
            function("notifier", {"paused": True}, command="pause"),
        ]
        for answers, times in [({}, 0), ({"account": "123456789012"}, 1)]:
            self.write(".leads.json", json.dumps(answers))
            outcome = self.run_command("pause", rules=rules)
            self.assertEqual((outcome.status, len(outcome.of("sts get-caller-identity"))), (0, times), outcome.err)


class ConnectionStrings(unittest.TestCase):
    def test_a_connection_string_comes_into_the_order_that_partner_center_takes(self):
        for text in [
            CONNECTION,
            f"AccountKey={OLD};EndpointSuffix=core.windows.net;AccountName=contosoleads;DefaultEndpointsProtocol=https;",
            (
                f"  DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName=contosoleads;AccountKey={OLD};BlobEndpoint=https://x/\n"
            ),
            f"AccountName=contosoleads;AccountKey={OLD}",
        ]:
            self.assertEqual(storage.in_order(text), CONNECTION)
        for text in [
            "",
            "AccountName=contosoleads",
            f"AccountKey={OLD}",
            "secret",
            "AccountName=contosoleads;AccountKey=secret!",
        ]:
            with self.assertRaises(storage.Problem) as raised:
                storage.in_order(text)
            self.assertNotIn("secret", raised.exception.text())

    def test_a_signature_is_that_of_an_independent_calculation(self):
        now = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
        made = storage.with_signature(CONNECTION, 10, now)
        # openssl: printf 'contosoleads\nraud\nt\no\n\n2026-11-11T00:00:00Z\n\nhttps\n2019-02-02\n' | openssl dgst -sha256 -hmac 'first key of the account' -binary | base64
        self.assertTrue(
            made.endswith(
                "se=2026-11-11T00%3A00%3A00Z&spr=https&sig=OL6FOaiuEftN99DUu5nrLWqIZ9L%2BCzlf%2Bt4TqPIVpkQ%3D"
            ),
            made,
        )


if __name__ == "__main__":
    unittest.main()
