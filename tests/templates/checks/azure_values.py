"""What a deployment of the ARM template makes: each value of it, computed, against what must hold and why."""

import json
import re

from checks.arm import Expressions, Unknown, resource_id
from template import parsed

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"

# Published versions of the APIs.
#
# <https://learn.microsoft.com/azure/templates/microsoft.storage/change-log/storageaccounts>
# <https://learn.microsoft.com/azure/templates/microsoft.insights/diagnosticsettings>
_VERSIONS = {
    "Microsoft.Storage": {"2023-01-01", "2023-04-01", "2023-05-01", "2024-01-01", "2025-01-01"},
    "Microsoft.Insights": {"2021-05-01-preview"},
}

# Every property of the account, and why it has this value. With one more nobody knows whether Partner Center can write.
_ACCOUNT = {
    "minimumTlsVersion": ("TLS1_2", "older versions are broken"),
    "supportsHttpsTrafficOnly": (True, "leads are personal data"),
    "allowBlobPublicAccess": (False, "the account holds leads alone"),
    "allowCrossTenantReplication": (False, "nobody copies leads elsewhere"),
    "allowSharedKeyAccess": (True, "Partner Center signs with the account's key"),
    "publicNetworkAccess": ("Enabled", "nobody publishes the addresses that Partner Center writes from"),
    "networkAcls": (
        {"defaultAction": "Allow", "bypass": "AzureServices"},
        "nobody publishes the addresses that Partner Center writes from",
    ),
    "encryption": (
        {
            "keySource": "Microsoft.Storage",
            "requireInfrastructureEncryption": True,
            "services": {"table": {"enabled": True, "keyType": "Account"}},
        },
        "the table has to be encrypted twice, with keys that need no vault",
    ),
}

# Type, shortest and longest value, and default of each parameter.
_PARAMETERS = {
    "storageAccountName": ("string", 3, 24, None),
    "location": ("string", None, None, "[resourceGroup().location]"),
    "sku": ("string", None, None, "Standard_ZRS"),
    "leadTable": ("string", 3, 63, "MarketplaceLeads"),
    "stateTable": ("string", 3, 63, "MarketplaceLeadsState"),
    "logAnalyticsWorkspaceId": ("string", None, None, ""),
    "tags": ("object", None, None, {"application": "marketplace-leads"}),
}


