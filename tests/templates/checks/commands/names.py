"""The names and values in commands, against the templates: stacks, functions, queues, secrets, outputs, parameters."""

import json
import re

from checks.commands.bodies import destination_faults, routes_faults
from checks.commands.query import query_faults
from checks.commands.shells import PRINTED, PRINTED_SECOND
from checks.payloads import payload_faults
from checks.samconfig import override_faults
from checks.view import function_of
from template import STACK, Resolved, parsed

# How long the AWS CLI waits for an answer if nothing else is said, in seconds.
#
# <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html>
_CLI_READ_TIMEOUT = 60

# The parameter for which the guide asks only those who want routes; the template has no default for it.
ROUTES = "/marketplace-leads/routes"

# What the Azure CLI answers to the commands of which something is asked.
#
# <https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys>
# <https://learn.microsoft.com/rest/api/resources/deployments/get>
_KEYS = [{"creationTime": "", "keyName": "", "permissions": "", "value": ""}]
_DEPLOYMENT = {"id": "", "location": "", "name": "", "resourceGroup": "", "tags": {}, "type": ""}


class Names:
    """The names that the templates give, for a stack of the usual name."""

    def __init__(self, sources):
        self.sources = sources
        template = parsed(sources.aws)
        resolved = Resolved(template)
        self.parameters, self.outputs = template["Parameters"], set(template["Outputs"])
        self.arm = json.loads(sources.azure)
        self.names, self.timeouts = {}, {}
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            for key in ("FunctionName", "LogGroupName", "AlarmName", "Name"):
                if key in properties:
                    self.names.setdefault(resource["Type"], set()).add(resolved.value(properties[key]))
            if resource["Type"] == "AWS::Serverless::Function":
                self.timeouts[resolved.value(properties["FunctionName"])] = (function_of(name), properties["Timeout"])
        defaults = {name: parameter.get("Default") for name, parameter in self.parameters.items()}
        self.secrets = {defaults["StorageConnectionStringParameter"], defaults["IntakeKeysParameter"]}
        self.destinations = defaults["DestinationsPrefix"]

    def aws(self, request):
        """What is wrong with the names in a request to AWS."""
        of, given = self.names, request.parameters
        if "StackName" in given and given["StackName"] != STACK:
            yield f"the stack is called {STACK}, not {given['StackName']}"
        if request.service == "lambda" and "FunctionName" in given:
            if given["FunctionName"] not in self.timeouts:
                yield f"{given['FunctionName'].removeprefix(f'{STACK}-')}: there is no such function"
        if request.service == "scheduler" and given.get("Name") not in of["AWS::Scheduler::Schedule"]:
            yield f"{given.get('Name')}: there is no such schedule"
        if request.service == "logs" and request.operation == "tail" and given["words"]:
            yield from self._log_group(given["words"][0])
        for name in given.get("AlarmNames", ()):
            if name not in of["AWS::CloudWatch::Alarm"]:
                yield f"{name}: there is no such alarm"
        if given.get("QueueNamePrefix", f"{STACK}-") != f"{STACK}-":
            yield f"queues of other stacks begin with {given['QueueNamePrefix']}, too"
        for name, value in given.items():
            if name.endswith("Arn") and value != PRINTED and value not in self.outputs and not value.startswith("arn:"):
                yield f"{name}: {value} is no ARN"
        # A placeholder for a queue is the name of an output.
        for value in filter(lambda value: isinstance(value, str), given.values()):
            if re.fullmatch(r"[A-Z][A-Za-z]+(Url|Arn)", value) and value not in self.outputs:
                yield f"{value}: the template has no such output"
        query = getattr(request.options.get("query"), "expression", None) or ""
        for output in re.findall(r"OutputKey==['`](\w+)['`]", query):
            if output not in self.outputs:
                yield f"{output}: the template has no such output"
        if "AccountLimit.ConcurrentExecutions" in query:
            yield "what other functions have reserved cannot be reserved again: UnreservedConcurrentExecutions is what is left"
        if request.service == "ssm":
            yield from self._secret(given)
        if (request.service, request.operation) == ("lambda", "Invoke"):
            yield from self._invocation(request)

    def _log_group(self, group):
        if group not in self.names["AWS::Logs::LogGroup"]:
            yield f"{group}: there is no such log group"

    def _secret(self, given):
        for name in [*given.get("Names", ()), *filter(None, [given.get("Name")])]:
            is_secret = name in self.secrets or name.startswith(self.destinations)
            if not is_secret and name != ROUTES:
                yield f"{name}: the secret is only in the guide or only in the template"
            if is_secret and given.get("Type", "SecureString") != "SecureString":
                yield f"{name}: a secret is no {given['Type']}"
            if name in self.secrets and "Value" in given:
                left = given["Value"].replace(PRINTED, "").replace(PRINTED_SECOND, "")
                if left.strip(",") or left == given["Value"]:
                    yield f"{name}: its value is not what a command has printed: {given['Value']}"
            if name == ROUTES and "Value" in given:
                yield from routes_faults(given["Value"], self.parameters)
            if name.startswith(self.destinations) and "Value" in given:
                yield from destination_faults(given["Value"])
            if is_secret and "Value" not in given and "Names" not in given and not given.get("WithDecryption"):
                yield f"{name}: without --with-decryption the answer is no use"

    def _invocation(self, request):
        name, given = request.parameters["FunctionName"], request.parameters
        if name not in self.timeouts:
            return
        function, timeout = self.timeouts[name]
        waits = request.options.get("read_timeout")
        waits = _CLI_READ_TIMEOUT if waits is None else waits
        if given.get("InvocationType", "RequestResponse") == "RequestResponse" and 0 < waits <= timeout:
            yield f"the command waits {waits} s for {function}, which may take {timeout} s"
        if "Payload" in given and request.options.get("cli_binary_format") != "raw-in-base64-out":
            yield f"the AWS CLI would take the payload for {function} as Base64"
        if "Payload" in given:
            yield from payload_faults(function, given["Payload"], self.sources)

    def all_az(self, of_document):
        """What is wrong with the commands of the Azure CLI in a document, looked at together."""
        groups, keys = set(), set()
        for asked in of_document:
            groups.update(asked.options.get("--resource-group", ()))
            keys.update(asked.options.get("--key", ()))
        if len(groups) > 1:
            yield f"one resource group has the names {', '.join(sorted(groups))}"
        if keys and keys != {"primary", "secondary"}:
            yield f"only the key {', '.join(keys)} is ever renewed"

    def az(self, asked):
        """What is wrong with the names in a command of the Azure CLI."""
        (query,) = asked.options.get("--query", [None])[:1] or [None]
        (name,) = asked.options.get("--name", [None])[:1] or [None]
        if asked.command.startswith("deployment group"):
            if name not in (None, STACK):
                yield f"{name}: the deployment is called {STACK}"
            for file in asked.options.get("--template-file", ()):
                if not (self.sources.root / file).is_file():
                    yield f"{file}: there is no such template"
            yield from self._arm_parameters(asked.options.get("--parameters", ()))
        accounts = [one.partition("=")[2] for one in asked.options.get("--parameters", ()) if "AccountName=" in one]
        for account in [*accounts, *asked.options.get("--account-name", ())]:
            if not re.fullmatch(r"[a-z0-9]{3,24}", account):
                yield f"{account}: no storage account can be called so"
        if query is not None:
            outputs = {output: {"type": "", "value": ""} for output in self.arm["outputs"]}
            shape = {
                "storage account keys list": _KEYS,
                "deployment group show": {**_DEPLOYMENT, "properties": {"outputs": outputs, "provisioningState": ""}},
            }.get(asked.command)
            yield from query_faults(query, shape)

    def _arm_parameters(self, values):
        for name, _, value in (one.partition("=") for one in values):
            parameter = self.arm["parameters"].get(name)
            if parameter is None:
                yield f"{name}: the ARM template has no such parameter"
            elif value not in parameter.get("allowedValues", [value]):
                yield f"{name}: {value} is not allowed"
            elif not parameter.get("minLength", 0) <= len(value) <= parameter.get("maxLength", 4096):
                yield f"{name}: {value} is too short or too long"

    def sam(self, asked):
        """What is wrong with the values in a command of the SAM CLI."""
        for value in asked.options.get("--parameter-overrides", ()):
            yield from override_faults(value, self.parameters)
            name, _, value = value.partition("=")
            if name.endswith("Parameter") and value not in {*self.secrets, ROUTES}:
                yield f"{value}: the guide puts nothing into a parameter of this name"
        for name in asked.options.get("--stack-name", ()):
            if name != STACK:
                yield f"the stack is called {STACK}, not {name}"
