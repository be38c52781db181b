"""The schedule of the notifier, and the alarm that notices when it does not run."""

import json
import re

from checks import alarms
from template import Resolved


def schedule(view):
    """The notifier runs as often as its parameter says, and an alarm notices when it does not.

    The alarm looks at two intervals, and at ten minutes at least: a run may take five."""
    parameter = view.template["Parameters"]["IntervalMinutes"]
    intervals = view.template["Mappings"]["Intervals"]
    allowed = [str(value) for value in parameter["AllowedValues"]]
    if sorted(allowed) != sorted(intervals):
        yield "IntervalMinutes and the mapping Intervals differ"
    minutes = {"minute": 1, "hour": 60, "day": 1440}
    for interval in allowed:
        aws = Resolved(view.template, {"IntervalMinutes": interval})
        for name, schedule in aws.resources("AWS::Scheduler::Schedule"):
            expression = schedule["Properties"]["ScheduleExpression"]
            fault = schedule_fault(expression)
            if fault:
                yield f"{name}: {expression} is not valid: {fault}"
                continue
            number, unit = re.fullmatch(r"rate\((\d+) (\w+?)s?\)", expression).groups()
            if int(number) * minutes[unit] != int(interval):
                yield f"{name}: runs at {expression} for an interval of {interval} minutes"
        for name, alarm in aws.resources("AWS::CloudWatch::Alarm"):
            for _, metric, _, period, _ in alarms.watched(alarm["Properties"]):
                if metric != "NotifierRuns":
                    continue
                if period * alarm["Properties"]["EvaluationPeriods"] != max(2 * 60 * int(interval), 600):
                    yield f"{name}: does not look at two intervals of {interval} minutes"
                if not alarms.is_filled(alarm["Properties"]):
                    yield f"{name}: is late, since CloudWatch waits for data that is missing"
                if alarm["Properties"].get("TreatMissingData") != "breaching":
                    yield f"{name}: would not notice that nothing ever ran"
    if parameter["Default"] != 1 or allowed != ["1", "5", "15", "60"]:
        yield f"IntervalMinutes: {parameter['Default']} by default, one of {allowed}"
    schedules = view.of("AWS::Scheduler::Schedule")
    if len(schedules) != 1:
        yield f"there are {len(schedules)} schedules"
    for name, schedule in schedules.items():
        target = schedule["Target"]
        if json.loads(target.get("Input", "null")) != {"command": "run"}:
            yield f"{name}: sends {target.get('Input')}"
        if not target["Arn"].endswith(":function:LeadNotifier") or not target["RoleArn"].endswith(
            "NotifierScheduleRole"
        ):
            yield f"{name}: runs {target['Arn']} as {target['RoleArn']}"
        retry = target.get("RetryPolicy", {})
        if not retry.get("MaximumRetryAttempts") or not 60 <= retry.get("MaximumEventAgeInSeconds", 0) <= 86400:
            yield f"{name}: does not try again"
        if not target.get("DeadLetterConfig", {}).get("Arn", "").endswith(":NotifierDeadLetterQueue"):
            yield f"{name}: no dead-letter queue"
        if schedule.get("FlexibleTimeWindow", {}).get("Mode") != "OFF":
            yield f"{name}: runs later than its interval says"
        if "StartDate" in schedule or "EndDate" in schedule:
            yield f"{name}: does not run all the time"
        if "GroupName" in schedule and schedule["GroupName"] not in view.all:
            yield f"{name}: nothing makes the group {schedule['GroupName']}"
        if schedule.get("State") != "ENABLED":
            yield f"{name}: off by default"
    off = dict(Resolved(view.template, {"ScheduleState": "DISABLED"}).resources())
    if off["NotifierSchedule"]["Properties"]["State"] != "DISABLED":
        yield "NotifierSchedule: cannot be switched off"


def schedule_fault(expression):
    """What is wrong with a rate of EventBridge Scheduler, or None. The grammar is that of the service's guide."""
    rate = re.fullmatch(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)", expression)
    if not rate:
        return "not rate(number unit)"
    number, unit = int(rate[1]), rate[2]
    if number == 0:
        return "a rate of 0"
    if (number == 1) == unit.endswith("s"):
        return f"{number} {unit}"
    return None
