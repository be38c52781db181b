"""The schedule of the notifier, and the alarm that notices when it does not run."""

import json
import re

from template import Resolved


def schedule(view):
    """The notifier runs as often as its parameters say, and an alarm notices after two intervals without a run."""
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
            if alarm["Properties"].get("MetricName") == "NotifierRuns":
                properties = alarm["Properties"]
                if properties["Period"] * properties["EvaluationPeriods"] != 2 * 60 * int(interval):
                    yield f"{name}: does not look at two intervals of {interval} minutes"
                if properties.get("TreatMissingData") != "breaching":
                    yield f"{name}: would not notice that nothing runs"
    pattern = view.template["Parameters"]["ScheduleExpression"]["AllowedPattern"]
    for expression in ["rate(1 hour)", "rate(15 minutes)", "cron(0 8-18 ? * MON-FRI *)", "cron(0/30 7 1 * ? 2027)"]:
        if schedule_fault(expression) or not re.search(pattern, expression):
            yield f"ScheduleExpression: refuses {expression}"
    for expression in [
        "every hour",
        "rate(0 hours)",
        "rate(1.5 hours)",
        "cron(0 8 * *)",
        "at(2027-01-01T00:00:00)",
    ]:
        if re.search(pattern, expression):
            yield f"ScheduleExpression: takes {expression}"
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
        if schedule.get("State") != "ENABLED" or not schedule.get("ScheduleExpressionTimezone"):
            yield f"{name}: off by default, or without time zone"
    off = dict(Resolved(view.template, {"ScheduleState": "DISABLED"}).resources())
    if off["NotifierSchedule"]["Properties"]["State"] != "DISABLED":
        yield "NotifierSchedule: cannot be switched off"
    own = dict(Resolved(view.template, {"ScheduleExpression": "cron(0 8 ? * MON-FRI *)"}).resources())
    if own["NotifierSchedule"]["Properties"]["ScheduleExpression"] != "cron(0 8 ? * MON-FRI *)":
        yield "NotifierSchedule: does not take ScheduleExpression"


def schedule_fault(expression):
    """What is wrong with an EventBridge Scheduler expression, or None. The grammar is that of the service's guide."""
    rate = re.fullmatch(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)", expression)
    if rate:
        number, unit = int(rate[1]), rate[2]
        if number == 0:
            return "a rate of 0"
        if (number == 1) == unit.endswith("s"):
            return f"{number} {unit}"
        return None
    cron = re.fullmatch(r"cron\((.*)\)", expression)
    if not cron:
        return "neither rate(number unit) nor cron(six fields)"
    fields = cron[1].split(" ")
    if len(fields) != 6:
        return f"{len(fields)} fields in place of six"
    months = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
    days = "SUN MON TUE WED THU FRI SAT".split()
    rules = [
        ("minutes", 0, 59, [], ""),
        ("hours", 0, 23, [], ""),
        ("day of month", 1, 31, [], "?LW"),
        ("month", 1, 12, months, ""),
        ("day of week", 1, 7, days, "?L#"),
        ("year", 1970, 2199, [], ""),
    ]
    if (fields[2] == "?") == (fields[4] == "?"):
        return "exactly one of day of month and day of week must be ?"
    for text, (what, low, high, names, special) in zip(fields, rules):
        one = "|".join([r"\d+", *names])
        for part in text.split(","):
            if part == "*" or (part == "?" and "?" in special):
                continue
            if "L" in special and re.fullmatch(rf"L|({one})L", part):
                continue
            if "W" in special and re.fullmatch(r"\d+W|LW", part):
                continue
            if "#" in special and re.fullmatch(rf"({one})#[1-5]", part):
                continue
            if not re.fullmatch(rf"(\*|({one})(-({one}))?)(/\d+)?", part):
                return f"{what} {part}"
            for number in re.findall(r"\d+", part.split("/")[0]):
                if not low <= int(number) <= high:
                    return f"{what} {part}"
    return None
