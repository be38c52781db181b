"""What every command needs to know first: which stack, in which region, with which credentials."""

import os

from .answers import FILE, Answers
from .aws import Aws
from .stack import Stack
from .words import Problem, Screen

DEFAULT_STACK = "leads"


class Session:
    """The answers, the AWS CLI and the stack of one call of the command."""

    def __init__(self, options, screen=None):
        self.options = options
        self.screen = screen or Screen(options.json, options.yes)
        self.answers = Answers.read(options.config or FILE)
        self.profile = options.profile or self.answers.get("profile")
        self.region = region(options.region, self.answers.get("region"), os.environ)
        if self.region is None:
            self.region = Aws(profile=self.profile).setting("region")
        if self.region is None:
            raise Problem("it is not known which AWS region is meant", "Say --region, for instance --region eu-west-1.")
        self.aws = Aws(self.region, self.profile)
        self.stack = Stack(self.aws, options.stack or self.answers.get("stack", DEFAULT_STACK))
        self._account = None
        # In another account a stack may have the same name: no command means that one.
        if self.answers.get("account"):
            self.check_account()

    def check_account(self):
        """The account of these credentials. Refuses one that is not the account of the answers."""
        account = self._account or self.aws.call("sts", "get-caller-identity")["Account"]
        known = self.answers.get("account")
        if known not in (None, account):
            raise Problem(
                f"these are credentials of the account {account}; {self.answers.path} is about {known}",
                "Use the other credentials (--profile), or another file of answers (--config).",
            )
        self._account = account
        return account


def region(option, answered, environment):
    """The region that is meant, or None. The CLIs and SDKs read one of two variables each, so both must say the
    same.
    """
    variables = {name: environment.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if environment.get(name)}
    if option:
        return option
    if len(set(variables.values())) > 1:
        said = " and ".join(f"{name} is {value}" for name, value in variables.items())
        raise Problem(f"the region is not clear: {said}", "Set both to the same region, or say --region.")
    found = next(iter(variables.values()), None)
    if answered and found and answered != found:
        raise Problem(
            f"the region is not clear: the answers say {answered}, and the environment {found}",
            "Say --region, or use another file of answers (--config).",
        )
    return answered or found
