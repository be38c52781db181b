"""Calls of the AWS CLI, 1 or 2.

Every request goes in a private temporary file (`--cli-input-json`), every payload too (`fileb://`, which both CLIs read
as it is): the command line, which other users of the machine can see, holds names of services, operations and regions
alone.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse

from .words import Problem

# An error as both CLIs print it.
ERROR = re.compile(
    r"An error occurred \((?P<code>[\w.]+)\) when calling the (?P<operation>\w+) operation[^:]*: (?P<message>.*)", re.S
)

# What to do about errors that have nothing to do with what was asked.
CURES = {
    "ExpiredToken": "Sign in again (`aws sso login`, `aws login`, or new temporary credentials).",
    "ExpiredTokenException": "Sign in again (`aws sso login`, `aws login`, or new temporary credentials).",
    "UnrecognizedClientException": (
        "The credentials are not valid in this region or partition: see `aws sts get-caller-identity`."
    ),
    "InvalidClientTokenId": "The credentials are not valid: see `aws sts get-caller-identity`.",
    "SignatureDoesNotMatch": "The secret access key is wrong, or this machine's clock is off.",
    "AccessDenied": "These credentials may not do this: use others (--profile), or have the action allowed.",
    "AccessDeniedException": "These credentials may not do this: use others (--profile), or have the action allowed.",
    "UnauthorizedOperation": "These credentials may not do this: use others (--profile), or have the action allowed.",
    "ThrottlingException": "AWS asks to slow down: run the command again in a minute.",
    "Throttling": "AWS asks to slow down: run the command again in a minute.",
    "TooManyRequestsException": "All instances of the function are busy: run the command again in a minute.",
}

# What the CLI says where no answer came, and what that means.
UNREACHED = (
    (
        "Unable to locate credentials",
        "there are no AWS credentials",
        "Sign in first: `aws configure`, `aws sso login`, or --profile.",
    ),
    (
        "could not be found",
        "the AWS CLI does not know this profile",
        "See `aws configure list-profiles`, and say --profile.",
    ),
    (
        "Read timeout on endpoint",
        "AWS did not answer in time",
        "Look with `leads status` what was done, then run the command again.",
    ),
    ("Connect timeout on endpoint", "AWS cannot be reached", "See that this machine reaches the Internet."),
    (
        "Could not connect to the endpoint",
        "AWS cannot be reached, or this region has no such service",
        "See the network, and --region.",
    ),
    (
        "SSL validation failed",
        "the certificate of AWS is not taken",
        "See this machine's clock. Behind a proxy that looks into TLS, AWS_CA_BUNDLE names its certificate's file.",
    ),
    ("has expired", "the sign-in has expired", "Sign in again: `aws sso login` or `aws login`."),
    ("Error loading SSO Token", "the sign-in has expired", "Sign in again: `aws sso login`."),
)


MOMENT = 0.1


class Aws:
    """The CLI with one profile and one region."""

    def __init__(self, region=None, profile=None, folder=None):
        self.region, self.profile, self.folder = region, profile, folder

    def version(self):
        """The CLI's version, such as (2, 15, 30)."""
        done = self._run(["--version"], 60)
        found = re.search(r"aws-cli/(\d+)\.(\d+)\.(\d+)", done.stdout + done.stderr)
        if not found:
            raise Problem("the AWS CLI does not say its version", "Install the AWS CLI: https://aws.amazon.com/cli/")
        return tuple(int(part) for part in found.groups())

    def setting(self, name):
        """A value of the CLI's configuration, or None."""
        done = self._run(["configure", "get", name], 60)
        return done.stdout.strip() or None if done.returncode == 0 else None

    def exported_credentials(self):
        """Access key, secret key, token or None. The CLI 2 gives those of any sign-in; the CLI 1 only what is in
        files.
        """
        done = self._run(["configure", "export-credentials", "--format", "process"], 60)
        try:
            found = json.loads(done.stdout)
            return found["AccessKeyId"], found["SecretAccessKey"], found.get("SessionToken")
        except (ValueError, KeyError, TypeError):
            pass
        keys = [os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")]
        token = os.environ.get("AWS_SESSION_TOKEN")
        if self.profile or not all(keys):
            keys = [self.setting("aws_access_key_id"), self.setting("aws_secret_access_key")]
            token = self.setting("aws_session_token")
        if not all(keys):
            raise Problem(
                "the AWS CLI does not give the credentials, with which the request must be signed",
                "Install the AWS CLI 2, which has `aws configure export-credentials`.",
            )
        return keys[0], keys[1], token

    def call(
        self,
        service,
        operation,
        request=None,
        *,
        limit=60,
        secret=False,
        options=(),
        payload=None,
        answer_file=None,
        once=False,
    ):
        """The answer to one request. `limit` is in seconds; `secret` keeps what AWS says out of errors; `options`
        are further options, none of them secret; `payload` is bytes; `answer_file` is where the CLI is to put a
        body; `once` keeps the CLI from asking again by itself, for what must not be done twice.
        """
        with tempfile.TemporaryDirectory(prefix="leads-", dir=self.folder) as folder:
            arguments = [service, operation]
            if request:
                arguments += [
                    "--cli-input-json",
                    f"file://{write(folder, 'request.json', json.dumps(request).encode())}",
                ]
            if payload is not None:
                arguments += ["--payload", f"fileb://{write(folder, 'payload', payload)}"]
            arguments += list(options)
            arguments += ["--cli-read-timeout", str(limit), "--cli-connect-timeout", "10"]
            if answer_file:
                arguments.append(answer_file)
            done = self._run(arguments, limit + 60 if once else limit * 3 + 60, once)
        if done.returncode != 0:
            raise self._problem(done.stderr, f"{service} {operation}", secret)
        try:
            return json.loads(done.stdout) if done.stdout.strip() else {}
        except ValueError:
            raise Problem(f"the AWS CLI answered {service} {operation} with something else than JSON")

    def wait(self, seconds):
        """Waits for what AWS does meanwhile. An emulator on this machine has done it in a moment."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        time.sleep(min(seconds, MOMENT) if endpoint and is_here(endpoint) else seconds)

    def _run(self, arguments, limit, once=False):
        program = shutil.which("aws")
        if program is None:
            raise Problem("the AWS CLI is not in PATH", "Install it: https://docs.aws.amazon.com/cli/")
        environment = dict(os.environ, AWS_PAGER="", AWS_CLI_AUTO_PROMPT="off", PYTHONWARNINGS="ignore")
        command = [program]
        if once:
            environment["AWS_MAX_ATTEMPTS"] = "1"
        if self.region:
            command += ["--region", self.region]
            environment.update(AWS_REGION=self.region, AWS_DEFAULT_REGION=self.region)
        if self.profile:
            command += ["--profile", self.profile]
        # Older ones do not read this variable.
        if os.environ.get("AWS_ENDPOINT_URL"):
            command += ["--endpoint-url", os.environ["AWS_ENDPOINT_URL"]]
        command += ["--output", "json"]
        try:
            return subprocess.run(
                command + arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=limit,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            raise Problem(
                "the AWS CLI did not end in time",
                "Look with `leads status` what was done, then run the command again.",
                "Timeout",
            )
        except OSError as error:
            raise Problem(f"the AWS CLI cannot be started: {error.strerror}", "See that `aws --version` works.")

    @staticmethod
    def _problem(said, asked, secret):
        """What the CLI printed, as a problem in words."""
        found = ERROR.search(said)
        if found:
            code, message = found["code"], " ".join(found["message"].split())
            about = "" if secret else f": {message}"
            return Problem(f"AWS refused {asked} ({code}){about}", CURES.get(code), code)
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        if endpoint and "Could not connect to the endpoint" in said:
            return Problem(
                f"nothing answers at {endpoint}, which AWS_ENDPOINT_URL names",
                "Start what shall answer there (cargo local), or unset AWS_ENDPOINT_URL.",
                "Unreached",
            )
        for sign, message, cure in UNREACHED:
            if sign.lower() in said.lower():
                return Problem(f"{message} ({asked})", cure, "Unreached")
        lines = [line for line in said.strip().splitlines() if line.strip()]
        about = "" if secret or not lines else f": {lines[-1].strip()}"
        return Problem(f"the AWS CLI could not do {asked}{about}")


def is_here(url):
    """Whether an address is one of this machine."""
    return urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def write(folder, name, data):
    """A file that only its owner can read."""
    path = os.path.join(folder, name)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return path
