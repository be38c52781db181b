"""Commands that look: status, validation, comparing Partner Center's list, logs."""

import concurrent.futures
import datetime
import re
import shlex
import sys
import time

from .functions import FunctionFailed, invoke
from .notifier import run_line, tell
from .words import Problem, count

QUEUES = (
    ("LeadQueueUrl", "waiting to be stored"),
    ("LeadDeadLetterQueueUrl", "given up by redelivery"),
    ("NotifierDeadLetterQueueUrl", "failed runs"),
)
NAMES = {
    "intake": "IntakeFunction",
    "redelivery": "RedeliveryFunction",
    "notifier": "NotifierFunction",
    "validation": "ValidationFunction",
    "export": "ExportFunction",
}
POLL = 3.0
SQS_PAUSE = 20.0


def queue_urls(session):
    return {output: session.stack.output(output) for output, _ in QUEUES}


def is_gone(problem):
    """Whether SQS says that there is no such queue; it has two names for that."""
    return "NonExistentQueue" in str(problem.code) or problem.code == "QueueDoesNotExist"


def queue_counts(session, urls=None):
    """How many messages wait or are being tried, by the output that names the queue; None where there is no such
    queue.
    """
    attributes = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
    counts = {}
    for output, url in (urls or queue_urls(session)).items():
        try:
            found = session.aws.call(
                "sqs", "get-queue-attributes", {"QueueUrl": url, "AttributeNames": attributes}
            ).get("Attributes", {})
            counts[output] = sum(int(found.get(name, 0)) for name in attributes)
        except Problem as problem:
            if not is_gone(problem):
                raise
            counts[output] = None
    return counts


def surely(session, urls):
    """The counts of queues for what must not be done while something is in them. SQS counts roughly, and is right within
    a minute: the largest of several counts is taken.
    """
    session.screen.say("Counting what is in the queues; this takes a minute …")
    counts = queue_counts(session, urls)
    for _ in range(3):
        session.aws.wait(SQS_PAUSE)
        again = queue_counts(session, urls)
        counts = {output: max(counts[output] or 0, again[output] or 0) for output in counts}
    return counts


def alarms(session):
    """The stack's own alarms that are on. Another stack's names may begin with the same letters."""
    which = {"StackName": session.stack.name}
    resources = session.aws.call("cloudformation", "list-stack-resources", which).get("StackResourceSummaries", [])
    own = {r.get("PhysicalResourceId") for r in resources if r["ResourceType"] == "AWS::CloudWatch::Alarm"}
    request = {"AlarmNamePrefix": f"{session.stack.name}-", "StateValue": "ALARM"}
    found = session.aws.call("cloudwatch", "describe-alarms", request).get("MetricAlarms", [])
    return [
        {
            "name": alarm["AlarmName"],
            "description": alarm.get("AlarmDescription", ""),
            "since": str(alarm.get("StateUpdatedTimestamp", "")),
        }
        for alarm in found
        if alarm["AlarmName"] in own
    ]


def subscription(session):
    """Whether the address in AlarmEmail gets the alarms: once somebody there has opened the link that AWS mails. AWS
    forgets the address two days later.
    """
    address = session.stack.parameters().get("AlarmEmail", "")
    if not address:
        return {"address": "", "state": "unwanted"}
    topic = session.stack.output("AlarmTopicArn")
    request = {"TopicArn": topic}
    found = session.aws.call("sns", "list-subscriptions-by-topic", request).get("Subscriptions", [])
    own = [one["SubscriptionArn"] for one in found if one["Endpoint"].lower() == address.lower()]
    state = "pending" if "PendingConfirmation" in own else "missing"
    if any(arn.startswith("arn:") for arn in own):
        state = "confirmed"
    words = ["aws", "sns", "subscribe", "--region", session.region]
    words += ["--profile", session.profile] if session.profile else []
    words += ["--topic-arn", topic, "--protocol", "email", "--notification-endpoint", address]
    return {"address": address, "state": state, "subscribe": " ".join(map(shlex.quote, words))}


def subscription_words(found):
    address, state = found["address"], found["state"]
    if state == "unwanted":
        return ["No mail tells of an alarm: leads settings set AlarmEmail=<address> changes that."], True
    if state == "confirmed":
        return [f"{address} gets the alarms."], True
    if state == "pending":
        return [f"AWS has mailed a link to {address}: open it within two days. Until then no alarm gets there."], False
    return [
        f"{address} does not get the alarms: the link was not opened in time, or somebody has unsubscribed.",
        f"This has AWS mail a new one: {found['subscribe']}",
    ], False


def link_to_open(session):
    """What is still to be done so that the alarms arrive, in lines; none where nothing is."""
    try:
        lines, is_right = subscription_words(subscription(session))
    except Problem as problem:
        return [f"Whether the alarms arrive could not be looked at: {problem.message}"]
    return [] if is_right else lines


def schedule(session):
    found = session.aws.call("scheduler", "get-schedule", {"Name": session.stack.output("ScheduleName")})
    return {"state": found["State"], "expression": found["ScheduleExpression"]}


def notifier_state(session):
    """The last run and what is owed, one after the other: the notifier has one instance."""
    return {"history": tell(session, "history", last=1)["runs"], "outbox": tell(session, "outbox")}


