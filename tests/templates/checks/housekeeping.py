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
    for name, good, bad in [
        ("MailFrom", "leads@contoso.example", "Leads"),
        ("MailFrom", "market-leads+eu@my-company.co.example", "Leads@"),
        ("MailTo", "sales-team@my-company.co.example", "sales"),
        ("MailTo", "a@contoso.example;b@contoso.example", "a@contoso.example, b@contoso.example"),
        (
            "StorageConnectionStringParameter",
            "/a/b",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aaaa",
        ),
        ("IntakeKeysParameter", "/a/b", "0123456789abcdef"),
        ("StorageConnectionStringParameter", "/a/b-c_d.e", "/a/b/"),
        ("IntakeKeysParameter", "/a", "/a/"),
        ("MailFrom", "leads@mail.contoso.example", "Leads <leads@contoso.example>"),
        ("Replies", "customer", "nobody"),
        ("Replies", "sales@contoso.example", "a@contoso.example;b@contoso.example"),
        ("CrmSearch", "", "https://crm.contoso.example/"),
        ("CrmSearch", "https://crm.contoso.example/search?q={email}&t=1", "http://crm.contoso.example/search?q={email}"),
        ("CrmSearch", "https://crm.contoso.example/#/{email}", "https://{email}.contoso.example/"),
        ("TimeZone", "America/New_York", "-05:00"),
        ("TimeZone", "Etc/GMT+5", "Europe/ Berlin"),
        ("Cadence", "every 240 minutes", "daily at 99:00"),
        ("Cadence", "daily at 23:59 on mon-fri", "daily at 9:00"),
        ("Cadence", "immediately", "hourly"),
        ("DestinationsPrefix", "/marketplace-leads/destinations/", "/marketplace-leads/destinations"),
        ("UrgentActions", "PLT;Create;INS+note", "PLT Create"),
        ("Table", "MarketplaceLeads", "Marketplace-Leads"),
        ("StateTable", "MarketplaceLeads2", "2Leads"),
        ("AlarmEmail", "", "nobody"),
        ("OperatorEmail", "ops@contoso.example", "a@contoso.example;b@contoso.example"),
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
