"""The policy of who deploys: it allows what CloudFormation does in his name with each resource of the template, what the
operator's command does itself, and nothing else, nor anything with the resources of another stack."""

import fnmatch
import json

from checks.roles import as_list
from checks.view import View, transforms
from template import ACCOUNT, REGION, STACK

# What CloudFormation does with a resource of each type to make, read, change and delete it, as far as our properties need it.
#
# "handlers" in <https://schema.cloudformation.us-east-1.amazonaws.com/CloudformationSchema.zip>
_HANDLERS = {
    "AWS::CloudWatch::Alarm": "cloudwatch: PutMetricAlarm DescribeAlarms DeleteAlarms ListTagsForResource TagResource UntagResource",
    "AWS::CloudWatch::Dashboard": "cloudwatch: PutDashboard GetDashboard DeleteDashboards",
    "AWS::IAM::Role": (
        "iam: CreateRole GetRole DeleteRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy PutRolePolicy"
        " GetRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies TagRole UntagRole PassRole"
    ),
    "AWS::Lambda::EventInvokeConfig": (
        "lambda: PutFunctionEventInvokeConfig GetFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig"
        " DeleteFunctionEventInvokeConfig"
    ),
    "AWS::Lambda::EventSourceMapping": (
        "lambda: CreateEventSourceMapping GetEventSourceMapping UpdateEventSourceMapping DeleteEventSourceMapping ListTags"
        " TagResource UntagResource"
    ),
    "AWS::Lambda::Function": (
        "lambda: CreateFunction GetFunction GetFunctionConfiguration UpdateFunctionCode UpdateFunctionConfiguration"
        " DeleteFunction PutFunctionConcurrency DeleteFunctionConcurrency GetFunctionCodeSigningConfig"
        " GetRuntimeManagementConfig ListTags TagResource UntagResource"
    ),
    "AWS::Lambda::Permission": "lambda: AddPermission GetPolicy RemovePermission",
    "AWS::Lambda::Url": (
        "lambda: CreateFunctionUrlConfig GetFunctionUrlConfig UpdateFunctionUrlConfig DeleteFunctionUrlConfig"
    ),
    "AWS::Logs::LogGroup": (
        "logs: CreateLogGroup DescribeLogGroups DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy"
        " GetDataProtectionPolicy ListTagsForResource TagResource UntagResource"
    ),
    "AWS::SES::ConfigurationSet": (
        "ses: CreateConfigurationSet GetConfigurationSet DescribeConfigurationSet DeleteConfigurationSet"
        " PutConfigurationSetReputationOptions PutConfigurationSetSuppressionOptions ListTagsForResource TagResource"
        " UntagResource"
    ),
    "AWS::SES::ConfigurationSetEventDestination": (
        "ses: CreateConfigurationSetEventDestination GetConfigurationSetEventDestinations DescribeConfigurationSet"
        " UpdateConfigurationSetEventDestination DeleteConfigurationSetEventDestination"
    ),
    "AWS::SNS::Subscription": "sns: Subscribe Unsubscribe GetSubscriptionAttributes",
    "AWS::SNS::Topic": (
        "sns: CreateTopic GetTopicAttributes SetTopicAttributes DeleteTopic ListSubscriptionsByTopic"
        " GetDataProtectionPolicy ListTagsForResource TagResource UntagResource"
    ),
    "AWS::SQS::Queue": (
        "sqs: CreateQueue GetQueueUrl GetQueueAttributes SetQueueAttributes DeleteQueue ListQueueTags TagQueue UntagQueue"
    ),
    "AWS::Scheduler::Schedule": "scheduler: CreateSchedule GetSchedule UpdateSchedule DeleteSchedule",
}

# What `leads update` does itself: for each resource the actions.
_COMMAND = {
    f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/0a1b": (
        "cloudformation: DescribeStacks GetTemplateSummary CreateChangeSet DescribeChangeSet ExecuteChangeSet"
        " DeleteChangeSet DescribeStackEvents"
    ),
    f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31": "cloudformation: CreateChangeSet",
    f"arn:aws:s3:::{STACK}-code-{ACCOUNT}-{REGION}": "s3: CreateBucket ListBucket",
    f"arn:aws:s3:::{STACK}-code-{ACCOUNT}-{REGION}/functions/a.zip": "s3: PutObject GetObject",
    f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-lead-validation": "lambda: InvokeFunction",
}

# Other stacks, whose names are like that of ours.
_OTHERS = ("other", f"{STACK}2", f"test-{STACK}")

# AWS lets none of these be limited to a resource; the first one is limited by its condition.
UNLIMITED = {
    "lambda:CreateEventSourceMapping",
    "logs:DescribeLogGroups",
    "ses:CreateConfigurationSet",
    "ses:DescribeConfigurationSet",
    "sns:GetSubscriptionAttributes",
    "sns:Unsubscribe",
}
# These name no stack: a mapping has a number for its name, and alarms are described by their prefix.
_OF_ANY_STACK = {"cloudwatch:DescribeAlarms", "lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"}

# Lambda and the scheduler are given roles, and nothing else is.
_PASSED = {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]}}
_OF_REDELIVERY = {
    "ArnEquals": {"lambda:FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-lead-redelivery"}
}
_CONDITIONS = {
    "iam:PassRole": _PASSED,
    "lambda:CreateEventSourceMapping": _OF_REDELIVERY,
    "lambda:GetEventSourceMapping": _OF_REDELIVERY,
    "lambda:UpdateEventSourceMapping": _OF_REDELIVERY,
    "lambda:DeleteEventSourceMapping": _OF_REDELIVERY,
}

