"""The linters that others wrote: cfn-lint, parliament and checkov."""

import json
import logging
import os
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
os.environ["LOG_LEVEL"] = "ERROR"  # This is the level of checkov's log.
os.environ["CHECKOV_PARALLELIZATION_TYPE"] = "none"  # The seeded mistakes are spread over processes already.

import parliament
from cfnlint.api import lint
from cfnlint.core import get_rules
from checkov.arm.runner import Runner as ArmRunner
from checkov.cloudformation.runner import Runner as CloudFormationRunner
from checkov.runner_filter import RunnerFilter
from samtranslator.model.exceptions import InvalidDocumentException

from checks import deployment
from checks.roles import SENDS, UNLIMITED
from checks.view import transforms
from template import REGION, Resolved, transformed

logging.disable(logging.WARNING)


# The checks of checkov that this project does not follow, and why.
CHECKOV_SKIPPED = {
    "CKV_AWS_27": "queues are encrypted with SQS's own keys, which this check does not know; our own check looks at it",
    "CKV_AWS_115": "only notifier and intake need a limit, and new accounts can have none; our own check looks at it",
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


# Without this, cfn-lint would read its rules again for each template, which is a fifth of its time.
_CFN_LINT_RULES = get_rules([], [], [])


def cfn_lint_raw(sources):
    """cfn-lint on the template as it is written."""
    for match in lint(sources.aws, _CFN_LINT_RULES, [REGION]):
        yield f"{match.rule.id} {match.message} (line {match.linenumber})"


def cfn_lint_transformed(sources):
    """cfn-lint on the template as AWS transforms it."""
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


def parliament_policies(sources):
    """parliament on every policy."""
    if not transforms(sources):
        return  # cfn-lint reports it.
    aws = Resolved(transformed(sources.aws))
    for name, document in _policies(aws):
        analysed = parliament.analyze_policy_string(json.dumps(document), name)
        for finding in analysed.findings:
            unlimited = UNLIMITED.get(name, set())
            if finding.issue == "RESOURCE_STAR" and set(finding.detail or []) <= unlimited:
                continue
            # It wants an identity in every statement that sends. IAM asks about the configuration set apart from it.
            if finding.issue == "RESOURCE_MISMATCH" and {wrong["action"] for wrong in finding.detail} <= SENDS:
                continue
            yield f"{name}: {finding.issue} {finding.title} {finding.detail}"


def parliament_deployment(sources):
    """parliament on the policy of who deploys."""
    for finding in parliament.analyze_policy_string(sources.deployment, "deploy-policy.json").findings:
        # The transform is an account's called aws, which it takes for no account.
        if finding.issue == "INVALID_ARN" and ":aws:transform/" in finding.location.get("string", ""):
            continue
        if finding.issue == "RESOURCE_STAR" and set(finding.detail or []) <= deployment.UNLIMITED:
            continue
        yield f"{finding.issue} {finding.title} {finding.detail}"


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
    """checkov on the AWS template."""
    return _checkov_findings("cloudformation", sources.aws)


def checkov_azure(sources):
    """checkov on the ARM template."""
    return _checkov_findings("arm", sources.azure)


def stale_checkov_skips(sources):
    """The entries of the list of skipped checks that nothing needs."""
    reports = [_checkov("cloudformation", sources.aws), _checkov("arm", sources.azure)]
    failed = {check.check_id for report in reports for check in report.failed_checks}
    return sorted(set(CHECKOV_SKIPPED) - failed)
