"""The CloudFormation stack: what it says of itself, and changing it."""

import time

from .words import Problem

PAUSE = 3.0
LIMIT = 30 * 60
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
NOTHING_TO_CHANGE = ("didn't contain changes", "No updates are to be performed", "no changes")
# The outputs that a stack has only where a setting is on.
PARTS = {
    "IntakeUrl": "HttpsIntake",
    "IntakeFunction": "HttpsIntake",
    "ExportUrl": "HttpsExport",
    "ExportFunction": "HttpsExport",
}
TAGS = [{"Key": "application", "Value": "marketplace-leads"}]


class Stack:
    """One stack, by name."""

    def __init__(self, aws, name):
        self.aws, self.name, self._described = aws, name, None

    def describe(self, again=False):
        """What CloudFormation says of it, or None if there is none."""
        if self._described is None or again:
            self._described = None
            try:
                answer = self.aws.call("cloudformation", "describe-stacks", {"StackName": self.name})
                self._described = answer["Stacks"][0]
            except Problem as problem:
                if problem.code != "ValidationError" or "does not exist" not in problem.message:
                    raise
                return None
        return self._described

    def required(self):
        described = self.describe()
        if described is None or described["StackStatus"] == "REVIEW_IN_PROGRESS":
            raise Problem(
                f"there is no stack {self.name} in {self.aws.region}",
                "Say --stack and --region, or make it: leads setup.",
            )
        return described

    def outputs(self):
        """The values of its outputs by name."""
        return {output["OutputKey"]: output["OutputValue"] for output in self.required().get("Outputs", [])}

    def output(self, name):
        outputs = self.outputs()
        if name not in outputs:
            setting = PARTS.get(name)
            if setting and self.parameters().get(setting) == "off":
                raise Problem(
                    f"the stack {self.name} was set up without this: {setting} is off",
                    f"leads settings set {setting}=on makes it.",
                )
            raise Problem(f"the stack {self.name} has no output {name}", "Bring it up to date: leads update.")
        return outputs[name]

    def parameters(self):
        """The values of its parameters by name."""
        return {p["ParameterKey"]: p.get("ParameterValue", "") for p in self.required().get("Parameters", [])}

    def declared(self):
        """What its template says of each parameter: default, description."""
        summary = self.aws.call("cloudformation", "get-template-summary", {"StackName": self.name})
        return {p["ParameterKey"]: p for p in summary["Parameters"]}

    def propose(self, values, template_url=None, declared=None):
        """A change set: the template (the present one without an address) with these values, all others kept as they
        are. Gives its name and what it would change, or (None, []) if nothing would.
        """
        described = self.describe(again=True)
        is_new = described is None or described["StackStatus"] == "REVIEW_IN_PROGRESS"
        if not is_new and described["StackStatus"].endswith("_IN_PROGRESS"):
            # A change that was begun before goes on without the command that began it.
            self.finish()
            described = self.required()
        can_change = (
            is_new or described["StackStatus"].endswith("_COMPLETE") and described["StackStatus"] != "ROLLBACK_COMPLETE"
        )
        if not can_change:
            raise Problem(f"the stack {self.name} is {described['StackStatus']}", cure_of(described["StackStatus"]))
        known = {} if is_new else self.parameters()
        declared = known if declared is None else declared
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
        parameters += [
            {"ParameterKey": name, "UsePreviousValue": True}
            for name in known
            if name in declared and name not in values
        ]
        name = f"leads-{int(time.time() * 1000)}"
        request = {
            "StackName": self.name,
            "ChangeSetName": name,
            "ChangeSetType": "CREATE" if is_new else "UPDATE",
            "Capabilities": CAPABILITIES,
            "Parameters": parameters,
            "Tags": TAGS,
        }
        request.update({"TemplateURL": template_url} if template_url else {"UsePreviousTemplate": True})
        self.aws.call("cloudformation", "create-change-set", request, limit=120)
        which = {"StackName": self.name, "ChangeSetName": name}
        proposal = self._wait(
            lambda: self.aws.call("cloudformation", "describe-change-set", which),
            "Status",
            ("CREATE_PENDING", "CREATE_IN_PROGRESS"),
        )
        if proposal["Status"] == "CREATE_COMPLETE" and proposal.get("Changes"):
            return name, [change["ResourceChange"] for change in proposal["Changes"] if "ResourceChange" in change]
        reason = proposal.get("StatusReason", "")
        self.aws.call("cloudformation", "delete-change-set", which)
        if proposal["Status"] == "CREATE_COMPLETE" or any(sign in reason for sign in NOTHING_TO_CHANGE):
            return None, []
        raise Problem(f"CloudFormation takes neither template nor values: {reason}", "Correct what it names.")

    def execute(self, change_set):
        """Makes the change, and waits until it is done."""
        is_new = self.describe(again=True)["StackStatus"] == "REVIEW_IN_PROGRESS"
        which = {"StackName": self.name, "ChangeSetName": change_set}
        self.aws.call("cloudformation", "execute-change-set", which, limit=120)
        self.finish(("REVIEW_IN_PROGRESS",) if is_new else ())

    def discard(self, change_set):
        self.aws.call("cloudformation", "delete-change-set", {"StackName": self.name, "ChangeSetName": change_set})

    def finish(self, not_begun=()):
        """Waits until a change that is under way has ended; fails if it was taken back."""
        self.aws.wait(PAUSE)

        def look():
            return self.describe(again=True) or {"StackStatus": "DELETE_COMPLETE"}

        status = self._wait(look, "StackStatus", not_begun)["StackStatus"]
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"):
            raise Problem(
                f"the stack {self.name} is {status}: {'; '.join(self.failures()) or 'no reason is given'}",
                cure_of(status),
            )

    def failures(self):
        """Why resources failed, the first ones first."""
        events = self.aws.call("cloudformation", "describe-stack-events", {"StackName": self.name}).get(
            "StackEvents", []
        )
        failed = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
        said = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in reversed(failed)]
        return [line for line in said if "cancelled" not in line][:3]

    def delete(self):
        self.aws.call("cloudformation", "delete-stack", {"StackName": self.name})
        self.finish()

    def _wait(self, look, field, extra=()):
        """Looks again and again until the field says that nothing is under way."""
        until = time.monotonic() + LIMIT
        while True:
            found = look()
            if found[field] not in extra and not found[field].endswith(("_IN_PROGRESS", "_PENDING")):
                return found
            if time.monotonic() > until:
                raise Problem(
                    f"the stack {self.name} is still {found[field]} after half an hour",
                    "Look at its events in the CloudFormation console; run the command again afterwards.",
                )
            self.aws.wait(PAUSE)


def cure_of(status):
    """What to do about a stack in this state."""
    if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED"):
        return "Its first deployment failed and was taken back: run leads remove, correct the cause, then leads setup."
    if status.startswith("UPDATE_ROLLBACK_COMPLETE"):
        return "The change was taken back, and everything is as before. Correct the cause and run the command again."
    return "See its events in the CloudFormation console."
