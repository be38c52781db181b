"""The AWS template as the checks look at it."""

import re

from template import Resolved, parsed, transformed


class View:
    """The AWS template of one copy of the tree: as it is written, transformed, and resolved, with default parameters if no
    others are given."""

    def __init__(self, sources, parameters=None):
        self.sources = sources
        self.facts = sources.facts
        self.raw = parsed(sources.aws)
        self.template = transformed(sources.aws)
        self.aws = Resolved(self.template, parameters or {})
        self.all = dict(self.aws.resources())
        self.functions = self.of("AWS::Lambda::Function")
        self.queues = self.of("AWS::SQS::Queue")
        self.alarms = self.of("AWS::CloudWatch::Alarm")

    def of(self, kind):
        """The properties of all resources of a type, by logical id."""
        return {name: resource["Properties"] for name, resource in self.all.items() if resource["Type"] == kind}


def function_of(logical_id):
    """The short name of a function, such as `lead-intake` for `LeadIntake`."""
    return "lead-" + re.sub(r"^Lead", "", logical_id).lower()


def transforms(sources):
    """Whether AWS can transform the template. Where it cannot, cfn-lint says why, and no other check of it can run."""
    try:
        return bool(transformed(sources.aws))
    except Exception:
        return False
