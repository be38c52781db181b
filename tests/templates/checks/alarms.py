"""The alarms: what is watched, who is told, and whether the operations guide explains it."""

import re

from checks import metrics
from template import Resolved

# A message that cannot be delivered is tried every two minutes, and measured each time. Once none is left, nothing is.
_AGE_OF_WHAT_WAITS = "WaitingAge"


def alarms(view):
    """Each alarm can be raised, tells somebody and is explained in the operations guide. What matters has an alarm."""
    for name, alarm in view.alarms.items():
        count, to_alarm = alarm.get("EvaluationPeriods", 0), alarm.get("DatapointsToAlarm", 1)
        if not 1 <= to_alarm <= count:
            yield f"{name}: {to_alarm} of {count} periods"
        yield from _expression_faults(name, alarm)
        for namespace, metric, dimensions, period, statistic in watched(alarm):
            yield from metrics.faults(view, name, namespace, metric, dimensions)
            if not count or period < 60 or period % 60 or period * count > (86400 if period < 3600 else 604800):
                yield f"{name}: period {period} s, {count} of them"
            if metric == _AGE_OF_WHAT_WAITS:
                statistics, missing = {"Maximum"}, {"notBreaching"}
            elif metric in view.facts["distributions"]:
                # A value that each run measures once. It holds until the next run, however late that is.
                statistics, missing = {"Maximum"}, {"ignore"}
            else:
                statistics, missing = metrics.STATISTICS, {"notBreaching", "breaching"}
            if alarm.get("TreatMissingData") not in missing:
                yield f"{name}: missing data must be {' or '.join(sorted(missing))}"
            if statistic not in statistics or "Threshold" not in alarm:
                yield f"{name}: no threshold, or no statistic for it"
        yield from _simulated(name, alarm)
        if alarm.get("OKActions") != ["AlarmTopic"]:
            yield f"{name}: nobody hears that it is over"
        if alarm.get("AlarmActions") != ["AlarmTopic"] or alarm.get("ActionsEnabled") is False:
            yield f"{name}: tells nobody"
        heading = alarm["AlarmName"].removeprefix("leads-")
        if f"### `{heading}`" not in view.sources.operations:
            yield f"{name}: docs/operations.md has no section {heading}"
    for name, topic in view.of("AWS::SNS::Topic").items():
        if topic.get("KmsMasterKeyId") == "alias/aws/sns":
            yield f"{name}: CloudWatch may not use this key, so that no alarm reaches anybody"
    known = {}
    for name, alarm in view.alarms.items():
        for namespace, metric, dimensions, _, _ in watched(alarm):
            known.setdefault((namespace, metric, next(iter(dimensions.values()), None)), name)
    needed = [("AWS/Lambda", "Errors", name) for name in view.functions]
    needed += [("AWS/SQS", "ApproximateNumberOfMessagesVisible", f"{q}.QueueName") for q in view.queues if "Dead" in q]
    needed += [
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "LeadQueue.QueueName"),
        ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "LeadQueue.QueueName"),
        ("MarketplaceLeads", "WaitingAge", "LeadRedelivery"),
        ("MarketplaceLeads", "LeadsQueued", "LeadIntake"),
        ("MarketplaceLeads", "IntakeMisdirected", "LeadIntake"),
        ("AWS/Lambda", "Url5xxCount", "LeadIntake"),
        ("AWS/Lambda", "Throttles", "LeadIntake"),
        ("AWS/SES", "Bounce", "MailConfigurationSet"),
        ("AWS/SES", "Complaint", "MailConfigurationSet"),
        ("AWS/SES", "Reject", "MailConfigurationSet"),
        ("MarketplaceLeads", "IntakeWrongKey", "LeadIntake"),
        ("MarketplaceLeads", "LeadsQuarantined", "LeadIntake"),
        ("MarketplaceLeads", "LeadsQuarantined", "LeadRedelivery"),
        ("MarketplaceLeads", "LeadsLost", "LeadIntake"),
        ("MarketplaceLeads", "NotifierRuns", "LeadNotifier"),
        ("MarketplaceLeads", "LeadsParked", "LeadNotifier"),
        ("MarketplaceLeads", "OldestOwedAge", "LeadNotifier"),
        ("MarketplaceLeads", "PatrolLag", "LeadNotifier"),
        ("MarketplaceLeads", "RoutesNotRead", "LeadNotifier"),
        ("MarketplaceLeads", "RowsLeftOut", "LeadNotifier"),
    ]
    for what in needed:
        if what not in known:
            yield f"no alarm watches {' '.join(what)}"
    with_mail = Resolved(view.template, {"AlarmEmail": "ops@contoso.example"})
    subscriptions = [r["Properties"] for _, r in with_mail.resources("AWS::SNS::Subscription")]
    if [(s["Protocol"], s["Endpoint"], s["TopicArn"]) for s in subscriptions] != [
        ("email", "ops@contoso.example", "AlarmTopic")
    ]:
        yield "AlarmEmail gets no alarms"
    paused = Resolved(view.template, {"ScheduleState": "DISABLED"})
    silent = [
        n for n, r in paused.resources("AWS::CloudWatch::Alarm") if r["Properties"].get("ActionsEnabled") is False
    ]
    if silent != ["LeadNotifierMissing"]:
        yield f"with the schedule off, the alarms without actions are {silent}"


