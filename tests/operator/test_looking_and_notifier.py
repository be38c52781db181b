"""Commands over a deployed stack: what each gives the functions, and what it says."""

import json
import os
import unittest
from unittest import mock

from support import DEPLOYED, OUTPUTS, PARAMETERS, RECORD, REPORT, CommandTest, described, error, function, subscribed

from leads import answers, words  # noqa: E402

ATTRIBUTES = {"Attributes": {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1"}}
SCHEDULE = {"State": "ENABLED", "ScheduleExpression": "rate(1 hour)"}
RESOURCES = [{"ResourceType": "AWS::CloudWatch::Alarm", "PhysicalResourceId": "leads-lead-intake-401"}]
QUIET = [
    {"call": "cloudformation list-stack-resources", "answer": {"StackResourceSummaries": RESOURCES}},
    {"call": "cloudwatch describe-alarms", "answer": {"MetricAlarms": []}},
    {"call": "scheduler get-schedule", "answer": SCHEDULE},
    {"call": "sqs get-queue-attributes", "answer": {"Attributes": {}}},
    function("notifier", {"channels": [], "parked": [], "paused": False}, command="outbox"),
    function("notifier", {"runs": [RECORD]}, command="history", last=1),
]


class Notifier(CommandTest):
    def test_each_command_gives_the_notifier_its_event_and_says_what_was_done(self):
        owed = {
            "channels": [
                {
                    "channel": "1f2e3d4c5b6a7988",
                    "owed": 2,
                    "route": "name sales",
                    "oldest": "2026-11-22T13:00:03Z",
                    "attempts": 3,
                    "reason": "the mail service refused the mail",
                    "next_attempt": "2026-11-22T14:05:50Z",
                }
            ],
            "parked": [],
            "paused": False,
        }
        for arguments, event, answer, said in [
            (["run"], {"command": "run"}, RECORD, "done: 3 new leads, 3 leads sent in 1 mail"),
            (
                ["history"],
                {"command": "history"},
                {"runs": [dict(RECORD, outcome="failed", error="no network", owed=1, oldest_owed="noon")]},
                (
                    "something failed, and the next run tries it again: 3 new leads, 3 leads sent in 1 mail; 1 lead"
                    " still to be sent, the oldest since noon; no network"
                ),
            ),
            (
                ["history", "--last", "5"],
                {"command": "history", "last": 5},
                {"runs": []},
                "No run has done anything yet.",
            ),
            (
                ["outbox"],
                {"command": "outbox"},
                owed,
                "2 leads for the route name sales, waiting since 2026-11-22T13:00:03Z",
            ),
            (
                ["outbox"],
                {"command": "outbox"},
                {"channels": [], "parked": [], "paused": True},
                "The notifier is paused.",
            ),
            (["retry"], {"command": "retry"}, {"channels": 2, "put_back": 1}, "tries 2 channels at once; 1 lead"),
            (
                ["retry", "1f2e3d4c5b6a7988"],
                {"command": "retry", "channel": "1f2e3d4c5b6a7988"},
                {"channels": 1, "put_back": 0},
                "tries 1 channel at once",
            ),
            (
                ["test", "--to", "me@contoso.example", "--route", "boss"],
                {"command": "test", "to": "me@contoso.example", "route": "boss"},
                {"mails": 1, "route": "boss", "urgent_at_once": False, "others_at": "2026-11-23T07:00:00Z"},
                "go out with the others",
            ),
            (["pause"], {"command": "pause"}, {"paused": True}, "The notifier is paused"),
            (["resume"], {"command": "resume"}, {"paused": False}, "The pause is over."),
            (
                ["--yes", "backfill", "--since", "2026-11-20", "--until", "2026-11-21", "--to", "a@b.example"],
                {"command": "backfill", "since": "2026-11-20", "until": "2026-11-21", "to": "a@b.example"},
                {"digests": 1, "leads": 12, "mails": 1, "refused": 2, "since": "", "until": ""},
                "Sent 12 leads again in 1 mail",
            ),
            (
                ["dry-run", "--full"],
                {"command": "dry-run"},
                {
                    "digests": [
                        {
                            "recipients": ["sales@contoso.example"],
                            "route": "default",
                            "subject": "3 new leads",
                            "text": "Ana\nLima",
                        }
                    ],
                    "found": 3,
                    "dropped": 1,
                    "owed": 0,
                    "paused": False,
                },
                "  | Lima",
            ),
        ]:
            with self.subTest(arguments):
                outcome = self.run_command(*arguments, rules=[function("notifier", answer, command=event["command"])])
                self.assertEqual((outcome.status, outcome.payloads()), (0, [event]), outcome.err)
                self.assertIn(said, outcome.out)
                again = self.run_command(
                    "--json", *arguments, rules=[function("notifier", answer, command=event["command"])]
                )
                self.assertEqual(json.loads(again.out), answer)

    def test_a_function_is_invoked_once_whatever_the_cli_would_do_by_itself(self):
        outcome = self.run_command("run", rules=[function("notifier", RECORD)])
        call = outcome.one("lambda invoke")
        self.assertEqual(call["attempts"], "1")
        self.assertEqual(call["arguments"][call["arguments"].index("--cli-read-timeout") + 1], "310")

    def test_a_notifier_that_is_busy_is_waited_for(self):
        busy = {
            "call": "lambda invoke",
            "error": error("TooManyRequestsException", "Invoke", "Rate Exceeded."),
            "times": 3,
        }
        outcome = self.run_command("run", rules=[busy, function("notifier", RECORD)])
        self.assertEqual((outcome.status, len(outcome.payloads())), (0, 4))
        self.assertEqual(outcome.err.count("busy with another run"), 1)

    def test_what_a_function_says_of_its_failure_is_printed_with_what_to_do(self):
        rule = dict(
            function("notifier", {"errorType": "NotifierFailed", "errorMessage": "SES is paused"}),
            answer={"FunctionError": "Unhandled"},
        )
        outcome = self.run_command("run", rules=[rule])
        self.assertEqual(outcome.status, 2)
        self.assertIn("leads-lead-notifier could not do it: SES is paused", outcome.err)
        self.assertIn("leads validate", outcome.err)

    def test_discarding_asks_first_and_names_the_keys(self):
        rules = [
            function(
                "notifier",
                {"channels": [{"channel": "1f", "owed": 1, "route": "default"}], "parked": [], "paused": False},
                command="outbox",
            ),
            function("notifier", {"discarded": 1, "leads": [["p", "r"]]}, command="discard", channel="1f"),
        ]
        outcome = self.run_command("discard", "1f", rules=rules, typed="no\n")
        self.assertEqual((outcome.status, len(outcome.payloads())), (1, 1))
        outcome = self.run_command("discard", "1f", rules=rules, typed="yes\n")
        self.assertIn("p / r", outcome.out)
        self.assertIn("leads outbox", self.run_command("discard", "2f", rules=rules).err)

    def test_erasing_asks_for_the_address_counts_first_and_goes_on_to_the_end_of_the_table(self):
        found = {"complete": False, "would_remove": {"MarketplaceLeads": {"a": 2}}, "rows_read": 10, "after": "place"}
        rest = {"complete": True, "would_remove": {"MarketplaceLeads": {"a": 1, "b": 1}}, "rows_read": 5}

        def removed(answer):
            return {"removed" if name == "would_remove" else name: value for name, value in answer.items()}

        rules = [
            function("notifier", rest, command="erase", after="place", confirm=False),
            function("notifier", found, command="erase", confirm=False),
            function("notifier", removed(rest), command="erase", after="place"),
            function("notifier", removed(found), command="erase"),
        ]
        outcome = self.run_command("erase", rules=rules, typed="someone@contoso.example\nyes\n")
        self.assertEqual([p["confirm"] for p in outcome.payloads()], [False, False, True, True])
        self.assertIn("4 rows would be removed, of 15 that were read", outcome.out)
        self.assertIn("Removed 4 rows.", outcome.out)
        self.assert_hidden(outcome, "someone@contoso.example")
        outcome = self.run_command("erase", rules=rules, typed="someone@contoso.example\nno\n")
        self.assertEqual((outcome.status, [p["confirm"] for p in outcome.payloads()]), (1, [False, False]))


class Looking(CommandTest):
    def test_the_status_says_in_words_how_everything_is(self):
        outcome = self.run_command("status", rules=QUIET)
        self.assertEqual(outcome.status, 0, outcome.err)
        for said in [
            "The stack leads in eu-west-1 is UPDATE_COMPLETE.",
            "No alarm is on.",
            "by rate(1 hour)",
            "The last run: 2026",
            "All queues are empty.",
        ]:
            self.assertIn(said, outcome.out)

    def test_an_alarm_a_schedule_that_is_off_and_what_cannot_be_looked_at_are_not_all_right(self):
        alarm = {
            "AlarmName": "leads-lead-intake-401",
            "AlarmDescription": "Requests without a key.",
            "StateUpdatedTimestamp": "noon",
        }
        for rule, said in [
            (
                {"call": "cloudwatch describe-alarms", "answer": {"MetricAlarms": [alarm]}},
                "leads-lead-intake-401: Requests without a key. Since noon.",
            ),
            (
                {"call": "scheduler get-schedule", "answer": dict(SCHEDULE, State="DISABLED")},
                "leads settings set ScheduleState=ENABLED",
            ),
            (
                function("notifier", {"channels": [{"owed": 2}], "parked": [{}], "paused": True}, command="outbox"),
                "The notifier is paused: leads resume",
            ),
            (
                {"call": "sqs get-queue-attributes", "error": error("AccessDenied", "GetQueueAttributes", "no")},
                "Not looked at (queues)",
            ),
            (
                {
                    "call": "cloudformation describe-stacks",
                    "answer": {"Stacks": [dict(DEPLOYED[0]["answer"]["Stacks"][0], StackStatus="ROLLBACK_COMPLETE")]},
                },
                "is ROLLBACK_COMPLETE",
            ),
        ]:
            outcome = self.run_command("status", rules=[rule] + QUIET)
            self.assertEqual(outcome.status, 1, said)
            self.assertIn(said, outcome.out)
        self.assertIn(
            "3 waiting to be stored.",
            self.run_command("status", rules=[{"call": "sqs get-queue-attributes", "answer": ATTRIBUTES}] + QUIET).out,
        )

    def test_an_alarm_of_another_stack_with_the_same_beginning_does_not_count(self):
        other = {
            "call": "cloudwatch describe-alarms",
            "answer": {"MetricAlarms": [{"AlarmName": "leads-test-lead-intake-401"}]},
        }
        outcome = self.run_command("status", rules=[other] + QUIET)
        self.assertEqual((outcome.status, "No alarm is on." in outcome.out), (0, True))

    def test_alarms_that_reach_nobody_before_a_link_is_opened_are_not_all_right(self):
        with_address = dict(PARAMETERS, AlarmEmail="ops@contoso.example")
        stack = {"call": "cloudformation describe-stacks", "answer": described(parameters=with_address)}
        topic = OUTPUTS["AlarmTopicArn"]
        again = f"aws sns subscribe --region eu-west-1 --topic-arn {topic} --protocol email"
        for rule, status, state, said in [
            (subscribed(f"{topic}:1"), 0, "confirmed", "ops@contoso.example gets the alarms."),
            (subscribed(f"{topic}:1", "Ops@contoso.example"), 0, "confirmed", "ops@contoso.example gets the alarms."),
            (subscribed("PendingConfirmation"), 1, "pending", "AWS has mailed a link to ops@contoso.example: open it"),
            (subscribed(None), 1, "missing", f"{again} --notification-endpoint ops@contoso.example"),
            (subscribed("Deleted"), 1, "missing", "ops@contoso.example does not get the alarms"),
            (subscribed(f"{topic}:1", "other@contoso.example"), 1, "missing", again),
        ]:
            with self.subTest(state):
                outcome = self.run_command("status", rules=[stack, rule, *QUIET])
                self.assertEqual(outcome.status, status, outcome.out)
                self.assertIn(said, outcome.out)
                found = json.loads(self.run_command("--json", "status", rules=[stack, rule, *QUIET]).out)
                self.assertEqual((found["subscription"]["state"], found["ok"]), (state, status == 0))
        refused = {
            "call": "sns list-subscriptions-by-topic",
            "error": error("AuthorizationError", "ListSubscriptionsByTopic", "not allowed"),
        }
        outcome = self.run_command("status", rules=[stack, refused, *QUIET])
        self.assertEqual(outcome.status, 0, outcome.out)
        self.assertIn("Not looked at (subscription): AWS refused sns list-subscriptions-by-topic", outcome.out)
        # Who has chosen that nobody gets them is not asked for more.
        outcome = self.run_command("status", rules=QUIET)
        self.assertEqual((outcome.status, outcome.of("sns list-subscriptions-by-topic")), (0, []))
        self.assertIn("leads settings set AlarmEmail=<address>", outcome.out)

    def test_validation_is_asked_for_what_was_said_and_its_report_is_printed(self):
        for arguments, event, answer, status in [
            ([], {}, REPORT, 0),
            (["--check", "table", "--create"], {"checks": ["table"], "create": True}, REPORT, 0),
            (["--send", "--leave"], {"leave": True, "send": True}, dict(REPORT, ok=False), 1),
        ]:
            outcome = self.run_command("validate", *arguments, rules=[function("validation", answer)])
            self.assertEqual((outcome.status, outcome.payloads()), (status, [event]))
            self.assertIn("both tables exist", outcome.out)

    def test_a_list_is_compared_in_the_encodings_of_partner_center_and_spreadsheets(self):
        for data in [
            "Email\nmüller@contoso.example".encode("utf-8-sig"),
            "Email\nmüller@contoso.example".encode("utf-16"),
            "Email\nmüller@contoso.example".encode("cp1252"),
        ]:
            with open("list.csv", "wb") as file:
                file.write(data)
            outcome = self.run_command(
                "reconcile", "list.csv", "--dates", "day-first", "--explain", rules=[function("validation", REPORT)]
            )
            self.assertEqual(
                outcome.payloads(),
                [
                    {
                        "checks": ["reconcile"],
                        "reconcile": {"csv": "Email\nmüller@contoso.example", "dates": "day-first", "explain": True},
                    }
                ],
            )
        self.assertIn("cannot be read", self.run_command("reconcile", "missing.csv").err)

    def test_a_list_that_lambda_cannot_take_is_not_sent(self):
        self.write("list.csv", "x" * (6 * 1024 * 1024))
        outcome = self.run_command("reconcile", "list.csv")
        self.assertIn("too large", outcome.err)
        self.assertEqual(outcome.payloads(), [])

    def test_logs_come_in_order_and_say_where_there_are_none(self):
        events = [
            {"eventId": "2", "timestamp": 2, "message": "second\n"},
            {"eventId": "1", "timestamp": 1, "message": "first\n"},
        ]
        outcome = self.run_command(
            "logs",
            "intake",
            "--since",
            "2026-11-03",
            rules=[{"call": "logs filter-log-events", "answer": {"events": events}}],
        )
        self.assertEqual(outcome.out, "first\nsecond\n")
        self.assertEqual(
            outcome.one("logs filter-log-events")["request"],
            {"logGroupName": "/aws/lambda/leads-lead-intake", "startTime": 1793664000000},
        )
        missing = {
            "call": "logs filter-log-events",
            "error": error("ResourceNotFoundException", "FilterLogEvents", "no group"),
        }
        self.assertIn("logged nothing", self.run_command("logs", rules=[missing]).out)
        self.assertIn("no time", self.run_command("logs", "--since", "yesterday").err)


class Problems(CommandTest):
    def test_what_the_cli_says_is_put_in_words_with_what_to_do(self):
        for said, message, cure in [
            (error("ExpiredToken", "DescribeStacks", "expired"), "(ExpiredToken)", "Sign in again"),
            ("Unable to locate credentials. You can configure", "there are no AWS credentials", "aws configure"),
            ('Could not connect to the endpoint URL: "https://x"', "AWS cannot be reached", "--region"),
            ("The config profile (x) could not be found", "does not know this profile", "--profile"),
            (
                "Error when retrieving token from sso: Token has expired and refresh failed",
                "the sign-in has expired",
                "aws sso login",
            ),
            (
                "The SSO session associated with this profile has expired or is otherwise invalid. To refresh this SSO"
                " session run aws sso login with the corresponding profile.",
                "the sign-in has expired",
                "aws sso login",
            ),
            (
                "Your session has expired. Please reauthenticate using 'aws login'.",
                "the sign-in has expired",
                "aws login",
            ),
            (
                "SSL validation failed for https://x [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"
                " certificate has expired (_ssl.c:1006)",
                "the certificate of AWS is not taken",
                "AWS_CA_BUNDLE",
            ),
            (
                error("ValidationError", "DescribeStacks", "Stack with id leads does not exist"),
                "there is no stack leads in eu-west-1",
                "leads setup",
            ),
        ]:
            outcome = self.run_command("run", rules=[{"call": "cloudformation describe-stacks", "error": said}])
            self.assertEqual(outcome.status, 2)
            self.assertIn(message, outcome.err)
            self.assertIn(cure, outcome.err)
        outcome = self.run_command(
            "--json",
            "run",
            rules=[{"call": "cloudformation describe-stacks", "error": error("ExpiredToken", "X", "y")}],
        )
        self.assertEqual(json.loads(outcome.out)["error"]["code"], "ExpiredToken")

    def test_an_endpoint_on_which_nothing_answers_is_named(self):
        refused = 'Could not connect to the endpoint URL: "http://127.0.0.1:9/"'
        with mock.patch.dict(os.environ, AWS_ENDPOINT_URL="http://127.0.0.1:9"):
            outcome = self.run_command("run", rules=[{"call": "cloudformation describe-stacks", "error": refused}])
        self.assertEqual(outcome.status, 2)
        self.assertIn("nothing answers at http://127.0.0.1:9", outcome.err)
        self.assertIn("unset AWS_ENDPOINT_URL", outcome.err)

    def test_a_wrong_word_is_answered_with_the_nearest_and_all_there_are(self):
        for arguments, expected in [
            (["valdate"], "there is no valdate; did you mean validate? There are: setup, status, validate"),
            (["settings", "gett"], "there is no gett; did you mean get? There are: get, set"),
            (["logs", "notifer"], "there is no notifer; did you mean notifier? There are: export, intake"),
            (["lead-notifier"], "there is no lead-notifier. There are: setup, status"),
        ]:
            outcome = self.run_command(*arguments)
            self.assertEqual(outcome.status, 2)
            self.assertIn(expected, outcome.err)

    def test_an_answer_of_another_form_shows_nothing_of_it(self):
        outcome = self.run_command("run", rules=[function("notifier", {"someone@contoso.example": 1})])
        self.assertEqual(outcome.status, 2)
        self.assertIn("another form than was expected (KeyError in notifier.py", outcome.err)
        self.assert_hidden(outcome, "someone@contoso.example")

    def test_a_stack_that_does_not_know_a_command_yet_is_to_be_updated(self):
        rule = dict(
            function("notifier", {"errorType": "InvalidCommand", "errorMessage": "unknown command"}),
            answer={"FunctionError": "Unhandled"},
        )
        self.assertIn("leads update", self.run_command("test", "--to", "a@b.example", rules=[rule]).err)

    def test_a_machine_without_the_cli_is_told_to_install_it(self):
        os.unlink("bin/aws")
        outcome = self.run_command("run")
        self.assertEqual((outcome.status, "Install it" in outcome.err), (2, True))

    def test_the_region_must_be_clear(self):
        for arguments, variables, answered, region in [
            ([], {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, None, None),
            (
                ["--region", "eu-north-1"],
                {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"},
                "eu-west-1",
                "eu-north-1",
            ),
            ([], {"AWS_DEFAULT_REGION": "us-east-1"}, None, "us-east-1"),
            ([], {"AWS_REGION": "eu-west-1"}, "us-east-1", None),
            ([], {}, "us-east-1", "us-east-1"),
            ([], {}, None, "ca-central-1"),
        ]:
            for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
                os.environ.pop(name, None)
            os.environ.update(variables)
            self.write(".leads.json", json.dumps({"region": answered} if answered else {}))
            outcome = self.run_command(
                *arguments,
                "run",
                rules=[function("notifier", RECORD), {"call": "configure get region", "answer": "ca-central-1\n"}],
            )
            if region is None:
                self.assertIn("the region is not clear", outcome.err)
            else:
                call = outcome.one("lambda invoke")["arguments"]
                self.assertEqual(call[call.index("--region") + 1], region)

    def test_a_file_that_holds_no_answers_is_not_used(self):
        for text in ["[]", "{", '{"secret": 1}']:
            self.write(".leads.json", text)
            self.assertEqual(self.run_command("run").status, 2)

    def test_answers_that_cannot_be_kept_are_a_problem_in_words(self):
        for error_of_disk in (PermissionError(13, "Permission denied"), OSError(28, "No space left on device")):
            kept = answers.Answers(".leads.json", {})
            with mock.patch("os.replace", side_effect=error_of_disk), self.assertRaises(words.Problem) as raised:
                kept.save(stack="leads")
            self.assertIn(f".leads.json cannot be written: {error_of_disk.strerror}", raised.exception.message)
            self.assertIn("--config", raised.exception.cure)


if __name__ == "__main__":
    unittest.main()
