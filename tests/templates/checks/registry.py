"""Which checks there are of which file."""

from checks import (
    alarms,
    azure,
    dashboard,
    deployment,
    documents,
    functions,
    guide,
    housekeeping,
    linters,
    mail,
    parts,
    queues,
    roles,
    samconfig,
    schedule,
    variables,
)
from checks.azure_models import arm_models
from checks.view import View, transforms

_AWS_THEMES = [
    functions.functions,
    functions.concurrency,
    functions.asynchronous_invocation,
    functions.urls,
    variables.environment,
    roles.roles,
    roles.partitions,
    queues.queues,
    queues.retention,
    mail.mail,
    housekeeping.parameters,
    housekeeping.tags,
    housekeeping.outputs,
    dashboard.dashboard,
    alarms.alarms,
    roles.routes,
    schedule.schedule,
    parts.parts,
]


def aws_assertions(sources):
    """What no linter sees in the AWS template."""
    if not transforms(sources):
        return  # cfn-lint reports it.
    try:
        view = View(sources)
        for theme in _AWS_THEMES:
            yield from theme(view)
    except Exception as error:
        # Something that an assertion reads is not there.
        yield f"the template cannot be read: {type(error).__name__} {error}"


def all_assertions(sources):
    """All checks of our own, of all files."""
    yield from aws_assertions(sources)
    yield from azure.arm_assertions(sources)
    yield from deployment.own(sources)
    yield from samconfig.samconfig(sources)
    yield from guide.guide(sources)
    yield from guide.commands(sources)
    yield from documents.own(sources)


# The checks of each file, in the order of the columns in docs/template-checks.md.
AWS_CHECKS = {
    "cfn-lint, raw": linters.cfn_lint_raw,
    "cfn-lint, transformed": linters.cfn_lint_transformed,
    "parliament": linters.parliament_policies,
    "checkov": linters.checkov_aws,
    "own": aws_assertions,
}
AZURE_CHECKS = {
    "SDK models": arm_models,
    "checkov": linters.checkov_azure,
    "own": azure.arm_assertions,
}
DEPLOYMENT_CHECKS = {"parliament": linters.parliament_deployment, "own": deployment.own}
SAMCONFIG_CHECKS = {"own": samconfig.samconfig}
GUIDE_CHECKS = {"own": guide.guide}
OPERATIONS_CHECKS = {"own": guide.commands}
DOCUMENT_CHECKS = {"typos": documents.spelling, "own": documents.own}
CHECKS = {
    "infra/aws/template.yaml": AWS_CHECKS,
    "infra/azure/storage.json": AZURE_CHECKS,
    "infra/aws/deploy-policy.json": DEPLOYMENT_CHECKS,
    "infra/aws/samconfig.toml.example": SAMCONFIG_CHECKS,
    "infra/by-hand.md": GUIDE_CHECKS,
    "docs/operations.md": OPERATIONS_CHECKS,
    "documents": DOCUMENT_CHECKS,
}

# The same checks, the cheapest first: what a seeded mistake is tried with until one of them catches it.
CHEAPEST_FIRST = ["own", "typos", "SDK models", "parliament", "checkov", "cfn-lint, raw", "cfn-lint, transformed"]


def findings(check, sources):
    """The findings of one check, one after the other. A check that cannot even run on a file has found something."""
    try:
        yield from check(sources)
    except Exception as error:
        yield f"fails: {type(error).__name__} {error}"


def all_findings(sources):
    """The findings of every check, each with the file and the check that it comes from."""
    for file, checks in CHECKS.items():
        for name, check in checks.items():
            for finding in findings(check, sources):
                yield f"{file}: {name}: {finding}"
    for skipped in linters.stale_checkov_skips(sources):
        yield f"tests/templates/checks/linters.py: nothing needs to skip {skipped}"