# What raises an alarm: for each metric the samples of the periods that must, and of those that must not. All other
# counters raise theirs with the first event, and none without.
_EVENT, _QUIET = [[0, 0, 1]], [[0, 0, 0], []]
_SERIES = {
    "NotifierRuns": ([[], []], [[], [1]]),
    "LeadsQueued": ([[1, 0], [0], [0], [0], [0], [1, 0], [0], [0], [0], [0], [0], [1, 0]], [[1, 0]] * 2 + [[0]] * 10),
    "OldestOwedAge": ([[0, 21601]], [[0, 21600]]),
    "PatrolLag": ([[0, 3]], [[0, 2.9]]),
    "WaitingAge": ([[1, 901]], [[900, 900]]),
}
_OVER = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Average": lambda samples: sum(samples) / len(samples),
}
_COMPARED = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def _simulated(name, alarm):
    """Whether an alarm over one metric is raised by what must raise it, and by nothing else."""
    metrics = list(watched(alarm))
    if len(metrics) != 1:
        return
    metric = metrics[0][1]
    for periods, is_expected in zip(_SERIES.get(metric, (_EVENT, _QUIET)), (True, False)):
        if _is_raised(alarm, periods) != is_expected:
            yield f"{name}: {'not ' if is_expected else ''}raised by {metric} of {periods}"


def _is_raised(alarm, periods):
    """Whether any of the evaluations of these periods, the samples of each, raises the alarm."""
    ((_, _, _, _, statistic),) = watched(alarm)
    compared, over = _COMPARED[alarm["ComparisonOperator"]], _OVER[statistic]
    is_missing_bad = alarm.get("TreatMissingData") == "breaching"
    if is_filled(alarm):
        periods = [samples or [0] for samples in periods]
    bad = [
        compared(over(samples), float(alarm["Threshold"])) if samples else is_missing_bad for samples in periods
    ]
    count = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", count)
    return any(sum(bad[at : at + count]) >= needed for at in range(max(1, len(bad) - count + 1)))


def watched(alarm):
    """What an alarm watches: namespace, metric, dimensions, period in seconds and statistic of each metric."""
    stats = [query["MetricStat"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    for metric in [{**stat["Metric"], **stat} for stat in stats] or [alarm]:
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        statistic = metric.get("Stat", metric.get("Statistic"))
        yield metric.get("Namespace"), metric.get("MetricName"), dimensions, metric.get("Period", 0), statistic


def is_filled(alarm):
    """Whether a period without data counts as 0 for an alarm, so that CloudWatch waits for none."""
    metrics = [query["Id"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    values = [query.get("Expression") for query in alarm.get("Metrics", []) if query.get("ReturnData") is not False]
    return len(metrics) == 1 and values == [f"FILL({metrics[0]}, 0)"]


def _expression_faults(name, alarm):
    """What is wrong with an alarm that computes: one expression is its value, and adds up each metric that it names, or fills
    the gaps of one."""
    if is_filled(alarm):
        return
    queries = alarm.get("Metrics", [])
    values = [query for query in queries if query.get("ReturnData") is not False]
    if queries and (len(values) != 1 or "Expression" not in values[0]):
        yield f"{name}: an alarm needs one expression as its value"
        return
    for value in values:
        used = set(re.findall(r"[a-z]\w*", value["Expression"]))
        if used != {query["Id"] for query in queries if "MetricStat" in query} or "+" not in value["Expression"]:
            yield f"{name}: {value['Expression']} does not add up its metrics"
