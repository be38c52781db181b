"""Downloads the leads as a file, with a request that is signed with the operator's credentials."""

import datetime
import hashlib
import hmac
import http.client
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from .functions import opener, reach
from .words import Problem

CHUNK = 256 * 1024
LIMIT = 920
PARAMETERS = ("format", "since", "until", "offer", "action", "include_tests", "preset", "whole_table")


def signed_headers(url, region, credentials, now):
    """Headers of a GET to Lambda, signed as AWS Signature Version 4 has it.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
    """
    access, secret, token = credentials
    parts = urllib.parse.urlsplit(url)
    day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-date": moment}
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    path = urllib.parse.quote(parts.path or "/", safe="/-_.~")
    canonical = "\n".join(["GET", path, query, lines, names, hashlib.sha256(b"").hexdigest()])
    scope = f"{day}/{region}/lambda/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    del headers["host"]
    return headers


def query_of(options):
    pairs = []
    for name in PARAMETERS:
        value = getattr(options, name)
        for one in value if isinstance(value, list) else [value]:
            if one not in (None, False):
                pairs.append((name.replace("_", "-"), "true" if one is True else one))
    return urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)


def export(session):
    options = session.options
    if options.output not in (None, "-"):
        check_absent(options.output, options.yes)
    query = query_of(options)
    url = reach(session.stack.output("ExportUrl") + (f"?{query}" if query else ""))
    headers = signed_headers(
        url, session.region, session.aws.exported_credentials(), datetime.datetime.now(datetime.timezone.utc)
    )
    try:
        with opener(url).open(urllib.request.Request(url, headers=headers), timeout=LIMIT) as answer:
            path = options.output or answer.headers.get_filename() or "leads.csv"
            if path == "-":
                size = copy(answer, sys.stdout.buffer)
                return 0
            path = path if options.output else os.path.basename(path)
            size = save(answer, path, options.yes)
    except urllib.error.HTTPError as error:
        said = error.read(4000).decode(errors="replace")
        cure = (
            "These credentials need lambda:InvokeFunctionUrl and lambda:InvokeFunction on the function."
            if error.code == 403
            else None
        )
        raise Problem(f"the export was refused with {error.code}: {said}", cure)
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise Problem(
            f"the export broke off ({type(reason).__name__}), and nothing was kept",
            "Run it again, or for a shorter time: --since and --until.",
        )
    session.screen.result(
        {"file": path, "bytes": size}, [f"Wrote {path}, {size} bytes. It holds personal data: only you can read it."]
    )
    return 0


def copy(source, target):
    size = 0
    while True:
        data = source.read(CHUNK)
        if not data:
            return size
        target.write(data)
        size += len(data)


def check_absent(path, overwrite):
    if os.path.exists(path) and not overwrite:
        raise Problem(f"{path} exists already", "Name another file with --output, or add --yes.")


def save(source, path, overwrite):
    """Writes the file under a name of its own, and gives it its name when all of it is there."""
    check_absent(path, overwrite)
    part = f"{path}.part"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            size = copy(source, file)
        announced = source.headers.get("Content-Length")
        if announced is not None and int(announced) != size:
            raise http.client.IncompleteRead(b"", int(announced) - size)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)
    return size
