"""What the ARM template has to say, and what no model of the SDK knows."""

import json
import re
import shutil
import subprocess

from checks.arm import Expressions, Unknown
from checks.azure_values import arm_values


def arm_assertions(sources):
    """What is wrong with the ARM template beyond its form."""
    yield from arm_values(sources)
    try:
        template = json.loads(sources.azure)
        yield from _arm(template, sources.facts["variables"])
    except Exception as error:
        yield f"the template cannot be read: {type(error).__name__} {error}"


def _arm(template, settings):
    for name, parameter in template["parameters"].items():
        if not parameter.get("metadata", {}).get("description"):
            yield f"{name}: no description"
        if f"parameters('{name}')" not in json.dumps(template):
            yield f"{name}: not used"
    for table, variable in [("leadTable", "LEADS_TABLE"), ("stateTable", "LEADS_STATE_TABLE")]:
        if template["parameters"][table]["defaultValue"] != settings[variable]["default"]:
            yield f"{table}: another default than {variable}"
    for name, output in template["outputs"].items():
        if re.search(r"listKeys|listAccountSas|primaryKey|\bkeys\[", output["value"], re.I):
            yield f"output {name}: shows a key"
    yield from _connection_string(template)


# Stands for `az` in the shells below: prints the first key for the query that the command has to make.
_AZ = """az() {
  [ "$*" = "storage account keys list --resource-group group --account-name account --query [0].value --output tsv" ] &&
    echo KEY==
}
"""


def _connection_string(template):
    """The output prints the connection string in the order that Partner Center takes, whichever shell runs it."""
    expressions = Expressions(template, storageAccountName="account")
    # Azure in China; in the public cloud a suffix that is written down would not be seen.
    expressions.suffix = "core.chinacloudapi.cn"
    try:
        command = expressions.value(template["outputs"]["connectionStringCommand"]["value"])
    except (Unknown, LookupError) as error:
        yield f"no output says how to get the connection string: {error}"
        return
    if "'[0].value'" not in command:
        yield "connectionStringCommand: zsh would look for files of the name [0].value"
    expected = (
        "DefaultEndpointsProtocol=https;AccountName=account;AccountKey=KEY==;EndpointSuffix=core.chinacloudapi.cn"
    )
    for shell in filter(shutil.which, ["sh", "dash", "bash", "zsh"]):
        ran = subprocess.run([shell, "-c", f"{_AZ}{command}"], capture_output=True, text=True)
        if ran.stdout.strip() != expected:
            yield f"connectionStringCommand: {shell} prints something else than the connection string"
