"""Mistakes in the guides: what is wrong, the text to replace, which must be there once, and its replacement."""

GUIDE = [
    (
        "the validation is called something else",
        'aws lambda invoke --function-name "$STACK-lead-validation"',
        'aws lambda invoke --function-name "$STACK-lead-validate"',
    ),
    ("a command does not wait for the validation", "--cli-read-timeout 150", "--cli-read-timeout 90"),
    (
        "a payload would be read as Base64",
        '--cli-read-timeout 310 \\\n  --cli-binary-format raw-in-base64-out --payload \'{"command":"run"}\' answer.json && cat',
        '--cli-read-timeout 310 \\\n  --payload \'{"command":"run"}\' answer.json && cat',
    ),
    ("an event that is no JSON", "--payload '{}' answer.json", "--payload '{' answer.json"),
    (
        "a command that the notifier does not have",
        '--payload \'{"command":"run"}\' answer.json && cat',
        '--payload \'{"command":"start"}\' answer.json && cat',
    ),
    ("an output that does not exist", "OutputKey=='IntakeUrl'", "OutputKey=='IntakeURL'"),
    ("an ARM output that does not exist", "outputs.connectionStringCommand", "outputs.connectionString"),
    ("an ARM parameter that does not exist", "--parameters storageAccountName=", "--parameters accountName="),
    (
        "a template that is not there",
        "--template-file infra/azure/storage.json",
        "--template-file infra/azure/tables.json",
    ),
    (
        "a parameter that does not exist",
        "ones without a default are `MailFrom`",
        "ones without a default are `MailSender`",
    ),
    (
        "a value that its parameter refuses",
        "DestinationsPrefix=/marketplace-leads-test/destinations/",
        "DestinationsPrefix=/marketplace-leads-test/destinations",
    ),
    (
        "a value that the next deployment undoes",
        "sam build && sam deploy                      # once",
        "sam build && sam deploy --parameter-overrides RoutesParameter=/marketplace-leads/routes",
    ),
    ("an unknown option of a deployment", "resolve_s3 = true\nparameter_overrides", "s3 = true\nparameter_overrides"),
    ("addresses with commas between", "MailTo=me@contoso.com Alarm", "MailTo=me@contoso.com,you@contoso.com Alarm"),
    (
        "a secret under another name",
        '--name /marketplace-leads/intake-keys --value "$KEY"\n',
        '--name /marketplace-leads/intake-key --value "$KEY"\n',
    ),
    (
        "a function keeps its old secrets",
        "for name in intake redelivery notifier validation export; do",
        "for name in intake redelivery notifier export; do",
    ),
    ("a block that no shell can read", "esac\n```", "```"),
    (
        "queues of other stacks are removed, too",
        "aws sqs get-queue-attributes --queue-url <each> --attribute-names All",
        'aws sqs list-queues --queue-name-prefix "$STACK-"',
    ),
]

OPERATIONS = [
    ("a graph that is not described", "| *Cold starts* |", "| *Fresh starts* |"),
    ("a command without a section", "### `dry-run`", "### A dry run"),
    ("a field that a command does not have", '{"command":"history","last":1}', '{"command":"history","count":1}'),
    (
        "a command without a field that it needs",
        '"since":"2026-11-20","until":"2026-11-21","to"',
        '"since":"2026-11-20","to"',
    ),
    (
        "an example is no JSON",
        """'{"command":"history","last":1}'""",
        """'{"command":"history","last":one}'""",
    ),
    ("a command does not wait for the notifier", "--cli-read-timeout 310", "--cli-read-timeout 60"),
    ("logs of a function that does not exist", "leads-lead-notifier --since", "leads-lead-notify --since"),
    (
        "an output that does not exist",
        "purge-queue --queue-url <NotifierDeadLetterQueueUrl>",
        "purge-queue --queue-url <DeadLetterQueueUrl>",
    ),
]

# What is wrong, the document, the text to replace, which must be there once, and its replacement.
DOCUMENTS = [
    ("a link to nowhere", "infra/README.md", "([operations](../docs/operations.md))", "([operations](../docs/operation.md))"),
    ("a link to no heading", "docs/faq.md", "](operations.md#alarms)", "](operations.md#alarm)"),
    ("a picture that is not there", "README.md", "](docs/images/pipeline.svg)", "](docs/images/pipes.svg)"),
    ("a picture in HTML that is not there", "README.md", 'src="docs/images/digest.png"', 'src="docs/images/digests.png"'),
    (
        "a command in another document waits too shortly",
        "docs/faq.md",
        "leads validate\nleads status\n",
        "aws lambda invoke --function-name leads-lead-validation --cli-binary-format raw-in-base64-out answer.json\n",
    ),
    (
        "an event in another document that the notifier does not know",
        "docs/faq.md",
        """`notifier '{"command":"history","last":3}'`""",
        """`notifier '{"command":"past","last":3}'`""",
    ),
    ("a translation lacks a section", "docs/zh-Hans/README.md", "## 许可", "许可"),
    ("a translation has another command", "docs/zh-Hans/README.md", "cargo test --workspace", "cargo test"),
    ("the translated guide has another command", "docs/zh-Hans/guide.md", "--finish\n```", "--undo\n```"),
    (
        "the translated guide names another test",
        "docs/zh-Hans/guide.md",
        "`test_nothing_is_removed_without_a_yes`",
        "`test_nothing_is_removed_without_a_no`",
    ),
    ("costs of fewer alarms than there are", "docs/costs.md", " metrics, 26 alarms", " metrics, 25 alarms"),
    ("a misspelt word", "README.md", "each lead to the people", "each lead to the poeple"),
]
