"""The deployed functions: invoking them, starting them afresh, and reaching their URLs."""

import concurrent.futures
import datetime
import http.client
import json
import os
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from .aws import is_here
from .words import Problem

# How long an answer may take, in seconds: the function's own limit in the template, and some more.
LIMITS = {"NotifierFunction": 310, "ValidationFunction": 150}
FUNCTIONS = ("IntakeFunction", "RedeliveryFunction", "NotifierFunction", "ValidationFunction", "ExportFunction")
# The most bytes that Lambda takes in one request.
MAX_PAYLOAD = 6 * 1024 * 1024
PAUSE = 2.0
# What functions say of an event that they cannot read.
UNKNOWN = ("InvalidCommand", "InvalidRequest")


class FunctionFailed(Problem):
    """The function ran and said that it could not do it."""


def invoke(session, output, event):
    """The answer of a function, by the stack's output that names it. It is never invoked twice."""
    payload = json.dumps(event).encode()
    if len(payload) > MAX_PAYLOAD:
        raise Problem(f"this is too large: {len(payload)} bytes, and Lambda takes {MAX_PAYLOAD}", "Give it in parts.")
    name = session.stack.output(output)
    with tempfile.TemporaryDirectory(prefix="leads-") as folder:
        path = os.path.join(folder, "answer")
        answer = when_free(session, lambda: invoke_once(session, name, output, payload, path))
        with open(path, "rb") as file:
            body = file.read()
    try:
        value = json.loads(body)
    except ValueError:
        raise Problem(f"{name} answered with something else than JSON")
    if answer.get("FunctionError"):
        said = value if isinstance(value, dict) else {}
        cure = "leads validate looks for the cause; leads logs shows what it logged."
        if said.get("errorType") in UNKNOWN:
            cure = "Correct what it names. If the stack is older than this command: leads update."
        raise FunctionFailed(
            f"{name} could not do it: {said.get('errorMessage', 'no reason is given')}", cure, said.get("errorType")
        )
    return value


def invoke_once(session, name, output, payload, path):
    # The CLI 1 takes the function's name in no other way for this operation.
    options = ["--function-name", name]
    return session.aws.call(
        "lambda", "invoke", options=options, limit=LIMITS[output], payload=payload, answer_file=path, once=True
    )


def when_free(session, call):
    """The notifier has one instance: while a run is at work, Lambda refuses to start another one. Nothing was done then,
    and it is asked again for as long as a run may take.
    """
    until, is_said = time.monotonic() + LIMITS["NotifierFunction"], False
    while True:
        try:
            return call()
        except Problem as problem:
            if problem.code != "TooManyRequestsException" or time.monotonic() > until:
                raise
        if not is_said:
            session.screen.warn("The function is busy with another run; waiting for its end …")
            is_said = True
        session.aws.wait(PAUSE)


def restart(session):
    """Makes every function start afresh, so that it reads its secrets again. Requests under way end first."""
    outputs = session.stack.outputs()
    names = [outputs[output] for output in FUNCTIONS if output in outputs]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: restart_one(session, name), names))


def restart_one(session, name):
    """Lambda refuses a change while another one is under way; the answer to a change says whether it is done."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    which, until = {"FunctionName": name}, time.monotonic() + 300
    operation, request = "update-function-configuration", {**which, "Description": f"Secrets read again {now}"}
    while True:
        try:
            found = session.aws.call("lambda", operation, request)
            operation, request = "get-function-configuration", which
            if found.get("LastUpdateStatus") != "InProgress":
                return
        except Problem as problem:
            if problem.code != "ResourceConflictException":
                raise
        if time.monotonic() > until:
            raise Problem(f"{name} is still being changed after five minutes", "Run the command again.")
        session.aws.wait(PAUSE)


def reach(url):
    """Where a function URL is reached: itself, or its place in an AWS emulator on this machine."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    parts = urllib.parse.urlsplit(url)
    if not endpoint or ".lambda-url." not in (parts.hostname or ""):
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"{endpoint.rstrip('/')}/_aws/lambda-url/{parts.hostname.split('.')[0]}{parts.path}{query}"


def opener(url):
    """What opens a URL: by the proxy of the environment, but not to this machine."""
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_here(url) else []))


def post_lead(url, key, lead):
    """POSTs a lead as Microsoft does, and gives status and answer. The key is in the URL alone, as Microsoft has it,
    and in no error.
    """
    address = reach(f"{url}?code={urllib.parse.quote(key)}")
    request = urllib.request.Request(address, json.dumps(lead).encode(), {"Content-Type": "application/json"})
    try:
        with opener(address).open(request, timeout=35) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        cure = "Run leads validate: it says what is wrong."
        if error.code == 403:
            cure = (
                "Lambda itself answers so: the account or its organization may forbid public function URLs. Have them"
                " allowed, or give the offers the Azure table alone."
            )
        raise Problem(f"intake answered the lead with {error.code}", cure)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        cure = "See that this machine reaches the Internet; then run the command again."
        if isinstance(reason, ssl.SSLError):
            cure = (
                "Python does not take the certificate. On macOS, Python of python.org has a program that installs what"
                " is missing (Install Certificates.command). Behind a proxy that looks into TLS, SSL_CERT_FILE names"
                " the file with its certificate. Then run the command again."
            )
        raise Problem(f"intake cannot be reached: {type(reason).__name__}", cure)