# IAM takes so many characters in the policies within a role, white space left out.
_LONGEST = 10240


def own(sources):
    """What no linter sees in `infra/aws/deploy-policy.json`."""
    if not transforms(sources):
        return  # cfn-lint reports it.
    try:
        statements = json.loads(sources.deployment)["Statement"]
    except (ValueError, KeyError, TypeError) as error:
        yield f"no policy: {error}"
        return
    if len("".join(sources.deployment.split())) > _LONGEST:
        yield f"longer than the {_LONGEST} characters that IAM takes"
    view = View(sources, {"AlarmEmail": "ops@contoso.example"})
    needed = set()
    for name, resource in view.all.items():
        if resource["Type"] not in _HANDLERS:
            yield f"{name}: what CloudFormation does with a {resource['Type']} is not known here"
            continue
        for arn in _arns(name, resource, STACK):
            for action in _actions(_HANDLERS[resource["Type"]]):
                needed.add(action)
                if not _allows(statements, action, arn):
                    yield f"{name}: {action} is not allowed for {arn}"
        for arn in (arn for stack in _OTHERS for arn in _arns(name, resource, stack)):
            for action in _actions(_HANDLERS[resource["Type"]]) - UNLIMITED - _OF_ANY_STACK:
                if "event-source-mapping" not in arn and _allows(statements, action, arn):
                    yield f"{name}: {action} is allowed for {arn}, which is another stack's"
    for action in _actions(_HANDLERS["AWS::IAM::Role"]):
        for role in (f"{STACK}-deploy", f"{STACK}-admin"):
            if _allows(statements, action, f"arn:aws:iam::{ACCOUNT}:role/{role}"):
                yield f"{action} is allowed for the role {role}, which is none of the stack's: who deploys could let himself do anything"
    for arn, text in _COMMAND.items():
        for action in _actions(text):
            needed.add(action)
            if not _allows(statements, action, arn):
                yield f"leads update: {action} is not allowed for {arn}"
            others = [arn.replace(STACK, stack, 1) for stack in _OTHERS if "transform/" not in arn]
            for other in others:
                if _allows(statements, action, other):
                    yield f"leads update: {action} is allowed for {other}, which is another stack's"
    for statement in statements:
        actions = set(as_list(statement.get("Action")))
        if statement.get("Effect") != "Allow" or {"NotAction", "NotResource"} & set(statement):
            yield f"{statement.get('Sid')}: not limited to actions and resources"
        for action in sorted(actions - needed):
            yield f"{statement.get('Sid')}: {action} is not needed"
        if "*" in as_list(statement.get("Resource")) and not actions <= UNLIMITED:
            yield f"{statement.get('Sid')}: everything of that kind, although a resource can be named"
        for action in sorted(actions):
            if statement.get("Condition") != _CONDITIONS.get(action):
                yield f"{statement.get('Sid')}: {action} under the condition {statement.get('Condition')}"


def _actions(text):
    """The actions of `service: One Two`. Of a role that is handed on, the action is IAM's."""
    service, names = text.split(": ")
    return {f"{service}:{name}" for name in names.split()}


def _arns(name, resource, stack):
    """The ARNs by which IAM is asked about a resource of a stack. Without a name of its own, CloudFormation gives it one."""
    properties, kind = resource["Properties"], resource["Type"]

    def arn(service, rest, region=REGION):
        return f"arn:aws:{service}:{region}:{ACCOUNT}:{rest}"

    made = f"{stack}-{name}-0A1B2C3D4E5F"
    own = {
        "AWS::CloudWatch::Alarm": lambda: arn("cloudwatch", f"alarm:{properties['AlarmName']}"),
        "AWS::CloudWatch::Dashboard": lambda: arn("cloudwatch", f"dashboard/{properties['DashboardName']}", ""),
        "AWS::IAM::Role": lambda: arn("iam", f"role/{made}", ""),
        "AWS::Lambda::EventSourceMapping": lambda: arn("lambda", "event-source-mapping:0a1b"),
        "AWS::Lambda::Function": lambda: arn("lambda", f"function:{properties['FunctionName']}"),
        "AWS::Logs::LogGroup": lambda: arn("logs", f"log-group:{properties['LogGroupName']}"),
        "AWS::SES::ConfigurationSet": lambda: arn("ses", f"configuration-set/{properties['Name']}"),
        "AWS::SES::ConfigurationSetEventDestination": lambda: arn("ses", f"configuration-set/{STACK}-digests"),
        "AWS::SNS::Subscription": lambda: arn("sns", f"{stack}-AlarmTopic-0A1B2C3D4E5F"),
        "AWS::SNS::Topic": lambda: arn("sns", made),
        "AWS::SQS::Queue": lambda: arn("sqs", made),
        "AWS::Scheduler::Schedule": lambda: arn("scheduler", f"schedule/default/{properties['Name']}"),
    }
    if kind in own:
        found = own[kind]()
    else:
        # A permission, a URL or a configuration of a function.
        function = properties.get("FunctionName", properties.get("TargetFunctionArn"))
        found = arn("lambda", f"function:{STACK}-lead-{function.removeprefix('Lead').lower()}")
    yield found if stack == STACK else found.replace(f"{STACK}-", f"{stack}-", 1)


def _allows(statements, action, arn):
    """Whether statements allow an action on a resource, their conditions met."""
    return any(
        statement.get("Effect") == "Allow"
        and action in as_list(statement.get("Action"))
        and any(fnmatch.fnmatchcase(arn, pattern) for pattern in as_list(statement.get("Resource")))
        for statement in statements
    )
