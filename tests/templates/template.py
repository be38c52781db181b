"""The AWS template as data: parsed, transformed as AWS transforms SAM, and resolved to the values of a deployment."""

import copy
import functools
import json
import re
from dataclasses import dataclass, field

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

REGION = "eu-west-1"
ACCOUNT = "123456789012"
STACK = "leads"

# The parameters that a user has to give. All others have a default.
REQUIRED = {"MailFrom": "leads@contoso.example", "MailTo": "a@contoso.example; b@contoso.example"}

_ARNS = {
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:{id}",
    "AWS::Serverless::Function": "arn:aws:lambda:{region}:{account}:function:{id}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{id}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{id}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{id}:*",
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:{region}:{account}:alarm:{id}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{id}",
}


class _NoManagedPolicies:
    """The template uses no managed policy, so the transform needs to know none."""

    def load(self):
        return {}


@functools.lru_cache(maxsize=2)
def parsed(text):
    """The SAM template as it is written. Nobody may change what this returns."""
    return yaml_parse(text)


@functools.lru_cache(maxsize=2)
def transformed(text):
    """The SAM template as CloudFormation, with the functions' code in a bucket, as after `sam package`. Nobody may
    change what this returns."""
    template = copy.deepcopy(parsed(text))
    for resource in template["Resources"].values():
        code = resource.get("Properties", {}).get("CodeUri", "")
        if code.startswith("../../functions/"):
            resource["Properties"]["CodeUri"] = f"s3://code/{code.rsplit('/', 1)[-1]}.zip"
    return json.loads(json.dumps(transform(template, {}, _NoManagedPolicies())))


class NoValue:
    """What `AWS::NoValue` stands for."""


@dataclass
class Resolved:
    """A CloudFormation template with its intrinsic functions computed. A reference to a resource becomes the resource's
    logical id, `Fn::GetAtt … Arn` an ARN that ends in it, any other attribute `<logical id>.<attribute>`."""

    template: dict
    parameters: dict = field(default_factory=dict)
    pseudo: dict = field(default_factory=dict)

    def __post_init__(self):
        defaults = {
            name: str(parameter["Default"])
            for name, parameter in self.template.get("Parameters", {}).items()
            if "Default" in parameter
        }
        self.values = {**defaults, **REQUIRED, **self.parameters}
        self._conditions = {}

    def resources(self, kind=None):
        """Logical id and resolved resource, those whose condition does not hold left out."""
        for name, resource in self.template["Resources"].items():
            if kind is not None and resource["Type"] != kind:
                continue
            if "Condition" in resource and not self.condition(resource["Condition"]):
                continue
            yield name, self.value(resource)

    def outputs(self):
        """Name and resolved value of each output, those whose condition does not hold left out."""
        for name, output in self.template["Outputs"].items():
            if "Condition" not in output or self.condition(output["Condition"]):
                yield name, self.value(output["Value"])

    def condition(self, name):
        if name not in self._conditions:
            self._conditions[name] = bool(self.value(self.template["Conditions"][name]))
        return self._conditions[name]

    def value(self, node):
        if isinstance(node, list):
            return [v for v in map(self.value, node) if v is not NoValue]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            handler = self._FUNCTIONS.get(function)
            if handler:
                return handler(self, argument)
        return {k: v for k, v in ((k, self.value(v)) for k, v in node.items()) if v is not NoValue}

    def _ref(self, name):
        pseudo = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::StackName": STACK,
            "AWS::Partition": "aws",
            "AWS::NoValue": NoValue,
            **self.pseudo,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.values:
            return self.values[name]
        if name in self.template["Resources"]:
            self._must_be_there(name)
            return name
        raise KeyError(f"nothing is called {name}")

    def _must_be_there(self, name):
        """CloudFormation refuses a reference to a resource that its condition leaves out."""
        condition = self.template["Resources"][name].get("Condition")
        if condition is not None and not self.condition(condition):
            raise KeyError(f"{name} is left out by {condition}, and referred to")

    def _attribute(self, path):
        name, attribute = path.split(".", 1) if isinstance(path, str) else path
        self._must_be_there(name)
        kind = self.template["Resources"][name]["Type"]
        if attribute == "Arn" and kind in _ARNS:
            return _ARNS[kind].format(region=REGION, account=ACCOUNT, id=name)
        return f"{name}.{attribute}"

    def _sub(self, argument):
        text, extra = (argument, {}) if isinstance(argument, str) else argument
        extra = {k: self.value(v) for k, v in extra.items()}

        def one(match):
            name = match.group(1)
            if name in extra:
                return str(extra[name])
            return str(self._attribute(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", one, text)

    def _if(self, argument):
        condition, then, otherwise = argument
        return self.value(then if self.condition(condition) else otherwise)

    def _find(self, argument):
        mapping, first, second = (self.value(part) for part in argument)
        return self.template["Mappings"][mapping][str(first)][second]

    _FUNCTIONS = {
        "Ref": _ref,
        "Condition": condition,
        "Fn::GetAtt": _attribute,
        "Fn::Sub": _sub,
        "Fn::If": _if,
        "Fn::FindInMap": _find,
        "Fn::Equals": lambda self, a: str(self.value(a[0])) == str(self.value(a[1])),
        "Fn::Not": lambda self, a: not self.value(a[0]),
        "Fn::And": lambda self, a: all(map(self.value, a)),
        "Fn::Or": lambda self, a: any(map(self.value, a)),
        "Fn::Join": lambda self, a: a[0].join(self.value(a[1])),
        "Fn::Split": lambda self, a: self.value(a[1]).split(a[0]),
        "Fn::Select": lambda self, a: self.value(a[1])[int(self.value(a[0]))],
    }
