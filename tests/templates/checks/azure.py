"""What the ARM template has to say, and what no model of the SDK knows."""

import json
import re
import shutil
import subprocess

# The functions that expressions of this template may use.
_ARM_FUNCTIONS = {
    "parameters",
    "resourceId",
    "format",
    "not",
    "empty",
    "reference",
    "resourceGroup",
    "environment",
}


def _expressions(node, where="$"):
    """The expressions of a template, with the place of each."""
    if isinstance(node, dict):
        for name, inner in node.items():
            yield from _expressions(inner, f"{where}.{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _expressions(inner, f"{where}[{index}]")
    elif isinstance(node, str) and node.startswith("[") and node.endswith("]"):
        yield where, node[1:-1]


def arm_assertions(sources):
    """What is wrong with the ARM template beyond its form."""
    try:
        template = json.loads(sources.azure)
        yield from _arm(template, sources.facts["variables"])
    except Exception as error:
        yield f"the template cannot be read: {type(error).__name__} {error}"


def _arm(template, settings):
    if "deploymentTemplate.json" not in template.get("$schema", "") or not template.get("contentVersion"):
        yield "no deployment template"
    for where, expression in _expressions(template):
        # A quote inside a string is written twice.
        bare = re.sub(r"'(?:[^']|'')*'", "''", expression)
        if bare.count("(") != bare.count(")") or "'" in bare.replace("''", ""):
            yield f"{where}: parentheses or quotes do not match"
        for function in re.findall(r"(\w+)\(", bare):
            if function not in _ARM_FUNCTIONS:
                yield f"{where}: unexpected function {function}"
        for parameter in re.findall(r"parameters\('(\w+)'\)", expression):
            if parameter not in template["parameters"]:
                yield f"{where}: no parameter {parameter}"
        for text, arguments in re.findall(r"format\('((?:[^']|'')*)'((?:, [^,]+)*)\)", expression):
            given = len(re.findall(r", ", arguments))
            if re.findall(r"\{(\d+)\}", text) and max(map(int, re.findall(r"\{(\d+)\}", text))) >= given:
                yield f"{where}: format has too few values"
    for name, parameter in template["parameters"].items():
        if not parameter.get("metadata", {}).get("description"):
            yield f"{name}: no description"
        if f"parameters('{name}')" not in json.dumps(template):
            yield f"{name}: not used"
        if parameter["type"] not in ("string", "object"):
            yield f"{name}: type {parameter['type']}"
    kinds = [resource["type"] for resource in template["resources"]]
    account = next(r for r in template["resources"] if r["type"] == "Microsoft.Storage/storageAccounts")
    wanted = {
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        # Partner Center signs with the account's key.
        "allowSharedKeyAccess": True,
    }
    for name, value in wanted.items():
        if account["properties"].get(name) != value:
            yield f"storage account: {name} is not {value}"
    if account["kind"] != "StorageV2" or account["sku"] != {"name": "[parameters('sku')]"}:
        yield "storage account: kind or redundancy"
    if any(
        resource["apiVersion"] != account["apiVersion"]
        for resource in template["resources"]
        if "Storage/" in resource["type"]
    ):
        yield "storage resources of several API versions"
    for table, variable in [("leadTable", "LEADS_TABLE"), ("stateTable", "LEADS_STATE_TABLE")]:
        name = f"[format('{{0}}/default/{{1}}', parameters('storageAccountName'), parameters('{table}'))]"
        if not any(r["type"].endswith("/tables") and r["name"] == name for r in template["resources"]):
            yield f"no table {table}"
        if template["parameters"][table]["defaultValue"] != settings[variable]["default"]:
            yield f"{table}: another default than {variable}"
    for resource in template["resources"][1:]:
        if not resource.get("dependsOn"):
            yield f"{resource['type']}: waits for nothing"
        for dependency in resource.get("dependsOn", []):
            kind = re.search(r"resourceId\('([^']+)'", dependency)
            if not kind or kind[1] not in kinds:
                yield f"{resource['type']}: depends on {dependency}"
    settings_ = [r for r in template["resources"] if r["type"] == "Microsoft.Insights/diagnosticSettings"]
    if len(settings_) != 1 or "logAnalyticsWorkspaceId" not in settings_[0].get("condition", ""):
        yield "no optional diagnostic setting"
    for setting in settings_:
        logs = {log["category"] for log in setting["properties"]["logs"] if log["enabled"]}
        if logs != {"StorageRead", "StorageWrite", "StorageDelete"}:
            yield f"diagnostic setting: the table service has no such logs, {sorted(logs)}"
        if {metric["category"] for metric in setting["properties"]["metrics"]} != {"Transaction"}:
            yield "diagnostic setting: metrics"
    for name, output in template["outputs"].items():
        if re.search(r"listKeys|listAccountSas|primaryKey|\bkeys\[", output["value"], re.I):
            yield f"output {name}: shows a key"
    yield from _network(account)
    yield from _connection_string(template["outputs"].get("connectionStringCommand", {}).get("value", ""))
    if not template["outputs"].get("tableEndpoint", {}).get("value", "").endswith(".primaryEndpoints.table]"):
        yield "output tableEndpoint is not the endpoint of the tables"


def _network(account):
    """Partner Center writes from addresses that nobody publishes, so everybody may reach the account, with its key."""
    properties = account["properties"]
    if properties.get("publicNetworkAccess", "Enabled") != "Enabled":
        yield "storage account: not reachable over the public network"
    if properties.get("networkAcls", {}).get("defaultAction", "Allow") != "Allow":
        yield "storage account: addresses that it does not know are refused"


# Stands for `az` in the shells below: prints the first key for the query that the command has to make.
_AZ = """az() {
  [ "$*" = "storage account keys list --resource-group group --account-name account --query [0].value --output tsv" ] &&
    echo KEY==
}
"""


def _connection_string(value):
    """The output prints the connection string in the order that Partner Center takes, whichever shell runs it."""
    found = re.fullmatch(r"\[format\('((?:[^']|'')*)', (.*)\)\]", value)
    known = {
        "parameters('storageAccountName')": "account",
        "resourceGroup().name": "group",
        "environment().suffixes.storage": "core.windows.net",
    }
    if not found or not set(found[2].split(", ")) <= set(known):
        yield "no output says how to get the connection string"
        return
    command = found[1].replace("''", "'").format(*(known[argument] for argument in found[2].split(", ")))
    if "'[0].value'" not in command:
        yield "connectionStringCommand: zsh would look for files of the name [0].value"
    expected = "DefaultEndpointsProtocol=https;AccountName=account;AccountKey=KEY==;EndpointSuffix=core.windows.net"
    for shell in filter(shutil.which, ["sh", "dash", "bash", "zsh"]):
        ran = subprocess.run([shell, "-c", f"{_AZ}{command}"], capture_output=True, text=True)
        if ran.stdout.strip() != expected:
            yield f"connectionStringCommand: {shell} prints something else than the connection string"
