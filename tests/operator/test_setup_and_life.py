"""Setup, update, remove and export: what is made, what is left alone, and how an interruption goes on."""

import contextlib
import datetime
import hashlib
import http.client
import http.server
import io
import json
import os
import ssl
import threading
import unittest
import urllib.error
import urllib.parse
from unittest import mock

from support import DEPLOYED, OUTPUTS, PARAMETERS, RECORD, REPORT, CommandTest, described, error, function, subscribed
from test_changing import CHANGE_SET, CONNECTION, EMPTY, KEYS, NEW, OLD, PUT, RESTART, STORAGE, changed, missing, parameter

from leads import export, functions, release, storage, words  # noqa: E402

TEMPLATE = """Parameters:
  StorageConnectionStringParameter:
    Default: /marketplace-leads/storage-connection-string
  IntakeKeysParameter:
    Default: /marketplace-leads/intake-keys
  MailFrom:
    Type: String
  MailTo:
    Type: String
  TimeZone:
    Default: UTC
  AlarmEmail:
    Default: ''
  Architecture:
    Default: arm64
  ReserveConcurrency:
    Default: 'true'
  DestinationsPrefix:
    Default: /marketplace-leads/destinations/
Resources:
  LeadIntake:
    Properties:
      CodeUri: ../../functions/lead-intake
  LeadNotifier:
    Properties:
      CodeUri: ../../functions/lead-notifier
"""
KEY = "k" * 48
VERIFIED = {
    "call": "sesv2 get-email-identity",
    "answer": {"VerifiedForSendingStatus": True, "DkimAttributes": {"Tokens": ["t1", "t2"]}},
}
BUCKET = "leads-code-123456789012-eu-west-1"
# What is there in an empty account with a verified sender.
ACCOUNT = [
    {"call": "--version", "answer": "aws-cli/1.46.3 Python/3.11.7"},
    {"call": "sts get-caller-identity", "answer": {"Account": "123456789012"}},
    {"call": "sesv2 get-account", "answer": {"ProductionAccessEnabled": True, "SendingEnabled": True}},
    {"call": "lambda get-account-settings", "answer": {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}},
    VERIFIED,
]
NO_STACK = {
    "call": "cloudformation describe-stacks",
    "error": error("ValidationError", "DescribeStacks", "Stack with id leads does not exist"),
}
REVIEW = {"call": "cloudformation describe-stacks", "answer": described("REVIEW_IN_PROGRESS", {}, {})}
S3 = [
    {"call": "s3api create-bucket"},
    {"call": "s3api put-object"},
    {"call": "s3api list-objects-v2", "answer": {"Contents": []}},
]
WORKS = [
    function("validation", REPORT),
    function("notifier", RECORD, command="run"),
    function("notifier", {"runs": [dict(RECORD, started="2999-01-01T00:00:00Z")]}, command="history"),
]
# What a removal asks for, beside the stack.
REMOVED = [
    {"call": "ssm describe-parameters", "answer": {"Parameters": []}},
    {"call": "s3api list-objects-v2", "answer": {}},
    {"call": "s3api delete-bucket"},
    {"call": "sqs delete-queue"},
    {"call": "ssm delete-parameters", "answer": {"DeletedParameters": [KEYS]}},
    {"call": "cloudformation delete-stack"},
    *ACCOUNT,
    *WORKS,
]
GIVEN = [
    "setup",
    "--release",
    "release",
    "--mail-from",
    "leads@contoso.example",
    "--mail-to",
    "sales@contoso.example",
    "--time-zone",
    "Europe/Berlin",
    "--alarm-email",
    "-",
]


# What Azure says of the keys of an account that is not there yet.
NO_ACCOUNT = {
    "call": "storage account keys list",
    "error": "ERROR: (ResourceNotFound) The Resource 'Microsoft.Storage/storageAccounts/contosoleads' was not found.\n",
    "times": 1,
}
AZ = [
    {"call": "account show", "answer": {"name": "Contoso"}},
    {"call": "group create"},
    {"call": "deployment group create"},
    {"call": "cloud show", "answer": {"suffixes": {"storageEndpoint": "core.windows.net"}}},
    {"call": "storage account keys list", "answer": [{"keyName": "key1", "value": OLD}]},
]


class ReleaseTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.make_release()
        self.posted = []
        patch = mock.patch.object(
            functions,
            "post_lead",
            lambda url, key, lead: self.posted.append((url, key, lead)) or (201, {"status": "stored"}),
        )
        patch.start()
        self.addCleanup(patch.stop)

    def make_release(self, **files):
        content = {
            "template.yaml": TEMPLATE,
            "storage.json": "{}",
            "lead-intake-x86_64.zip": "intake",
            "lead-notifier-x86_64.zip": "notifier",
            **files,
        }
        for name, text in content.items():
            self.write(f"release/{name}", text)
        sums = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in content.items())
        self.write("release/SHA256SUMS", sums)

    def setup_rules(self, stored=True):
        """An account in which the secrets are not there at first, and there afterwards."""
        secrets = [
            dict(missing(KEYS), times=1),
            parameter(KEYS, KEY),
            parameter(STORAGE, CONNECTION) if stored else missing(STORAGE),
            PUT,
        ]
        stacks = [
            dict(NO_STACK, times=2),
            dict(REVIEW, times=1),
            {"call": "cloudformation describe-stacks", "answer": described("CREATE_COMPLETE")},
        ]
        return ACCOUNT + secrets + stacks + S3 + CHANGE_SET + WORKS


