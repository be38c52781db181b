"""The storage account: its connection string, a shared access signature for the functions, and `az`."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse

from .words import Problem

# The order that Partner Center takes; `az storage account show-connection-string` prints another one.
ORDER = ("DefaultEndpointsProtocol", "AccountName", "AccountKey", "EndpointSuffix")
ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
DEPLOYMENT = "leads"
# What the template takes as the account's redundancy.
SKUS = ("Standard_LRS", "Standard_ZRS", "Standard_GRS", "Standard_RAGRS", "Standard_GZRS", "Standard_RAGZRS")
# What Azure says where there is no such account, or not even its resource group.
MISSING = ("ResourceNotFound", "ResourceGroupNotFound")


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
    fields["sig"] = signature(parts["AccountName"], fields, parts["AccountKey"])
    return f"TableEndpoint={endpoint};SharedAccessSignature={urllib.parse.urlencode(fields)}"


def signature(account, fields, key):
    """What an account key makes of the fields of a shared access signature."""
    names = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")
    # Those of the Azure portal are of newer versions, which have one field more.
    names += ("ses",) if fields.get("sv", "") >= "2020-12-06" else ()
    to_sign = "".join(f"{line}\n" for line in [account, *(fields.get(name, "") for name in names)])
    return base64.b64encode(hmac.new(base64.b64decode(key), to_sign.encode(), hashlib.sha256).digest()).decode()


def is_signature(text):
    return "SharedAccessSignature" in parse(text)


def is_made_with(text, account, key):
    """Whether a connection string has this account key, as it is or in the signature that it made."""
    parts = parse(text)
    if "SharedAccessSignature" not in parts:
        return parts.get("AccountKey") == key
    fields = dict(urllib.parse.parse_qsl(parts["SharedAccessSignature"].lstrip("?")))
    return fields.get("sig") == signature(account, fields, key)


def account_of(text):
    """The name of the account that a connection string opens; None where it says none."""
    parts = parse(text)
    endpoint = urllib.parse.urlsplit(parts.get("TableEndpoint", ""))
    # Azure has it in the host's name, an emulator in the path.
    return parts.get("AccountName") or endpoint.path.strip("/") or (endpoint.hostname or "").partition(".")[0] or None


def az(arguments, asked, limit=600, cure=None):
    """The answer of the Azure CLI. What it prints can be a secret, and is in no error; no argument is one. Where it is
    none, `cure` says what to do, and the error says what Azure said.
    """
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
        code = re.search(r"\((\w+)\)", done.stderr)
        message = f"Azure refused to {asked}{f' ({code[1]})' if code else ''}"
        if "az login" in done.stderr:
            cure = "Sign in: az login."
        elif cure:
            message += f": {innermost(done.stderr)}"
        else:
            cure = "Try it by hand to see what Azure says: az " + " ".join(arguments[:3])
        raise Problem(message, cure, code[1] if code else None)
    return json.loads(done.stdout) if done.stdout.strip() else {}


def innermost(said):
    """The message within what Azure says of a deployment that tells the cause: the last one, behind those around it."""
    messages = re.findall(r'"message": *("(?:[^"\\]|\\.)*")', said)
    try:
        return " ".join(json.loads(messages[-1], strict=False).split())
    except (IndexError, ValueError):
        return " ".join(said.split())[-400:]


def subscription():
    """The name of the subscription that `az` works in."""
    return az(["account", "show"], "say who is signed in", 60)["name"]


def exists(azure):
    """Whether the account is there already. Azure gives the keys of no other."""
    try:
        return bool(keys(azure["group"], azure["account"]))
    except Problem as problem:
        if problem.code not in MISSING:
            raise
        return False


def make(azure, template, tables):
    """Makes resource group, account and tables by the template."""
    group, location = azure["group"], azure["location"]
    az(["group", "create", "--name", group, "--location", location], "make the resource group")
    more = {"sku": azure["sku"]} if azure.get("sku") else {}
    cure = (
        "Where the region has no zones, say --azure-sku Standard_LRS. Otherwise correct what it names, or make the"
        " account yourself and give its connection string: leads setup --connection-string."
    )
    deploy(azure, template, {**tables, **more}, "make the storage account", cure)


def make_tables(azure, template, tables):
    """Makes the tables of the template in an account that is there. Nothing else of it is changed: what the template
    says of an account can be refused for one that was made otherwise.
    """
    with open(template, encoding="utf-8") as file:
        found = json.load(file)
    kept = [part for part in found.get("resources", []) if part["type"].endswith("/tables")]
    found["resources"] = [{name: value for name, value in part.items() if name != "dependsOn"} for part in kept]
    found.pop("outputs", None)
    cure = (
        "Correct what it names, or make the two tables yourself and give the account's connection string: leads setup"
        " --connection-string."
    )
    with tempfile.TemporaryDirectory(prefix="leads-") as folder:
        path = os.path.join(folder, "tables.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file)
        deploy(azure, path, tables, "make the tables", cure)


def deploy(azure, template, values, asked, cure):
    given = [f"storageAccountName={azure['account']}"] + [f"{name}={value}" for name, value in values.items()]
    command = ["deployment", "group", "create", "--resource-group", azure["group"], "--name", DEPLOYMENT]
    az(command + ["--template-file", template, "--parameters", *given], asked, 1800, cure)


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
