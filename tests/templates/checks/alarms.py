"""The alarms: what is watched, who is told, and whether the operations guide explains it."""

from checks import metrics
from template import Resolved


def alarms(view):
    """Each alarm can be raised, tells somebody and is explained in the operations guide. What matters has an alarm."""
    for name, alarm in view.alarms.items():
        dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
        yield from metrics.faults(view, name, alarm.get("Namespace"), alarm.get("MetricName"), dimensions)
        period, count = alarm.get("Period", 0), alarm.get("EvaluationPeriods", 0)
        if not count or period < 60 or period % 60 or period * count > (86400 if period < 3600 else 604800):
            yield f"{name}: period {period} s, {count} of them"
        if alarm.get("MetricName") in view.facts["distributions"]:
            # A value that each run measures once. It holds until the next run, however late that is.
            statistics, missing = {"Maximum"}, {"ignore"}
        else:
            statistics, missing = metrics.STATISTICS, {"notBreaching", "breaching"}
        if alarm.get("TreatMissingData") not in missing:
            yield f"{name}: missing data must be {' or '.join(sorted(missing))}"
        if alarm.get("Statistic") not in statistics or "Threshold" not in alarm:
            yield f"{name}: no threshold, or no statistic for it"
        if alarm.get("AlarmActions") != ["AlarmTopic"] or alarm.get("ActionsEnabled") is False:
            yield f"{name}: tells nobody"
        heading = alarm["AlarmName"].removeprefix("leads-")
        if f"### `{heading}`" not in view.sources.operations:
            yield f"{name}: docs/operations.md has no section {heading}"
    watched = {}
    for name, alarm in view.alarms.items():
        target = next(iter(alarm.get("Dimensions", [])), {}).get("Value")
        watched.setdefault((alarm.get("Namespace"), alarm.get("MetricName"), target), name)
    needed = [("AWS/Lambda", "Errors", name) for name in view.functions]
    needed += [("AWS/SQS", "ApproximateNumberOfMessagesVisible", f"{q}.QueueName") for q in view.queues if "Dead" in q]
    needed += [
        ("AWS/SQS", "ApproximateAgeOfOldestMessage", "LeadQueue.QueueName"),
        ("AWS/Lambda", "Url5xxCount", "LeadIntake"),
        ("AWS/Lambda", "Throttles", "LeadIntake"),
        ("AWS/SES", "Bounce", "MailConfigurationSet"),
        ("AWS/SES", "Complaint", "MailConfigurationSet"),
        ("MarketplaceLeads", "IntakeUnauthorized", "LeadIntake"),
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
        if what not in watched:
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