class Setup(ReleaseTest):
    def test_from_nothing_to_the_first_mail(self):
        outcome = self.run_command(
            "--yes", *GIVEN, rules=self.setup_rules(stored=False), piped=f"AccountKey={OLD};AccountName=contosoleads\n"
        )
        self.assertEqual(outcome.status, 0, outcome.err)
        written = {call["request"]["Name"]: call["request"]["Value"] for call in outcome.of("ssm put-parameter")}
        self.assertEqual((written[STORAGE], len(written[KEYS])), (CONNECTION, 48))
        request = outcome.one("cloudformation create-change-set")["request"]
        given = {p["ParameterKey"]: p["ParameterValue"] for p in request["Parameters"]}
        self.assertEqual(
            given,
            {
                "MailFrom": "leads@contoso.example",
                "MailTo": "sales@contoso.example",
                "TimeZone": "Europe/Berlin",
                "AlarmEmail": "",
                "Architecture": "x86_64",
                "ReserveConcurrency": "true",
            },
        )
        self.assertEqual(request["ChangeSetType"], "CREATE")
        self.assertTrue(request["TemplateURL"].startswith(f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/template-"))
        bodies = {call["request"]["Key"]: call["body"] for call in outcome.of("s3api put-object")}
        template = next(body for key, body in bodies.items() if key.startswith("template-"))
        for name in ("intake", "notifier"):
            key = f"functions/lead-{name}-{hashlib.sha256(name.encode()).hexdigest()[:32]}.zip"
            self.assertEqual(bodies[key], name)
            self.assertIn(f"CodeUri: s3://{BUCKET}/{key}\n", template)
        ((url, key, lead),) = self.posted
        self.assertEqual((url, key, lead["OfferTitle"]), (OUTPUTS["IntakeUrl"], KEY, "Test Microsoft"))
        self.assertIn(f"HTTPS endpoint: {OUTPUTS['IntakeUrl']}?code={KEY}", outcome.out)
        self.assertIn(f"Azure table:    {CONNECTION}", outcome.out)
        arguments = json.dumps([call["arguments"] for call in outcome.calls])
        kept = json.dumps(self.answers())
        for secret in (OLD, KEY, written[KEYS]):
            self.assertNotIn(secret, arguments + kept)
        self.assertEqual(
            (self.answers()["account"], self.answers()["destination"], "first_lead" in self.answers()),
            ("123456789012", "both", True),
        )

    def test_run_again_it_changes_nothing_that_is_as_it_should_be(self):
        self.run_command("--yes", *GIVEN, rules=self.setup_rules())
        values = {
            **self.answers()["parameters"],
            "StorageConnectionStringParameter": STORAGE,
            "IntakeKeysParameter": KEYS,
        }
        known = [{"Key": key} for key in release.Release("release").packaged(BUCKET, "functions", "x86_64")[1]]
        same = [
            {
                "call": "cloudformation describe-change-set",
                "answer": {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."},
            },
            {"call": "s3api create-bucket", "error": error("BucketAlreadyOwnedByYou", "CreateBucket", "")},
            {"call": "s3api list-objects-v2", "answer": {"Contents": known}},
            {"call": "cloudformation describe-stacks", "answer": described(parameters=values)},
            parameter(KEYS, KEY),
            parameter(STORAGE, CONNECTION),
        ]
        self.posted.clear()
        outcome = self.run_command("--yes", "setup", rules=same + ACCOUNT + S3 + CHANGE_SET + WORKS)
        self.assertEqual(outcome.status, 0, outcome.err)
        for operation in ("ssm put-parameter", "cloudformation execute-change-set"):
            self.assertEqual(outcome.of(operation), [])
        self.assertEqual([call["request"]["Key"][:9] for call in outcome.of("s3api put-object")], ["template-"])
        self.assertEqual(self.posted, [])
        self.assertIn("The stack is as it should be already.", outcome.out)

    def test_an_interrupted_setup_goes_on_with_the_same_key_and_answers(self):
        broken = [
            {"call": "cloudformation create-change-set", "error": error("Throttling", "CreateChangeSet", "slow down")}
        ]
        outcome = self.run_command(
            "--yes", *GIVEN, rules=broken + self.setup_rules(stored=False), piped=CONNECTION + "\n"
        )
        self.assertIn("run the command again in a minute", outcome.err)
        rules = [parameter(KEYS, KEY), parameter(STORAGE, CONNECTION)] + self.setup_rules()
        outcome = self.run_command("--yes", "setup", rules=rules)
        self.assertEqual((outcome.status, outcome.of("ssm put-parameter")), (0, []), outcome.err)
        self.assertIn(
            {"ParameterKey": "MailTo", "ParameterValue": "sales@contoso.example"},
            outcome.one("cloudformation create-change-set")["request"]["Parameters"],
        )

    def test_a_dry_run_and_a_no_change_nothing(self):
        for arguments, typed, status in [(["--dry-run"], "both\n", 0), ([], "both\nno\n", 1)]:
            outcome = self.run_command(
                *GIVEN, "--architecture", "x86_64", *arguments, rules=self.setup_rules(), typed=typed
            )
            self.assertEqual(outcome.status, status, outcome.err)
            reads = ("describe", "get", "list", "--version")
            self.assertTrue(
                all(call["operation"].split()[-1].startswith(reads) for call in outcome.calls),
                [c["operation"] for c in outcome.calls],
            )
            self.assertFalse(os.path.exists(".leads.json"))
            self.assertIn("2. S3: put the code of 2 functions (x86_64)", outcome.out)

    def test_az_makes_the_account_and_the_functions_get_a_signature_if_asked(self):
        more = "  StateTable:\n    Default: MarketplaceLeadsState\nResources:"
        self.make_release(**{"template.yaml": TEMPLATE.replace("Resources:", more)})
        az = [
            {"call": "account show", "answer": {"name": "Contoso"}},
            {"call": "group create"},
            {"call": "deployment group create"},
            {"call": "cloud show", "answer": {"suffixes": {"storageEndpoint": "core.windows.net"}}},
            {
                "call": "storage account keys list",
                "answer": [{"keyName": "key1", "value": OLD}, {"keyName": "key2", "value": NEW}],
            },
        ]
        outcome = self.run_command(
            "--yes",
            *GIVEN,
            "--azure-account",
            "contosoleads",
            "--signature",
            "--set",
            "StateTable=Other",
            rules=[NO_ACCOUNT] + az + self.setup_rules(stored=False),
        )
        self.assertEqual(outcome.status, 0, outcome.err)
        call = outcome.one("deployment group create")["arguments"]
        self.assertIn("storageAccountName=contosoleads", call)
        self.assertIn("stateTable=Other", call)
        self.assertIn("of the subscription Contoso", outcome.out)
        self.assertTrue(call[call.index("--template-file") + 1].endswith("storage.json"))
        value = next(c["request"]["Value"] for c in outcome.of("ssm put-parameter") if c["request"]["Name"] == STORAGE)
        self.assertIn("SharedAccessSignature=sv=", value)
        self.assertIn(f"Azure table:    {CONNECTION}", outcome.out)
        self.assertNotIn(OLD, json.dumps([c["arguments"] for c in outcome.calls]) + json.dumps(self.answers()))
        self.assertEqual(
            self.answers()["azure"],
            {
                "account": "contosoleads",
                "group": "marketplace-leads",
                "location": "westeurope",
                "key": "key1",
                "signature_days": 365,
            },
        )

    def test_an_account_that_is_there_already_gets_the_tables_alone(self):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
        with open(os.path.join(root, "infra/azure/storage.json"), encoding="utf-8") as file:
            self.make_release(**{"storage.json": file.read()})
        deployed, call_stub = [], self.call_stub

        def call(command, *arguments, **options):
            if "--template-file" in command:
                with open(command[command.index("--template-file") + 1], encoding="utf-8") as file:
                    deployed.append(json.load(file))
            return call_stub(command, *arguments, **options)

        with mock.patch("subprocess.run", call):
            outcome = self.run_command(
                "--yes", *GIVEN, "--azure-account", "contosoleads", rules=AZ + self.setup_rules(stored=False)
            )
        self.assertEqual((outcome.status, outcome.of("group create")), (0, []), outcome.err)
        (template,) = deployed
        self.assertEqual(
            [(one["type"].rpartition("/")[2], "dependsOn" in one) for one in template["resources"]],
            [("tables", False), ("tables", False)],
        )
        arguments = outcome.one("deployment group create")["arguments"]
        self.assertIn("storageAccountName=contosoleads", arguments)
        self.assertFalse([word for word in arguments if word.startswith("sku=")])
        self.assertIn("The storage account contosoleads is there already: making its tables alone …", outcome.out)
        self.assertIn(f"Azure table:    {CONNECTION}", outcome.out)

    def test_what_azure_refuses_is_said_with_ways_out_and_the_next_setup_asks_again(self):
        said = (
            'ERROR: {"status":"Failed","error":{"code":"DeploymentFailed","message":"At least one resource deployment'
            ' operation failed.","details":[{"code":"SkuNotSupported","message":"The \\"Standard_ZRS\\" SKU is not'
            ' supported in westus."}]}}\n'
        )
        refused = {"call": "deployment group create", "error": said}
        given = [*GIVEN, "--destination", "table", "--architecture", "x86_64"]
        zones = [*given, "--azure-account", "contosoleads", "--azure-location", "westus"]
        outcome = self.run_command("--yes", *zones, rules=[NO_ACCOUNT, refused, *AZ, *self.setup_rules(stored=False)])
        self.assertEqual(outcome.status, 2)
        for part in ('The "Standard_ZRS" SKU is not supported in westus.', "--azure-sku", "--connection-string"):
            self.assertIn(part, outcome.err)
        # What the template takes is kept for the next time.
        with_sku = [*given, "--azure-account", "contosoleads", "--azure-sku", "Standard_LRS"]
        outcome = self.run_command("--yes", *with_sku, rules=[NO_ACCOUNT, refused, *AZ, *self.setup_rules(stored=False)])
        self.assertIn("sku=Standard_LRS", outcome.one("deployment group create")["arguments"])
        self.assertEqual(self.answers()["azure"]["location"], "westus")
        outcome = self.run_command("--yes", *given, rules=[NO_ACCOUNT, *AZ, *self.setup_rules(stored=False)])
        self.assertEqual(outcome.status, 0, outcome.err)
        self.assertIn("sku=Standard_LRS", outcome.one("deployment group create")["arguments"])
        # Without an account that works, the way to it is asked for again.
        outcome = self.run_command(
            *given, rules=AZ + self.setup_rules(stored=False), typed=f"given\ny\n{CONNECTION}\n"
        )
        self.assertEqual((outcome.status, outcome.of("deployment group create")), (0, []), outcome.err)
        self.assertEqual(outcome.of("ssm put-parameter")[0]["request"]["Value"], CONNECTION)

    def test_a_stack_that_is_there_gets_a_signature_of_its_key_and_later_a_new_one(self):
        deployed = {"call": "cloudformation describe-stacks", "answer": described()}
        same = {
            "call": "cloudformation describe-change-set",
            "answer": {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."},
        }
        az = [
            {"call": "cloud show", "answer": {"suffixes": {"storageEndpoint": "core.windows.net"}}},
            {"call": "storage account keys list", "answer": [{"keyName": "key2", "value": NEW}]},
        ]
        rules = [deployed, same, parameter(KEYS, KEY), *RESTART, *az, *ACCOUNT, *S3, *CHANGE_SET, *WORKS, PUT]
        signed = storage.with_signature(CONNECTION, 1)
        known = {"account": "contosoleads", "group": "marketplace-leads", "location": "westeurope", "key": "key2"}
        other = CONNECTION.replace(OLD, NEW)
        # What the functions have, what the answers know of the account, what is typed, and whose key signs.
        for before, azure, piped, whole in [
            (CONNECTION, None, "", CONNECTION),
            (signed, None, CONNECTION + "\n", CONNECTION),
            (signed, known, "", other),
        ]:
            self.write(".leads.json", json.dumps({"azure": azure} if azure else {}))
            given = [*GIVEN, "--signature", "--signature-days", "30"]
            outcome = self.run_command("--yes", *given, rules=[parameter(STORAGE, before), *rules], piped=piped)
            self.assertEqual(outcome.status, 0, outcome.err)
            self.assertIn("put a shared access signature made of the connection string into " + STORAGE, outcome.out)
            value = outcome.one("ssm put-parameter")["request"]["Value"]
            fields = dict(urllib.parse.parse_qsl(value.partition("SharedAccessSignature=")[2]))
            until = datetime.datetime.fromisoformat(fields["se"].replace("Z", "+00:00"))
            now = datetime.datetime.now(datetime.timezone.utc)
            self.assertEqual((fields["srt"], fields["sp"], (until - now).days), ("o", "raud", 29))
            self.assertEqual(value, storage.with_signature(whole, 30, until - datetime.timedelta(days=30)))
            self.assertEqual(len(changed(outcome)), 5)
            # Partner Center keeps the key.
            self.assertIn(f"Azure table:    {whole}", outcome.out)
            self.assertEqual(self.answers()["azure"]["signature_days"], 30)
        outcome = self.run_command("--yes", *GIVEN, "--signature", rules=[parameter(STORAGE, signed), *rules])
        self.assertEqual(outcome.status, 0, outcome.err)
        self.write(".leads.json", "{}")
        outcome = self.run_command("--yes", *GIVEN, "--signature", rules=[parameter(STORAGE, signed), *rules])
        self.assertEqual((outcome.status, outcome.of("ssm put-parameter")), (2, []))
        self.assertIn("was not given: The storage account's connection string", outcome.err)

    def test_a_signature_is_made_for_the_account_that_the_functions_use_and_for_no_other(self):
        same = {
            "call": "cloudformation describe-change-set",
            "answer": {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."},
        }
        keys = [{"keyName": "key1", "value": OLD}, {"keyName": "key2", "value": NEW}]
        az = [
            {"call": "cloud show", "answer": {"suffixes": {"storageEndpoint": "core.windows.net"}}},
            {"call": "storage account keys list", "answer": keys},
        ]
        rules = [DEPLOYED[0], same, parameter(KEYS, KEY), *RESTART, *az, *ACCOUNT, *S3, *CHANGE_SET, *WORKS, PUT]
        made = {"account": "contosoleads", "group": "marketplace-leads", "location": "westeurope", "key": "key1"}
        other = CONNECTION.replace("contosoleads", "contosonew")
        # The leads move to an account whose connection string is given: the one that az made is forgotten.
        self.write(".leads.json", json.dumps({"azure": made}))
        given = [*GIVEN, "--connection-string"]
        outcome = self.run_command("--yes", *given, rules=[parameter(STORAGE, CONNECTION), *rules], piped=other + "\n")
        self.assertEqual((outcome.status, "azure" in self.answers()), (0, False), outcome.err)
        # Also where the answers name it still, no signature is made with its keys.
        self.write(".leads.json", json.dumps({"azure": made}))
        there = parameter(STORAGE, storage.with_signature(other, 30))
        given = [*GIVEN, "--signature"]
        outcome = self.run_command("--yes", *given, rules=[there, *rules])
        self.assertEqual((outcome.status, outcome.of("ssm put-parameter")), (2, []))
        self.assertIn("The functions use the storage account contosonew", outcome.err)
        outcome = self.run_command("--yes", *given, rules=[there, *rules], piped=other + "\n")
        self.assertEqual(outcome.status, 0, outcome.err)
        value = outcome.one("ssm put-parameter")["request"]["Value"]
        self.assertTrue(value.startswith("TableEndpoint=https://contosonew."), value)
        self.assertEqual(self.answers()["azure"], {"signature_days": 365})

    def test_a_sender_that_is_not_verified_yet_is_asked_for_and_said(self):
        rules = [
            {"call": "sesv2 create-email-identity"},
            {
                "call": "sesv2 get-email-identity",
                "error": error("NotFoundException", "GetEmailIdentity", ""),
                "times": 3,
            },
            {"call": "sesv2 get-email-identity", "answer": {"DkimAttributes": {"Tokens": ["t1", "t2"]}}},
        ]
        outcome = self.run_command("--yes", *GIVEN, rules=rules + self.setup_rules())
        self.assertEqual(
            (outcome.status, outcome.one("sesv2 create-email-identity")["request"]),
            (1, {"EmailIdentity": "contoso.example"}),
        )
        self.assertIn("t2._domainkey.contoso.example  CNAME  t2.dkim.amazonses.com", outcome.out)
        self.assertEqual(self.posted, [])
        known = {"call": "sesv2 get-email-identity", "answer": {"VerifiedForSendingStatus": False}}
        outcome = self.run_command("--yes", *GIVEN, rules=[known] + self.setup_rules())
        self.assertEqual((outcome.status, self.posted, outcome.of("sesv2 create-email-identity")), (1, [], []))
        self.assertIn("SES has mailed a link to leads@contoso.example: open it.", outcome.out)

    def test_the_first_lead_is_sent_once_and_waited_for_until_it_was_mailed(self):
        failing = dict(
            function("notifier", {"errorMessage": "SES is paused"}, command="run"),
            answer={"FunctionError": "Unhandled"},
        )
        outcome = self.run_command("--yes", *GIVEN, rules=[failing] + self.setup_rules())
        self.assertEqual((outcome.status, len(self.posted)), (1, 1))
        self.assertIs(self.answers()["first_lead"]["mailed"], False)
        self.assertIn("its mail did not go out: leads-lead-notifier could not do it: SES is paused", outcome.err)
        deployed = [
            {"call": "cloudformation describe-stacks", "answer": described(parameters=self.answers()["parameters"])}
        ]
        outcome = self.run_command("--yes", "setup", rules=[parameter(KEYS, KEY)] + deployed + self.setup_rules())
        self.assertEqual(
            (outcome.status, len(self.posted), self.answers()["first_lead"]["mailed"]), (0, 1, True), outcome.err
        )

    def test_a_first_lead_that_cannot_be_sent_hides_nothing_of_what_partner_center_needs(self):
        unreached = words.Problem("intake cannot be reached: SSLCertVerificationError", "Look at the certificates.")
        with mock.patch.object(functions, "post_lead", side_effect=unreached):
            outcome = self.run_command("--yes", *GIVEN, rules=self.setup_rules())
        self.assertEqual(outcome.status, 1, outcome.err)
        self.assertIn("The first lead was not sent: intake cannot be reached: SSLCertVerificationError", outcome.err)
        self.assertIn("Look at the certificates.", outcome.err)
        self.assertIn(f"HTTPS endpoint: {OUTPUTS['IntakeUrl']}?code={KEY}", outcome.out)
        self.assertIn(f"Azure table:    {CONNECTION}", outcome.out)
        self.assertNotIn("first_lead", self.answers())
        run = {"payload": {"command": "run"}}
        slow = {"call": "lambda invoke", "when": run, "error": "Read timeout on endpoint URL"}
        outcome = self.run_command("--yes", *GIVEN, rules=[slow, parameter(KEYS, KEY), *self.setup_rules()])
        self.assertEqual(outcome.status, 1, outcome.err)
        self.assertIn("its mail did not go out: AWS did not answer in time", outcome.err)
        self.assertIn("HTTPS endpoint: ", outcome.out)

    def test_setup_names_the_link_that_must_be_opened_before_alarms_arrive(self):
        stacks = [
            dict(NO_STACK, times=2),
            dict(REVIEW, times=1),
            {
                "call": "cloudformation describe-stacks",
                "answer": described("CREATE_COMPLETE", dict(PARAMETERS, AlarmEmail="ops@contoso.example")),
            },
        ]
        refused = {"call": "sns list-subscriptions-by-topic", "error": error("AuthorizationError", "X", "not allowed")}
        topic = OUTPUTS["AlarmTopicArn"]
        for rule, said, state in [
            (subscribed("PendingConfirmation"), "AWS has mailed a link to ops@contoso.example: open it", "pending"),
            (subscribed(None), "aws sns subscribe --region eu-west-1", "missing"),
            (refused, "Whether the alarms arrive could not be looked at: AWS refused sns", None),
            (subscribed(f"{topic}:1"), None, "confirmed"),
        ]:
            rules = [rule, *stacks, *self.setup_rules()]
            outcome = self.run_command("--yes", *GIVEN, "--alarm-email", "ops@contoso.example", rules=rules)
            self.assertEqual(outcome.status, 0, outcome.err)
            if said:
                self.assertIn(said, outcome.out)
            else:
                self.assertNotIn("link", outcome.out)
                self.assertNotIn("sns", outcome.out)

    def test_setup_deploys_the_release_that_the_command_is_part_of(self):
        self.run_command("--yes", *GIVEN, rules=self.setup_rules())
        self.make_release(**{"template.yaml": TEMPLATE + "# of the release before\n"})
        os.rename("release", "before")
        self.make_release()
        answers = dict(self.answers(), release=os.path.abspath("before"))
        for place, named in [("release", "the folder release"), (None, "the folder before")]:
            self.write(".leads.json", json.dumps(answers))
            os.chmod(".leads.json", 0o600)
            own = place and os.path.abspath(place)
            with mock.patch.object(release, "own_folder", lambda own=own: own):
                rules = [parameter(KEYS, KEY), *self.setup_rules()]
                outcome = self.run_command("--yes", "setup", rules=rules)
            self.assertEqual(outcome.status, 0, outcome.err)
            bodies = [call["body"] for call in outcome.of("s3api put-object") if "template-" in call["request"]["Key"]]
            self.assertEqual("of the release before" in bodies[0], place is None)
            self.assertEqual(self.answers()["release"], own or os.path.abspath("before"))
            self.assertIn(named, outcome.out)

    def test_answers_that_cannot_be_kept_are_said_before_any_question(self):
        for path in ("nowhere/answers.json", "release/nowhere/answers.json"):
            outcome = self.run_command("--config", path, *GIVEN, rules=self.setup_rules(), typed="both\ny\n")
            self.assertEqual((outcome.status, outcome.calls), (2, []), outcome.err)
            self.assertIn(f"{path} cannot be written", outcome.err)

    def test_where_test_leads_are_in_no_mail_none_is_sent(self):
        self.make_release(
            **{"template.yaml": TEMPLATE.replace("Resources:", "  TestLeads:\n    Default: mail\nResources:")}
        )
        outcome = self.run_command("--yes", *GIVEN, "--set", "TestLeads=drop", rules=self.setup_rules())
        self.assertEqual((outcome.status, self.posted), (0, []), outcome.err)

    def test_another_connection_string_makes_the_functions_start_afresh(self):
        deployed = [{"call": "cloudformation describe-stacks", "answer": described()}, parameter(KEYS, KEY)] + RESTART
        other = CONNECTION.replace(OLD, NEW)
        for given, restarts in [(other, 5), (CONNECTION, 0)]:
            outcome = self.run_command(
                "--yes", *GIVEN, "--connection-string", rules=deployed + self.setup_rules(), piped=given + "\n"
            )
            self.assertEqual(
                (outcome.status, len(changed(outcome))), (0, restarts), outcome.err
            )
            self.assertEqual(len(outcome.of("ssm put-parameter")), restarts // 5)

    def test_what_an_account_lacks_is_taken_into_account(self):
        small = {
            "call": "lambda get-account-settings",
            "answer": {"AccountLimit": {"UnreservedConcurrentExecutions": 10}},
        }
        sandbox = {"call": "sesv2 get-account", "answer": {"ProductionAccessEnabled": False, "SendingEnabled": False}}
        own = dict(VERIFIED, when={"EmailIdentity": "contoso.example"})
        theirs = dict(VERIFIED, when={"EmailIdentity": "me@elsewhere.example"})
        none = {"call": "sesv2 get-email-identity", "error": error("NotFoundException", "GetEmailIdentity", "")}
        outcome = self.run_command(
            "--yes",
            *GIVEN,
            "--mail-to",
            "me@elsewhere.example",
            rules=[small, sandbox, own, theirs, none] + self.setup_rules(),
        )
        given = {
            p["ParameterKey"]: p["ParameterValue"]
            for p in outcome.one("cloudformation create-change-set")["request"]["Parameters"]
        }
        self.assertEqual(given["ReserveConcurrency"], "false")
        self.assertIn("SES is in its sandbox", outcome.err)
        self.assertIn("SES has paused sending", outcome.err)
        old = {"call": "--version", "answer": "aws-cli/2.7.1 Python/3.9"}
        self.assertIn("2.7.1 is too old", self.run_command("--yes", *GIVEN, rules=[old] + self.setup_rules()).err)
        unreached = {"call": "sesv2 get-account", "error": "Could not connect to the endpoint URL: x"}
        self.assertIn(
            "SES cannot be reached in eu-west-1",
            self.run_command("--yes", *GIVEN, rules=[unreached] + self.setup_rules()).err,
        )

    def setup_without_intake(self, *arguments, outputs=None, rules=()):
        """The outcome of a first setup with a template that can leave intake and export out, and the values given."""
        parts = "".join(f"  {name}:\n    Default: 'on'\n" for name in ("HttpsIntake", "HttpsExport"))
        self.make_release(**{"template.yaml": TEMPLATE.replace("Resources:", parts + "Resources:")})
        deployed = dict(PARAMETERS, MailTo="sales@contoso.example", HttpsIntake="off")
        left = {name: value for name, value in OUTPUTS.items() if name not in ("IntakeUrl", "IntakeFunction")}
        stacks = [
            dict(NO_STACK, times=2),
            dict(REVIEW, times=1),
            {"call": "cloudformation describe-stacks", "answer": described("CREATE_COMPLETE", deployed, outputs or left)},
        ]
        mailed = function("notifier", {"route": "default", "mails": 1}, command="test")
        outcome = self.run_command("--yes", *GIVEN, *arguments, rules=[*rules, *stacks, mailed, *self.setup_rules()])
        made = outcome.of("cloudformation create-change-set")
        given = made[0]["request"]["Parameters"] if made else []
        return outcome, {p["ParameterKey"]: p["ParameterValue"] for p in given}

    def test_who_has_the_table_alone_gets_no_public_endpoint_and_a_made_up_digest(self):
        outcome, given = self.setup_without_intake("--destination", "table")
        self.assertEqual((outcome.status, given["HttpsIntake"], self.posted), (0, "off", []), outcome.err)
        self.assertNotIn("HttpsExport", given)
        self.assertIn({"command": "test", "to": "sales@contoso.example"}, outcome.payloads())
        self.assertIn("Have a made-up digest mailed to sales@contoso.example", outcome.out)
        self.assertNotIn("HTTPS endpoint", outcome.out)
        self.assertIs(self.answers()["first_lead"]["mailed"], True)
        for wanted in ("https", "both"):
            outcome, given = self.setup_without_intake("--destination", wanted, outputs=OUTPUTS)
            self.assertEqual((outcome.status, given["HttpsIntake"]), (0, "on"), outcome.err)

    def test_an_endpoint_that_is_there_is_not_taken_away_by_setup(self):
        parts = "  HttpsIntake:\n    Default: 'on'\nResources:"
        self.make_release(**{"template.yaml": TEMPLATE.replace("Resources:", parts)})
        deployed = [
            {"call": "cloudformation describe-stacks", "answer": described(parameters=dict(PARAMETERS, HttpsIntake="on"))},
            parameter(KEYS, KEY),
        ]
        given = [*GIVEN, "--destination", "table"]
        outcome = self.run_command("--yes", *given, rules=deployed + self.setup_rules())
        self.assertEqual(outcome.status, 0, outcome.err)
        request = outcome.one("cloudformation create-change-set")["request"]
        values = {p["ParameterKey"]: p.get("ParameterValue", "as before") for p in request["Parameters"]}
        self.assertIn(values["HttpsIntake"], ("on", "as before"))

    def test_where_there_are_no_function_urls_intake_and_export_are_left_out(self):
        for region in ("eu-central-2", "us-gov-west-1"):
            with mock.patch.dict(os.environ, AWS_REGION=region):
                outcome, given = self.setup_without_intake()
                self.assertEqual(
                    (outcome.status, given["HttpsIntake"], given["HttpsExport"]), (0, "off", "off"), outcome.err
                )
                self.assertIn(f"AWS has no function URLs in {region}", outcome.err)
                os.unlink(".leads.json")
                outcome, given = self.setup_without_intake("--destination", "both")
                self.assertEqual((outcome.status, given), (2, {}))
                self.assertIn("HttpsIntake is off", outcome.err)

    def test_no_two_stacks_share_a_bucket_that_one_of_them_would_remove(self):
        names = ["leads", "Leads", "leads-test", "marketplace-leads-production-a", "marketplace-leads-production-b"]
        buckets = [release.bucket_name(name, "123456789012", "ap-northeast-1") for name in names]
        self.assertEqual(len(set(buckets)), len(names), buckets)
        for bucket in buckets:
            self.assertRegex(bucket, r"\A[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
        self.assertEqual(buckets[0], "leads-code-123456789012-ap-northeast-1")

    def test_another_stack_has_parameters_of_its_own(self):
        name = "/marketplace-leads-test/storage-connection-string"
        rules = [
            missing(name),
            dict(missing("/marketplace-leads-test/intake-keys"), times=1),
            parameter("/marketplace-leads-test/intake-keys", KEY),
        ]
        outcome = self.run_command(
            "--yes", "--stack", "test", *GIVEN, rules=rules + self.setup_rules(), piped=CONNECTION
        )
        given = {
            p["ParameterKey"]: p["ParameterValue"]
            for p in outcome.one("cloudformation create-change-set")["request"]["Parameters"]
        }
        self.assertEqual(
            (given["StorageConnectionStringParameter"], given["DestinationsPrefix"]),
            (name, "/marketplace-leads-test/destinations/"),
        )

    def test_wrong_answers_and_missing_ones_are_said_before_anything_is_done(self):
        for arguments, said in [
            (["setup", "--release", "nowhere"], "nowhere is no release"),
            (["setup", "--release", "release"], "Sender of the mails"),
            (GIVEN + ["--mail-from", "nobody"], "MailFrom: this is no mail address"),
            (GIVEN + ["--set", "Interval=5"], "no setting Interval"),
            (GIVEN + ["--architecture", "arm64"], "say x86_64"),
            (GIVEN + ["--azure-account", "Contoso Leads"], "3 to 24 lower-case letters"),
        ]:
            outcome = self.run_command("--yes", *arguments, rules=self.setup_rules())
            self.assertEqual(
                (outcome.status, outcome.of("cloudformation create-change-set") + outcome.of("ssm put-parameter")),
                (2, []),
                arguments,
            )
            self.assertIn(said, outcome.err)
        self.write(".leads.json", '{"account": "999999999999"}')
        self.assertIn("is about 999999999999", self.run_command("--yes", *GIVEN, rules=self.setup_rules()).err)

    def test_a_file_that_is_not_the_one_of_the_release_is_not_deployed(self):
        self.write("release/lead-intake-x86_64.zip", "another")
        self.assertIn(
            "lead-intake-x86_64.zip in release is not the file of the release",
            self.run_command("--yes", *GIVEN, rules=self.setup_rules()).err,
        )
        os.unlink("release/SHA256SUMS")
        self.assertIn("no SHA256SUMS", self.run_command("--yes", *GIVEN, rules=self.setup_rules()).err)

    def test_the_template_in_the_repository_is_read_as_releases_are(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../infra/aws/template.yaml")
        with open(path, encoding="utf-8") as file:
            self.make_release(**{"template.yaml": file.read()})
        found = release.Release("release")
        self.assertEqual(
            found.functions, ["lead-export", "lead-intake", "lead-notifier", "lead-redelivery", "lead-validation"]
        )
        declared = found.parameters()
        self.assertEqual(
            [name for name, parameter in declared.items() if parameter.default is None], ["MailFrom", "MailTo"]
        )
        for name, one in declared.items():
            with self.subTest(name):
                self.assertIn(one.kind, ("String", "Number"))
                self.assertTrue(one.default is None or one.takes(one.default), one.default)
        for name, value, is_taken in [
            ("MailTo", "a@b.example; c@d.example", True),
            ("MailTo", "nobody", False),
            ("ReserveConcurrency", "true", True),
            ("ReserveConcurrency", "yes", False),
            ("DigestSize", "200", True),
            ("DigestSize", "201", False),
            ("DigestSize", "", False),
            ("LogRetentionDays", "30", True),
            ("LogRetentionDays", "31", False),
        ]:
            self.assertEqual(declared[name].takes(value), is_taken, (name, value))


class Life(ReleaseTest):
    def test_an_update_keeps_every_setting_that_the_new_template_has(self):
        declared = {
            "call": "cloudformation get-template-summary",
            "answer": {"Parameters": [{"ParameterKey": "IntervalMinutes", "DefaultValue": "30"}]},
        }
        rules = [declared] + ACCOUNT + S3 + CHANGE_SET + WORKS
        outcome = self.run_command("--yes", "update", "--release", "release", rules=rules)
        self.assertEqual(outcome.status, 0, outcome.err)
        parameters = outcome.one("cloudformation create-change-set")["request"]["Parameters"]
        self.assertTrue(all(p.get("UsePreviousValue") for p in parameters))
        self.assertEqual(
            {p["ParameterKey"] for p in parameters},
            {
                "StorageConnectionStringParameter",
                "IntakeKeysParameter",
                "MailFrom",
                "MailTo",
                "AlarmEmail",
                "Architecture",
                "DestinationsPrefix",
            },
        )
        self.assertIn("no setting IntervalMinutes and RoutesParameter any more", outcome.err)
        self.make_release(**{"template.yaml": TEMPLATE.replace("Resources:", "  Fresh:\n    Type: String\nResources:")})
        self.assertIn(
            "--set Fresh=<value>", self.run_command("--yes", "update", "--release", "release", rules=rules).err
        )
        outcome = self.run_command("--yes", "update", "--release", "release", "--set", "Fresh=a b", rules=rules)
        self.assertIn(
            {"ParameterKey": "Fresh", "ParameterValue": "a b"},
            outcome.one("cloudformation create-change-set")["request"]["Parameters"],
        )

    def test_an_update_settles_what_the_new_template_does_not_take_and_moves_routes(self):
        fresh = (
            "  IntervalMinutes:\n    Type: Number\n    Default: 1\n    AllowedValues: [1, 5]\n  RoutesParameter:\n   "
            " Default: ''\nResources:"
        )
        self.make_release(**{"template.yaml": TEMPLATE.replace("Resources:", fresh)})
        before = {name: value for name, value in PARAMETERS.items() if name != "RoutesParameter"}
        before["Routes"] = '[{"to": ["a@b.example"]}]'
        stack = {"call": "cloudformation describe-stacks", "answer": described(parameters=before)}
        routes = "/marketplace-leads/routes"
        rules = [
            stack,
            missing(routes),
            PUT,
            {
                "call": "cloudformation get-template-summary",
                "answer": {"Parameters": [{"ParameterKey": "Architecture", "DefaultValue": "x86_64"}]},
            },
        ]
        outcome = self.run_command(
            "--yes", "update", "--release", "release", rules=rules + ACCOUNT + S3 + CHANGE_SET + WORKS
        )
        self.assertEqual(outcome.status, 0, outcome.err)
        given = outcome.one("cloudformation create-change-set")["request"]["Parameters"]
        self.assertIn({"ParameterKey": "IntervalMinutes", "ParameterValue": "1"}, given)
        self.assertIn({"ParameterKey": "RoutesParameter", "ParameterValue": routes}, given)
        self.assertIn({"ParameterKey": "MailTo", "UsePreviousValue": True}, given)
        self.assertEqual(outcome.one("ssm put-parameter")["request"]["Value"], before["Routes"])
        self.assertIn("does not take IntervalMinutes=60: it becomes 1.", outcome.err)
        self.assertIn("Architecture stays x86_64, the default of before; that of this release is arm64.", outcome.out)

    def test_removing_mails_what_is_left_and_keeps_a_queue_with_leads_and_its_secrets(self):
        self.write(
            ".leads.json",
            json.dumps({"account": "123456789012", "azure": {"group": "marketplace-leads", "account": "contosoleads"}}),
        )
        gone = [{"call": "cloudformation delete-stack"}, dict(DEPLOYED[0], times=2), NO_STACK]
        objects = [
            {"call": "s3api list-objects-v2", "answer": {"Contents": [{"Key": "a"}]}},
            {"call": "s3api delete-objects"},
            {"call": "s3api delete-bucket"},
        ]
        others = (
            [
                {
                    "call": "ssm describe-parameters",
                    "answer": {"Parameters": [{"Name": PARAMETERS["DestinationsPrefix"] + "crm"}]},
                },
                {"call": "sqs delete-queue"},
                {"call": "ssm delete-parameters", "answer": {"DeletedParameters": [STORAGE]}},
            ]
            + ACCOUNT
            + WORKS
        )
        full = {
            "call": "sqs get-queue-attributes",
            "when": {"QueueUrl": OUTPUTS["LeadQueueUrl"]},
            "answer": {"Attributes": {"ApproximateNumberOfMessages": "3"}},
        }
        outcome = self.run_command("--yes", "remove", rules=[full, EMPTY] + gone + objects + others)
        self.assertEqual(outcome.status, 0, outcome.err)
        self.assertEqual(outcome.payloads(), [{"command": "run"}])
        self.assertEqual(len(outcome.of("sqs delete-queue")), 2)
        self.assertNotIn(
            OUTPUTS["LeadQueueUrl"], [call["request"]["QueueUrl"] for call in outcome.of("sqs delete-queue")]
        )
        self.assertEqual(outcome.of("ssm delete-parameters"), [])
        self.assertIn(f"the queue {OUTPUTS['LeadQueueUrl']}: 3 in it", outcome.out)
        outcome = self.run_command("--yes", "remove", rules=[EMPTY] + gone + objects + others)
        self.assertEqual(len(outcome.of("sqs delete-queue")), 3)
        self.assertEqual(
            outcome.one("ssm delete-parameters")["request"]["Names"],
            [STORAGE, KEYS, PARAMETERS["RoutesParameter"], PARAMETERS["DestinationsPrefix"] + "crm"],
        )
        self.assertIn("az group delete --name marketplace-leads", outcome.out)
        self.assertFalse(os.path.exists(".leads.json"))

    def test_an_interrupted_removal_is_brought_to_its_end_by_the_same_command(self):
        own = {"account": "123456789012", "stack": "leads", "region": "eu-west-1", "first_lead": {"mailed": True}}
        crm = PARAMETERS["DestinationsPrefix"] + "crm"
        names = [STORAGE, KEYS, PARAMETERS["RoutesParameter"], crm]
        rest = [
            {"call": "ssm describe-parameters", "answer": {"Parameters": [{"Name": crm}]}},
            {"call": "s3api list-objects-v2", "answer": {}},
            {"call": "s3api delete-bucket"},
            {"call": "sqs delete-queue"},
            {"call": "ssm delete-parameters", "answer": {"DeletedParameters": names}},
            {"call": "cloudformation delete-stack"},
            *ACCOUNT,
            *WORKS,
        ]
        stacks = "cloudformation describe-stacks"
        throttled = {"call": stacks, "error": error("Throttling", "DescribeStacks", "slow down")}
        deleting = {"call": stacks, "answer": described("DELETE_IN_PROGRESS")}
        others = {"call": stacks, "answer": {"Stacks": []}, "times": 1}
        gone = [dict(NO_STACK, when={"StackName": "leads"}), others]
        broken = {"call": "sqs get-queue-attributes", "error": error("ThrottlingException", "GetQueueAttributes", "")}
        no_queue = {"call": "sqs get-queue-attributes", "error": error("QueueDoesNotExist", "GetQueueAttributes", "")}
        for answers in ({}, own):
            for first, again in [
                # While the stack is removed, with the stack gone or not yet gone afterwards.
                ([dict(DEPLOYED[0], times=2), throttled], [EMPTY, *gone]),
                ([dict(DEPLOYED[0], times=2), throttled], [EMPTY, dict(deleting, times=3), *gone]),
                # While what it leaves is removed.
                ([dict(DEPLOYED[0], times=2), NO_STACK, broken], [no_queue, *gone]),
            ]:
                if answers:
                    self.write(".leads.json", json.dumps(answers))
                outcome = self.run_command("--yes", "remove", rules=first + rest)
                self.assertEqual((outcome.status, outcome.of("ssm delete-parameters")), (2, []), outcome.err)
                self.assertNotIn("first_lead", self.answers())
                elsewhere = {"call": "sts get-caller-identity", "answer": {"Account": "999999999999"}}
                outcome = self.run_command("--yes", "remove", rules=[elsewhere, *gone, *rest])
                self.assertEqual((outcome.status, outcome.of("ssm delete-parameters")), (2, []), outcome.err)
                outcome = self.run_command("remove", rules=again + rest, typed="no\n")
                self.assertEqual((outcome.status, outcome.of("ssm delete-parameters")), (1, []), outcome.err)
                outcome = self.run_command("--yes", "remove", rules=again + rest)
                self.assertEqual((outcome.status, outcome.payloads()), (0, []), outcome.err)
                self.assertEqual(outcome.one("ssm delete-parameters")["request"]["Names"], names)
                queues = {call["request"]["QueueUrl"] for call in outcome.of("sqs delete-queue")}
                self.assertEqual(queues, {OUTPUTS[name] for name in OUTPUTS if name.endswith("QueueUrl")})
                self.assertEqual(outcome.one("s3api delete-bucket")["request"], {"Bucket": BUCKET})
                self.assertIn("Going on with the removal of the stack leads", outcome.out)
                self.assertFalse(os.path.exists(".leads.json"))
        outcome = self.run_command("--yes", "remove", rules=gone + rest)
        self.assertEqual(outcome.status, 2)
        self.assertIn("there is no stack leads", outcome.err)

    def test_a_removal_goes_on_once_the_queue_that_it_kept_is_empty_and_touches_nothing_of_other_stacks(self):
        full = {
            "call": "sqs get-queue-attributes",
            "when": {"QueueUrl": OUTPUTS["LeadQueueUrl"]},
            "answer": {"Attributes": {"ApproximateNumberOfMessages": "3"}},
        }
        self.write(".leads.json", json.dumps({"stack": "leads", "region": "eu-west-1"}))
        outcome = self.run_command("--yes", "remove", rules=[full, EMPTY, dict(DEPLOYED[0], times=2), NO_STACK] + REMOVED)
        self.assertEqual((outcome.status, outcome.of("ssm delete-parameters")), (0, []), outcome.err)
        self.assertIn("leads remove again", outcome.out)
        # Meanwhile another stack uses the connection string and the destinations.
        others = described(parameters=dict(PARAMETERS, IntakeKeysParameter="/other", RoutesParameter="/other-routes"))
        others["Stacks"][0]["StackName"] = "leads-test"
        gone = [
            dict(NO_STACK, when={"StackName": "leads"}),
            {"call": "cloudformation describe-stacks", "answer": others},
        ]
        # A removal of another name is none of this one.
        other = dict(NO_STACK, when={"StackName": "other"})
        outcome = self.run_command("--yes", "--stack", "other", "remove", rules=[other, *REMOVED])
        self.assertEqual((outcome.status, outcome.of("sqs delete-queue")), (2, []), outcome.err)
        outcome = self.run_command("--yes", "remove", rules=[EMPTY, *gone, *REMOVED])
        self.assertEqual(outcome.status, 0, outcome.err)
        self.assertEqual(
            outcome.one("ssm delete-parameters")["request"]["Names"], [KEYS, PARAMETERS["RoutesParameter"]]
        )
        self.assertFalse(os.path.exists(".leads.json"))

    def test_removing_another_stack_leaves_the_answers_about_this_one(self):
        mine = {"stack": "leads", "region": "eu-west-1", "first_lead": {"mailed": True}}
        self.write(".leads.json", json.dumps(mine))
        rules = [dict(DEPLOYED[0], times=2), NO_STACK] + [EMPTY, *REMOVED]
        for elsewhere in (["--stack", "test"], ["--region", "eu-central-1"]):
            outcome = self.run_command("--yes", *elsewhere, "remove", rules=rules)
            self.assertEqual((outcome.status, self.answers()), (0, mine), outcome.err)

    def test_what_another_stack_uses_is_not_removed_with_this_one(self):
        stacks = [*described()["Stacks"], *described(parameters=dict(PARAMETERS, IntakeKeysParameter="/other"))["Stacks"]]
        stacks[1]["StackName"] = "leads-test"
        both = {"call": "cloudformation describe-stacks", "answer": {"Stacks": stacks}, "times": 2}
        rules = [both, NO_STACK, EMPTY, {"call": "cloudformation delete-stack"}, {"call": "sqs delete-queue"}]
        rules += [{"call": "s3api list-objects-v2", "answer": {}}, {"call": "s3api delete-bucket"}]
        rules += [{"call": "ssm delete-parameters", "answer": {"DeletedParameters": [KEYS]}}, *ACCOUNT, *WORKS]
        outcome = self.run_command("--yes", "remove", rules=rules)
        self.assertEqual(outcome.status, 0, outcome.err)
        self.assertEqual(outcome.one("ssm delete-parameters")["request"]["Names"], [KEYS])
        self.assertIn("Another stack uses what StorageConnectionStringParameter", outcome.out)

    def test_nothing_is_removed_without_a_yes(self):
        rules = [{"call": "ssm describe-parameters", "answer": {"Parameters": []}}] + ACCOUNT
        outcome = self.run_command("remove", rules=rules, typed="\n")
        self.assertEqual((outcome.status, outcome.of("cloudformation delete-stack"), outcome.payloads()), (1, [], []))


class Answer(http.server.BaseHTTPRequestHandler):
    """Stands for the export function."""

    protocol_version, body, cut, seen = "HTTP/1.1", b"First Name\r\nAna\r\n", False, []

    def do_GET(self):
        self.seen.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Content-Disposition", 'attachment; filename="marketplace-leads-all.csv"')
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(self.body), self.body))
        if self.cut:
            self.close_connection = True
        else:
            with contextlib.suppress(ConnectionError):
                self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments):
        pass


class Export(CommandTest):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self.server.server_address[1]}"
        Answer.cut, Answer.seen = False, []

    CREDENTIALS = {
        "call": "configure export-credentials",
        "answer": {"AccessKeyId": "AKID", "SecretAccessKey": "secret-key", "SessionToken": "token"},
    }

    def test_a_signed_request_brings_the_file_under_its_own_name_for_its_owner_alone(self):
        outcome = self.run_command(
            "export",
            "--since",
            "2026-11-01T00:00:00+01:00",
            "--offer",
            "Contoso VM",
            "--include-tests",
            rules=[self.CREDENTIALS],
        )
        self.assertEqual(outcome.status, 0, outcome.err)
        ((path, headers),) = Answer.seen
        headers = {name.lower(): value for name, value in headers.items()}
        self.assertEqual(
            path,
            "/_aws/lambda-url/def/leads?since=2026-11-01T00%3A00%3A00%2B01%3A00&offer=Contoso%20VM&include-tests=true",
        )
        self.assertTrue(headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/"), headers)
        self.assertEqual(headers["x-amz-security-token"], "token")
        with open("marketplace-leads-all.csv", "rb") as file:
            self.assertEqual(file.read(), Answer.body)
        self.assertEqual(os.stat("marketplace-leads-all.csv").st_mode & 0o777, 0o600)
        self.assert_hidden(outcome, "secret-key")
        self.assertIn("exists already", self.run_command("export", rules=[self.CREDENTIALS]).err)

    def test_an_export_that_broke_off_leaves_no_file(self):
        Answer.cut = True
        outcome = self.run_command("export", "-o", "leads.csv", rules=[self.CREDENTIALS])
        self.assertEqual(outcome.status, 2)
        self.assertIn("broke off", outcome.err)
        self.assertEqual([name for name in os.listdir(".") if name.startswith("leads.csv")], [])

    def test_the_older_cli_gives_credentials_from_its_files(self):
        no = {"call": "configure export-credentials", "error": "Invalid choice"}
        rules = [
            no,
            {"call": "configure get aws_access_key_id", "answer": "AKID\n"},
            {"call": "configure get aws_secret_access_key", "answer": "secret-key\n"},
            {"call": "configure get aws_session_token", "error": "\n"},
        ]
        self.assertEqual(self.run_command("export", "-o", "leads.csv", rules=rules).status, 0)
        none = [dict(rule, error="\n") if "get" in rule["call"] else rule for rule in rules]
        self.assertIn("AWS CLI 2", self.run_command("export", "-o", "other.csv", rules=none).err)

    def test_a_signature_is_that_of_botocore(self):
        # Made with botocore.auth.SigV4Auth for the same request, credentials and time.
        now = datetime.datetime(2026, 11, 25, 3, 0, 0, tzinfo=datetime.timezone.utc)
        headers = export.signed_headers(
            "https://abc.lambda-url.eu-west-1.on.aws/leads?since=2026-11-01&format=csv&offer=Contoso%20VM",
            "eu-west-1",
            ("AKIDEXAMPLE", "secret", "token"),
            now,
        )
        self.assertEqual(
            headers["authorization"].partition("Signature=")[2],
            "174dcda23707cb6b92ee6a4dae0b6ac1863162e4361960b72d9aadfafdeeab8b",
        )


class FirstLead(unittest.TestCase):
    def test_why_intake_cannot_be_reached_is_said_with_what_helps(self):
        for failure, said, cure in [
            (
                urllib.error.URLError(ssl.SSLCertVerificationError(1, "no issuer")),
                "SSLCertVerificationError",
                "SSL_CERT_FILE",
            ),
            (urllib.error.URLError(ConnectionRefusedError()), "ConnectionRefusedError", "reaches the Internet"),
            (http.client.IncompleteRead(b""), "IncompleteRead", "reaches the Internet"),
            (urllib.error.HTTPError("https://x", 403, "Forbidden", {}, None), "with 403", "public function URLs"),
            (urllib.error.HTTPError("https://x", 500, "Broken", {}, None), "with 500", "leads validate"),
        ]:
            opener = mock.Mock()
            opener.open.side_effect = failure
            with mock.patch.object(functions, "opener", lambda _, opener=opener: opener):
                with self.assertRaises(words.Problem) as raised:
                    functions.post_lead("https://abc.lambda-url.eu-west-1.on.aws/leads", KEY, {})
            self.assertIn(said, raised.exception.message)
            self.assertIn(cure, raised.exception.cure)
            self.assertNotIn(KEY, raised.exception.text())


class Questions(unittest.TestCase):
    def test_a_question_is_asked_again_until_the_answer_is_right(self):
        from support import Terminal

        screen = words.Screen(out=io.StringIO(), err=io.StringIO(), source=Terminal("wrong\nright\n"))
        self.assertEqual(screen.ask("What", None, lambda text: None if text == "right" else "no"), "right")
        with self.assertRaises(words.Problem):
            screen.ask("What")

    def test_a_private_file_that_cannot_be_written_whole_is_left_as_it_was(self):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "answers")
            words.private_file(path, b"before")
            with mock.patch("os.replace", side_effect=OSError), contextlib.suppress(OSError):
                words.private_file(path, b"after")
            with open(path, "rb") as file:
                self.assertEqual(file.read(), b"before")
            self.assertEqual(os.listdir(folder), ["answers"])


if __name__ == "__main__":
    unittest.main()
