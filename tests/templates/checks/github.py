"""What `docs/operations.md` says of deploying from GitHub: the role, whom it trusts and what it may do. Its blocks are run, with
another account, region and stack than those of the example."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from template import ACCOUNT, REGION, STACK

_OTHER = {"ACCOUNT": "210987654321", "AWS_REGION": "ap-south-1", "STACK": "market-2"}
_PREFIX = "token.actions.githubusercontent.com"


def github(sources):
    """What is wrong with the role for GitHub."""
    for subject in re.findall(rf'{_PREFIX}:sub": "([^"]*)"', sources.operations):
        if not re.fullmatch(r"repo:[\w.-]+/[\w.-]+:environment:[\w-]+", subject):
            yield f"{subject}: the role is not for an environment, whose people agree to a deployment"
    blocks = re.findall(r"```sh\n(.*?)```", sources.operations, re.S)
    for name, check in (("trust.json", _trust_faults), ("policy.json", _policy_faults)):
        block = next((block for block in blocks if f"> {name}" in block), None)
        if block is None:
            yield f"no block writes {name}"
            continue
        try:
            yield from (f"{name}: {fault}" for fault in check(_written(block, name, sources), sources))
        except ValueError as error:
            yield f"{name}: {error}"


def _written(block, name, sources):
    """What a block writes into a file, for another account, region and stack. `aws` prints the account."""
    with tempfile.TemporaryDirectory(prefix="github-") as folder:
        policy = Path(folder, "infra/aws/deploy-policy.json")
        policy.parent.mkdir(parents=True)
        policy.write_text(sources.deployment, "utf-8")
        block = re.sub(rf"^STACK={STACK}$", "", block, flags=re.M)
        script = f"aws() {{ echo {_OTHER['ACCOUNT']}; }}\nset -eu\n{block}"
        environment = {"PATH": str(Path(shutil.which("sed")).parent), **_OTHER}
        ran = subprocess.run(
            [shutil.which("sh"), "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )
        if ran.returncode:
            raise ValueError(ran.stderr.strip() or f"the block ends with {ran.returncode}")
        return Path(folder, name).read_text("utf-8")


def _trust_faults(text, _sources):
    (statement,) = json.loads(text)["Statement"]
    provider = f"arn:aws:iam::{_OTHER['ACCOUNT']}:oidc-provider/{_PREFIX}"
    if statement.get("Effect") != "Allow" or statement.get("Action") != "sts:AssumeRoleWithWebIdentity":
        yield "does not let the workflow take the role"
    if statement.get("Principal") != {"Federated": provider}:
        yield f"trusts {statement.get('Principal')}, and not {provider}"
    condition = statement.get("Condition", {})
    names = {f"{_PREFIX}:aud", f"{_PREFIX}:sub"}
    if set(condition) != {"StringEquals"} or set(condition["StringEquals"]) != names:
        yield "trusts not one environment of one repository alone"
    elif condition["StringEquals"][f"{_PREFIX}:aud"] != "sts.amazonaws.com":
        yield "trusts another audience than the one that the workflow asks for"


def _policy_faults(text, sources):
    """Everything of the example is replaced, and nothing else."""
    expected = sources.deployment.replace(ACCOUNT, _OTHER["ACCOUNT"]).replace(REGION, _OTHER["AWS_REGION"])
    expected = re.sub(rf"(?<=[:/]){STACK}(?=[-/])", _OTHER["STACK"], expected)
    for found, right in zip(text.splitlines(), expected.splitlines(), strict=True):
        if found != right:
            yield f"{found.strip()} should be {right.strip()}"