def arm_values(sources):
    """What is wrong with what the template makes."""
    try:
        template = json.loads(sources.azure)
        yield from _parameters(template, parsed(sources.aws)["Parameters"])
        yield from _form(template)
        yield from _made(template)
    except (Unknown, ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"the template cannot be computed: {type(error).__name__} {error}"


def _parameters(template, of_aws):
    for name in sorted(set(template["parameters"]) ^ set(_PARAMETERS)):
        yield f"{name}: nothing says which values this parameter may have"
    for name, (kind, shortest, longest, default) in _PARAMETERS.items():
        parameter = template["parameters"].get(name, {})
        found = (parameter.get("type"), parameter.get("minLength"), parameter.get("maxLength"))
        if found != (kind, shortest, longest):
            yield f"{name}: type and lengths are {found}"
        if parameter.get("defaultValue") != default:
            yield f"{name}: the default is {parameter.get('defaultValue')!r}"
        if "allowedValues" in parameter and name != "sku":
            yield f"{name}: only some values are allowed"
    skus = template["parameters"]["sku"]["allowedValues"]
    # <https://learn.microsoft.com/azure/storage/common/storage-account-overview>
    for sku in skus:
        if not sku.startswith("Standard_"):
            yield f"sku: {sku} has no tables"
    if "Standard_LRS" not in skus or "Standard_ZRS" not in skus:
        yield "sku: the guides name Standard_LRS and Standard_ZRS"
    for name, table in [("leadTable", "Table"), ("stateTable", "StateTable")]:
        if _PARAMETERS[name][3] != of_aws[table]["Default"]:
            yield f"{name}: another default than {table}"


def _form(template):
    if template["$schema"] != _SCHEMA:
        yield f"another schema: {template['$schema']}"
    if not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", template["contentVersion"]):
        yield f"contentVersion is {template['contentVersion']}"
    for resource in template["resources"]:
        if resource["apiVersion"] not in _VERSIONS[resource["type"].split("/")[0]]:
            yield f"{resource['type']}: there is no API version {resource['apiVersion']}"
    for name, output in template["outputs"].items():
        asked = re.findall(r"reference\(resourceId\('([\w.]+)/.*?\), '([^']*)'\)", str(output["value"]))
        for provider, version in asked:
            if version not in _VERSIONS.get(provider, ()):
                yield f"output {name}: {provider} has no API version {version}"
        if output["type"] != "string":
            yield f"output {name}: it is a text, not {output['type']}"


def _made(template):
    """A deployment with a workspace for logs, and one without."""
    given = {"storageAccountName": "account", "location": "elsewhere", "leadTable": "leads", "stateTable": "state"}
    given["sku"] = "Standard_GRS"
    tags = {"application": "leads", "owner": "me"}
    without = Expressions(template, **given, tags=tags)
    computed = Expressions(template, **given, tags=tags, logAnalyticsWorkspaceId="workspace")
    made = [computed.value(resource) for resource in template["resources"]]
    ids = [resource_id(resource) for resource in made if "scope" not in resource]
    account = resource_id({"type": "Microsoft.Storage/storageAccounts", "name": "account"})
    service = f"{account}/tableServices/default"
    wanted = {account, service, f"{service}/tables/leads", f"{service}/tables/state"}
    if sorted(ids) != sorted(wanted):
        yield f"other resources are made: {', '.join(sorted(set(ids) ^ wanted)) or 'one twice'}"
    for resource in made:
        parent = resource.get("scope") or resource_id(resource).rpartition("/")[0].rpartition("/")[0]
        needed = [parent] if resource["type"].count("/") > 1 or "scope" in resource else []
        if resource.get("dependsOn", []) != needed:
            yield f"{resource['type']}: it has to wait for {needed}, not for {resource.get('dependsOn')}"
        if resource["type"] == "Microsoft.Storage/storageAccounts":
            yield from _account(resource, tags)
        elif resource["type"] == "Microsoft.Insights/diagnosticSettings":
            yield from _logs(resource, service)
        elif "condition" in resource or resource.get("properties"):
            yield f"{resource['type']}: nothing says what its properties are for"
    for index, resource in enumerate(template["resources"]):
        is_optional = resource["type"] == "Microsoft.Insights/diagnosticSettings"
        condition = (made[index].get("condition", True), without.value(resource.get("condition", True)))
        if condition != (True, not is_optional):
            yield f"{resource['type']}: it is made where it should not, or not where it should"
    endpoint = computed.value(template["outputs"]["tableEndpoint"]["value"])
    if endpoint != f"table of {account}":
        yield f"output tableEndpoint is the {endpoint}"


def _account(account, tags):
    if (account["location"], account["tags"]) != ("elsewhere", tags):
        yield "storage account: region or tags are not the parameters"
    if (account["kind"], account["sku"]) != ("StorageV2", {"name": "Standard_GRS"}):
        yield "storage account: kind or redundancy"
    for name, value in account["properties"].items():
        if name not in _ACCOUNT:
            yield f"storage account: nothing says what {name} is for"
        elif value != _ACCOUNT[name][0]:
            yield f"storage account: {name} is {json.dumps(value)}, although {_ACCOUNT[name][1]}"
    for name in sorted(set(_ACCOUNT) - set(account["properties"])):
        yield f"storage account: {name} is not set, although {_ACCOUNT[name][1]}"


def _logs(setting, service):
    properties = setting["properties"]
    if setting["scope"] != service:
        yield f"diagnostic setting: it is of {setting['scope']}, not of the tables"
    if properties["workspaceId"] != "workspace":
        yield "diagnostic setting: the logs go elsewhere"
    for kind, categories in [("logs", ["StorageDelete", "StorageRead", "StorageWrite"]), ("metrics", ["Transaction"])]:
        if sorted(one["category"] for one in properties[kind] if one["enabled"] is True) != categories:
            yield f"diagnostic setting: {kind} are not {', '.join(categories)}"
    if set(properties) != {"workspaceId", "logs", "metrics"}:
        yield "diagnostic setting: nothing says what its further properties are for"
