"""The parameters that a user fills in, the tags, and the outputs."""

import re

from template import REGION, Resolved

# The types of resources that have to carry the tag `application`.
TAGGABLE = {
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::Logs::LogGroup",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::CloudWatch::Alarm",
    "AWS::SES::ConfigurationSet",
}


def parameters(view):
    """Every parameter is in a group, described, and limited to values that work."""
    parameters = view.template["Parameters"]
    groups = view.template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    if sorted(grouped) != sorted(parameters):
        yield f"parameters and their groups differ: {sorted(set(grouped) ^ set(parameters))}"
    limits = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue", "MaxLength"}
    for name, parameter in parameters.items():
        if not parameter.get("Description"):
            yield f"{name}: no description"
        if not limits & set(parameter):
            yield f"{name}: no constraint"
        default, pattern = parameter.get("Default"), parameter.get("AllowedPattern")
        if default is None and name not in ("MailFrom", "MailTo"):
            yield f"{name}: no default"
        if pattern and (
            default is not None and not re.search(pattern, default) or pattern[0] != "^" or pattern[-1] != "$"
        ):
            yield f"{name}: its pattern {pattern}"
        if pattern and not parameter.get("ConstraintDescription"):
            yield f"{name}: the message for a wrong value would be the bare pattern"
    # What the functions take for the others, they say themselves: `variables.py`.
    for name, good, bad in [
        ("StorageConnectionStringParameter", "/a/b", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aaaa"),
        ("StorageConnectionStringParameter", "/a/b-c_d.e", "/a/b/"),
        ("IntakeKeysParameter", "/a/b", "0123456789abcdef"),
        ("StorageConnectionStringParameter", "/a", "marketplace-leads/connection"),
        ("IntakeKeysParameter", "/a", "/a/"),
        ("IntakeKeysParameter", "/a_b", "marketplace-leads/keys"),
        ("RoutesParameter", "", "routes"),
        ("RoutesParameter", "/marketplace-leads/routes", "[]"),
        ("RoutesParameter", "/a", "/marketplace-leads/ routes"),
        ("MailFrom", "leads@mail.contoso.example", "Leads <leads@contoso.example>"),
        ("AlarmEmail", "", "nobody"),
        ("AlarmEmail", "ops+eu@mail.contoso.example", "a@contoso.example;b@contoso.example"),
        ("OperatorEmail", "", "nobody"),
    ]:
        pattern = parameters[name].get("AllowedPattern", "")
        if not re.search(pattern, good) or re.search(pattern, bad):
            yield f"{name}: takes {bad} or refuses {good}"


def tags(view):
    """Everything that can have tags says which application it belongs to."""
    for name, resource in view.all.items():
        if resource["Type"] in TAGGABLE:
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
            if tags.get("application") != "marketplace-leads":
                yield f"{name}: no tag"


def outputs(view):
    """The outputs are the ones that the guides name, of the right resources."""
    outputs = dict(view.aws.outputs())
    expected = {
        "IntakeUrl": "LeadIntakeUrl.FunctionUrlleads",
        "ExportUrl": "LeadExportUrl.FunctionUrlleads",
        "IntakeFunction": "LeadIntake",
        "RedeliveryFunction": "LeadRedelivery",
        "NotifierFunction": "LeadNotifier",
        "ValidationFunction": "LeadValidation",
        "ExportFunction": "LeadExport",
        "ScheduleName": "NotifierSchedule",
        "LeadQueueUrl": "LeadQueue",
        "LeadDeadLetterQueueUrl": "LeadDeadLetterQueue",
        "NotifierDeadLetterQueueUrl": "NotifierDeadLetterQueue",
        "MailConfigurationSetName": "MailConfigurationSet",
        "AlarmTopicArn": "AlarmTopic",
        "DashboardUrl": f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}#dashboards/dashboard/Dashboard",
    }
    for name in sorted(set(outputs) | set(expected)):
        if outputs.get(name) != expected.get(name):
            yield f"output {name} is {outputs.get(name)}, not {expected.get(name)}"
    pseudo = {"AWS::Partition": "aws-us-gov", "AWS::Region": "us-gov-west-1"}
    address = dict(Resolved(view.template, pseudo=pseudo).outputs())["DashboardUrl"]
    if not address.startswith("https://us-gov-west-1.console.amazonaws-us-gov.com/cloudwatch/home?region=us-gov-west-1#"):
        yield f"output DashboardUrl is {address} in GovCloud"


def value_fault(parameter, value):
    """Why CloudFormation would refuse a value for a parameter of the template, or None."""
    if parameter.get("Type") == "Number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return f"{value} is no number"
    allowed = [str(one) for one in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"{value} is not one of {', '.join(allowed)}"
    # CloudFormation wants the whole value to match.
    if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
        return f"{value} is not {parameter.get('ConstraintDescription')}"
    if len(value) > int(parameter.get("MaxLength", 4096)):
        return f"more than {parameter.get('MaxLength', 4096)} characters"
    if parameter.get("Type") == "Number":
        low, high = parameter.get("MinValue", "-inf"), parameter.get("MaxValue", "inf")
        if not float(low) <= float(value) <= float(high):
            return f"{value} is not from {low} to {high}"
    return None