def status(session):
    """Everything at one look. A part that cannot be looked at does not hide the others."""
    stack = session.stack.required()
    parts = {
        "alarms": alarms,
        "subscription": subscription,
        "schedule": schedule,
        "queues": queue_counts,
        "notifier": notifier_state,
    }
    found, failed = {}, {}
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        futures = {name: pool.submit(look, session) for name, look in parts.items()}
        for name, future in futures.items():
            try:
                found[name] = future.result()
            except Problem as problem:
                failed[name] = problem.message
    lines = [f"The stack {session.stack.name} in {session.region} is {stack['StackStatus']}."]
    # Whoever may look at the rest need not be allowed to look at this.
    ok = not failed.keys() - {"subscription"}
    ok = ok and stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    for name, words in (
        ("alarms", alarm_words),
        ("subscription", subscription_words),
        ("schedule", schedule_words),
        ("notifier", notifier_words),
        ("queues", queue_words),
    ):
        if name in found:
            said, is_right = words(found[name])
            lines, ok = lines + said, ok and is_right
    lines += [f"Not looked at ({name}): {message}" for name, message in failed.items()]
    value = {"stack": session.stack.name, "region": session.region, "stack_status": stack["StackStatus"], "ok": ok}
    session.screen.result({**found, **value, "not_looked_at": failed}, lines)
    return 0 if ok else 1


def alarm_words(found):
    lines = [f"  {alarm['name']}: {alarm['description']} Since {alarm['since']}." for alarm in found]
    return [f"{count(len(found), 'alarm')} on:"] + lines if found else ["No alarm is on."], not found


def schedule_words(found):
    if found["state"] == "ENABLED":
        return [f"The notifier runs by {found['expression']}."], True
    return [f"The schedule is switched off ({found['state']}): leads settings set ScheduleState=ENABLED."], False


def notifier_words(found):
    runs, outbox = found["history"], found["outbox"]
    lines = ["The last run: " + (run_line(runs[0]) if runs else "none has done anything yet.")]
    owed = sum(channel["owed"] for channel in outbox["channels"])
    lines.append(f"{count(owed, 'lead')} still to be sent: leads outbox." if owed else "Nothing is owed to anybody.")
    if outbox["parked"]:
        lines.append(f"{count(len(outbox['parked']), 'lead')} given up: leads outbox.")
    if outbox["paused"]:
        lines.append("The notifier is paused: leads resume ends that.")
    return lines, not outbox["paused"] and not outbox["parked"]


def queue_words(found):
    """What waits to be stored is no fault: an alarm says when it waits too long."""
    lines = [f"{found[output]} {what}." for output, what in QUEUES if found[output]]
    return lines or ["All queues are empty."], not found["LeadDeadLetterQueueUrl"]


def report(session, event, without_warning=None):
    """Runs validation, prints its report, and gives whether all is well; one check may not even warn."""
    answer = invoke(session, "ValidationFunction", event)
    session.screen.result(answer, answer["report"].splitlines())
    warned = [check for check in answer["checks"] if check["id"] == without_warning and check["status"] != "ok"]
    return 0 if answer["ok"] and not warned else 1


def validate(session):
    options, event = session.options, {}
    if options.check:
        event["checks"] = options.check
    for name in ("create", "leave", "send"):
        if getattr(options, name):
            event[name] = True
    return report(session, event)


def reconcile(session):
    """Compares Partner Center's list with the table."""
    path = session.options.file
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}")
    asked = {"csv": decode(data)}
    if session.options.dates:
        asked["dates"] = session.options.dates
    if session.options.explain:
        asked["explain"] = True
    return report(session, {"checks": ["reconcile"], "reconcile": asked})


def decode(data):
    """A list's text: Partner Center writes UTF-8, spreadsheets also UTF-16 and the code page of Windows."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def moment(text, now):
    """Milliseconds since 1970 of `30m`, `2h`, `1d` ago, a day or a time."""
    ago = re.fullmatch(r"(\d+)([smhd])", text)
    if ago:
        seconds = int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
        return int((now - seconds) * 1000)
    try:
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Problem(f"{text} is no time", "Say --since 2h, --since 2026-11-03 or --since 2026-11-03T14:00:00Z.")
    return int((found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)).timestamp() * 1000)


def identity(event):
    """What makes a line of a log one of its own."""
    return event.get("eventId") or (event.get("logStreamName"), event["timestamp"], event["message"])


def logs(session):
    """What a function logged, oldest first; with --follow also what it logs from now on."""
    options, now = session.options, time.time()
    group = f"/aws/lambda/{session.stack.output(NAMES[options.function])}"
    begin, seen, events = moment(options.since, now), set(), []
    while True:
        request = {"logGroupName": group, "startTime": begin}
        try:
            page = session.aws.call("logs", "filter-log-events", request, limit=120).get("events", [])
        except Problem as problem:
            if problem.code != "ResourceNotFoundException":
                raise
            page = []
        new = [event for event in page if identity(event) not in seen]
        for event in sorted(new, key=lambda event: event["timestamp"]):
            seen.add(identity(event))
            events.append(event)
            if not options.json:
                session.screen.say(event["message"].rstrip("\n"))
        if not options.follow:
            break
        # What comes late still comes: the last minute is read again, and what was printed is left out.
        begin = max(begin, int((time.time() - 60) * 1000))
        time.sleep(POLL)
    if options.json:
        session.screen.result({"events": [{"timestamp": e["timestamp"], "message": e["message"]} for e in events]})
    elif not events:
        session.screen.say(f"{options.function} logged nothing since {options.since}.")
    return 0


def validated(session, checks=None):
    """Validation within another command: prints its report, and gives whether all is well."""
    try:
        answer = invoke(session, "ValidationFunction", {"checks": checks} if checks else {})
    except FunctionFailed as failed:
        session.screen.warn(failed.text())
        return False
    for line in answer["report"].splitlines():
        session.screen.say(f"  {line}")
    return answer["ok"]
