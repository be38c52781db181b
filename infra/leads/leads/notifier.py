"""The notifier's commands, and what each of them did in words."""

import re

from .functions import invoke
from .words import Problem, count, listed

OUTCOMES = {
    "complete": "done",
    "idle": "there was nothing to do",
    "stopped": "time ran out, and the next run goes on",
    "paused": "the notifier is paused, and nothing was read or sent",
    "busy": "another run is at work, and this one did nothing",
    "failed": "something failed, and the next run tries it again",
}


def tell(session, command, **fields):
    """Gives the notifier a command; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return invoke(session, "NotifierFunction", dict(given, command=command))


def seconds(time):
    """A time without its fractions of a second."""
    return re.sub(r"\.\d+", "", time)


def run_line(record):
    """One run in one line."""
    started = seconds(record["started"])
    outcome = OUTCOMES.get(record["outcome"], record["outcome"])
    did = (
        f"{count(record['leads'], 'new lead')}, {count(record['mailed'], 'lead')} sent in"
        f" {count(record['mails'], 'mail')}"
    )
    if record.get("idle_runs"):
        return f"{started}  {count(record['idle_runs'], 'run')} with nothing to do"
    more = []
    if record.get("owed"):
        more.append(
            f"{count(record['owed'], 'lead')} still to be sent, the oldest since"
            f" {seconds(record.get('oldest_owed', 'an unknown time'))}"
        )
    if record.get("parked"):
        more.append(f"{count(record['parked'], 'lead')} given up: leads outbox names them")
    if record.get("quarantined"):
        more.append(f"{count(record['quarantined'], 'unreadable body', 'unreadable bodies')} named in the mails")
    if record.get("error"):
        more.append(record["error"])
    return f"{started}  {outcome}: " + "; ".join([did] + more)


def run(session):
    record = tell(session, "run")
    session.screen.result(record, [run_line(record)])
    return 0


def dry_run(session):
    answer = tell(session, "dry-run")
    lines = [
        f"A run would send {count(len(answer['digests']), 'digest')} with {count(answer['found'], 'new lead')}"
        f" ({count(answer['dropped'], 'lead')} left out by the settings, {answer['owed']} owed from before). Nothing"
        " was sent."
    ]
    if answer["paused"]:
        lines.append("The notifier is paused: a run would do nothing. leads resume ends that.")
    for digest in answer["digests"]:
        lines += [
            "",
            (
                f"To {listed(digest.get('recipients') or [digest.get('destination', 'nobody')])}, by the route"
                f" {digest['route']}:"
            ),
            f"  {digest['subject']}",
        ]
        if session.options.full and digest.get("text"):
            lines += [f"  | {line}" for line in digest["text"].splitlines()]
    session.screen.result(answer, lines)
    return 0


def history(session):
    answer = tell(session, "history", last=session.options.last)
    lines = [run_line(record) for record in answer["runs"]] or ["No run has done anything yet."]
    session.screen.result(answer, lines)
    return 0


def outbox(session):
    answer = tell(session, "outbox")
    lines = []
    for channel in answer["channels"]:
        lines.append(
            f"{channel['channel']}  {count(channel['owed'], 'lead')} for the route {channel['route']}, waiting since"
            f" {channel.get('oldest', '-')}"
        )
        if channel.get("destination", "mail") != "mail":
            lines.append(f"    to the destination {channel['destination']}")
        if channel.get("reason"):
            lines.append(f"    {count(channel['attempts'], 'attempt')} failed: {channel['reason']}")
        if channel.get("next_attempt"):
            lines.append(
                f"    the next attempt is at {channel['next_attempt']}; leads retry {channel['channel']} does not wait"
                " for it"
            )
    for parked in answer["parked"]:
        lines.append(f"given up in {parked['channel']}: {' / '.join(parked['lead'])}: {parked['reason']}")
    if answer["paused"]:
        lines.append("The notifier is paused. leads resume ends that.")
    session.screen.result(answer, lines or ["Nothing is owed to anybody, and nothing was given up."])
    return 0


def retry(session):
    answer = tell(session, "retry", channel=session.options.channel)
    session.screen.result(
        answer,
        [
            f"The next run tries {count(answer['channels'], 'channel')} at once; "
            f"{count(answer['put_back'], 'lead')} that had been given up will be tried again."
        ],
    )
    return 0


def discard(session):
    channel = session.options.channel
    owed = [c for c in tell(session, "outbox")["channels"] if c["channel"] == channel]
    if not owed:
        raise Problem("no such channel owes anything", "leads outbox lists those that do.")
    if not session.screen.confirm(
        f"Give up {count(owed[0]['owed'], 'lead')} of the route {owed[0]['route']}? Nobody will be sent them."
    ):
        session.screen.result({"discarded": 0}, ["Nothing was given up."])
        return 1
    answer = tell(session, "discard", channel=channel)
    lines = [f"Gave up {count(answer['discarded'], 'lead')}. Their rows stay in the table; their keys:"]
    session.screen.result(answer, lines + ["  " + " / ".join(keys) for keys in answer.get("leads", [])])
    return 0


def test(session):
    answer = tell(session, "test", to=session.options.to, route=session.options.route)
    urgent = "at once" if answer.get("urgent_at_once") else "with the others"
    session.screen.result(
        answer,
        [
            f"Sent {count(answer['mails'], 'mail')} with a made-up digest by the route {answer['route']}.",
            (
                f"Urgent leads go out {urgent}; one that is not urgent would go out at"
                f" {answer.get('others_at', 'the next run')}."
            ),
        ],
    )
    return 0


def pause(session):
    answer = tell(session, "pause")
    session.screen.result(
        answer,
        [
            "The notifier is paused: runs read and send nothing. Leads are still stored, and none is lost.",
            "leads resume ends that; the alarm lead-notifier-missing reminds you.",
        ],
    )
    return 0


def resume(session):
    answer = tell(session, "resume")
    session.screen.result(
        answer, ["The pause is over. The next run mails what has come meanwhile; leads run does it now."]
    )
    return 0


def backfill(session):
    options = session.options
    whom = options.to or "everybody who gets such leads"
    if not session.screen.confirm(f"Send the leads from {options.since} until {options.until} again, to {whom}?"):
        session.screen.result({"leads": 0, "mails": 0}, ["Nothing was sent."])
        return 1
    answer = tell(session, "backfill", since=options.since, until=options.until, to=options.to)
    lines = [f"Sent {count(answer['leads'], 'lead')} again in {count(answer['mails'], 'mail')}, marked as sent again."]
    if answer.get("refused"):
        lines.append(f"{count(answer['refused'], 'lead')} refused by the receivers.")
    session.screen.result(answer, lines)
    return 0


def erase(session):
    """Removes one person. The address is asked for, so that it is in no history of the shell."""
    address = session.screen.secret("The mail address of the person to erase")
    found = erase_all(session, address, False)
    total = sum(sum(rows.values()) for rows in found["removed"].values())
    session.screen.say(f"{count(total, 'row')} would be removed, of {found['rows_read']} that were read:")
    for table, partitions in found["removed"].items():
        session.screen.say(f"  {table}: {sum(partitions.values())}")
    if (
        total == 0
        or not session.options.confirm
        and not session.screen.confirm("Remove them? They cannot be brought back.")
    ):
        session.screen.result(dict(found, done=False), ["Nothing was removed."])
        return 0 if total == 0 else 1
    done = erase_all(session, address, True)
    total = sum(sum(rows.values()) for rows in done["removed"].values())
    session.screen.result(
        dict(done, done=True),
        [f"Removed {count(total, 'row')}. Not reached: mails that were sent, leads that wait in the queues, exports."],
    )
    return 0


def erase_all(session, address, confirm):
    """Asks until the whole table has been read, and adds up what the answers say."""
    removed, read, after = {}, 0, None
    while True:
        answer = tell(session, "erase", address=address, confirm=confirm, after=after)
        read += answer["rows_read"]
        for table, partitions in answer["removed" if confirm else "would_remove"].items():
            sums = removed.setdefault(table, {})
            for partition, number in partitions.items():
                sums[partition] = sums.get(partition, 0) + number
        after = answer.get("after")
        if answer["complete"]:
            return {"complete": True, "removed": removed, "rows_read": read}
        if after is None:
            raise Problem("erasing did not get to the end, and does not say where to go on", "Run the command again.")
        session.screen.say(f"… {read} rows read")
