"""The storage account: its connection string, a shared access signature for the functions, and `az`."""

import base64
import datetime
import hashlib
import hmac
import json
import re
import shutil
import subprocess
import urllib.parse

from .words import Problem

# The order that Partner Center takes; `az storage account show-connection-string` prints another one.
ORDER = ("DefaultEndpointsProtocol", "AccountName", "AccountKey", "EndpointSuffix")
ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
DEPLOYMENT = "leads"


def parse(text):
    """The parts of a connection string by name. Errors show nothing of it."""
    parts = {}
    for place, part in enumerate(filter(None, text.strip().split(";")), 1):
        name, sign, value = part.partition("=")
        if not sign:
            raise Problem(
                f"part {place} of the connection string has no `=`",
                "Copy it again: Azure portal, the storage account, Access keys.",
            )
        parts[name.strip()] = value.strip()
    if "UseDevelopmentStorage" in parts or "TableEndpoint" in parts:
        return parts
    missing = [name for name in ("AccountName", "AccountKey") if not parts.get(name)]
    if missing:
        raise Problem(
            f"the connection string has no {' and no '.join(missing)}",
            "Copy it again: Azure portal, the storage account, Access keys.",
        )
    try:
        base64.b64decode(parts["AccountKey"], validate=True)
    except ValueError:
        raise Problem(
            "the AccountKey of the connection string is no Base64",
            "Copy it again: Azure portal, the storage account, Access keys.",
        )
    return parts


def in_order(text):
    """The connection string as Partner Center takes it, or as it came where it has an endpoint of its own."""
    parts = parse(text)
    if "UseDevelopmentStorage" in parts or "TableEndpoint" in parts:
        return text.strip()
    complete = {"DefaultEndpointsProtocol": "https", "EndpointSuffix": "core.windows.net", **parts}
    return ";".join(f"{name}={complete[name]}" for name in ORDER)


def with_signature(text, days, now=None):
    """A connection string with a shared access signature in place of the account key: for the rows of tables alone, by
    https alone. An emulator without https asks for more: there a query is about the whole table.

    https://learn.microsoft.com/rest/api/storageservices/create-account-sas
    """
    parts = parse(in_order(text))
    if "AccountKey" not in parts:
        raise Problem(
            "a signature can be made of an account key alone", "Give the connection string with the account key."
        )
    now = now or datetime.datetime.now(datetime.timezone.utc)
    expiry = (now + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    endpoint = parts.get("TableEndpoint") or f"https://{parts['AccountName']}.table.{parts['EndpointSuffix']}"
    kinds, protocol = ("co", "https,http") if endpoint.startswith("http:") else ("o", "https")
    fields = {"sv": "2019-02-02", "ss": "t", "srt": kinds, "sp": "raud", "se": expiry, "spr": protocol}
    to_sign = "\n".join(
        [
            parts["AccountName"],
            fields["sp"],
            fields["ss"],
            fields["srt"],
            "",
            fields["se"],
            "",
            fields["spr"],
            fields["sv"],
            "",
        ]
    )
    digest = hmac.new(base64.b64decode(parts["AccountKey"]), to_sign.encode(), hashlib.sha256).digest()
    fields["sig"] = base64.b64encode(digest).decode()
    return f"TableEndpoint={endpoint};SharedAccessSignature={urllib.parse.urlencode(fields)}"


def is_signature(text):
    return "SharedAccessSignature" in parse(text)


def az(arguments, asked, limit=600):
    """The answer of the Azure CLI. What it prints can be a secret, and is in no error; no argument is one."""
    program = shutil.which("az")
    if program is None:
        raise Problem(
            "the Azure CLI is not in PATH",
            "Install it (https://learn.microsoft.com/cli/azure/), or give a connection string.",
        )
    try:
        done = subprocess.run(
            [program, *arguments, "--output", "json", "--only-show-errors"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=limit,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise Problem(f"the Azure CLI did not end in time ({asked})", "Run the command again.")
    if done.returncode != 0:
        cure = (
            "Sign in: az login."
            if "az login" in done.stderr
            else "Try it by hand to see what Azure says: az " + " ".join(arguments[:3])
        )
        code = re.search(r"\((\w+)\)", done.stderr)
        raise Problem(f"Azure refused to {asked}{f' ({code[1]})' if code else ''}", cure, code[1] if code else None)
    return json.loads(done.stdout) if done.stdout.strip() else {}


def subscription():
    """The name of the subscription that `az` works in."""
    return az(["account", "show"], "say who is signed in", 60)["name"]


def make(azure, template, tables):
    """Makes resource group, account and tables, or brings them to what the template says."""
    group, location = azure["group"], azure["location"]
    az(["group", "create", "--name", group, "--location", location], "make the resource group")
    given = [f"storageAccountName={azure['account']}"] + [f"{name}={table}" for name, table in tables.items()]
    command = ["deployment", "group", "create", "--resource-group", group, "--name", DEPLOYMENT]
    az(command + ["--template-file", template, "--parameters", *given], "make the storage account", 1800)


def keys(group, account):
    """The two account keys by their names, `key1` and `key2`."""
    found = az(
        ["storage", "account", "keys", "list", "--resource-group", group, "--account-name", account],
        "give the account's keys",
        120,
    )
    return {key["keyName"]: key["value"] for key in found}


def suffix():
    return az(["cloud", "show"], "say which cloud it works in", 60)["suffixes"]["storageEndpoint"]


def connection_string_of(azure):
    """The connection string of the account in the answers, with the key that is in use."""
    key = keys(azure["group"], azure["account"])[azure.get("key", "key1")]
    return connection_string(azure["account"], key, suffix())


def connection_string(account, key, endpoint_suffix):
    return f"DefaultEndpointsProtocol=https;AccountName={account};AccountKey={key};EndpointSuffix={endpoint_suffix}"


def renew(group, account, name):
    """Makes a new key in place of one; the old one ends at once."""
    az(
        [
            "storage",
            "account",
            "keys",
            "renew",
            "--resource-group",
            group,
            "--account-name",
            account,
            "--key",
            {"key1": "primary", "key2": "secondary"}[name],
        ],
        "renew the key",
        120,
    )
