"""Bringing a stack to another release, and removing it."""

import os

from . import functions, notifier, parameters, questions, release, routes, settings
from .looking import QUEUES, is_gone, surely, validated
from .words import Problem, count, listed


def update(session):
    """Another release with all settings as they are. What the new template no longer has is named."""
    folder = session.options.release or release.own_folder() or session.answers.get("release")
    if folder is None:
        raise Problem("it is not known where the release is", "Say --release <folder>.")
    found, account = release.Release(folder), session.check_account()
    values, old = session.stack.parameters(), session.stack.declared()
    declared = found.parameters()
    gone = {
        name: value
        for name, value in values.items()
        if name not in declared and value != old.get(name, {}).get("DefaultValue", "")
    }
    # The routes are moved into a parameter, and what SES asks for in its sandbox is always allowed.
    for name in ("Routes", "SandboxRecipient"):
        gone.pop(name, None)
    if gone:
        session.screen.warn(
            f"This release has no setting {listed(sorted(gone))} any more: its changelog says what takes the place"
            " of it."
        )
    missing = [name for name, parameter in declared.items() if parameter.default is None and name not in values]
    given = settings.pairs(session.options.set)
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise Problem(f"the release has no setting {listed(unknown)}")
    if [name for name in missing if name not in given]:
        raise Problem(f"this release needs a value for {listed(missing)}", f"Add --set {missing[0]}=<value>.")
    questions.refuse(declared, given)
    kept = {name: value for name, value in values.items() if name in declared and name not in given}
    before = dict(kept)
    questions.settle(session, declared, kept)
    given.update({name: value for name, value in kept.items() if before[name] != value})
    for name, value in kept.items():
        default = declared[name].default
        if value == old.get(name, {}).get("DefaultValue") and default not in (None, value):
            session.screen.say(
                f"{name} stays {value}, the default of before; that of this release is {default or 'empty'}."
            )
    given.update(routes.moved(session, values, declared))
    session.screen.say("Uploading the functions …")
    url = release.upload(session, found, account, given.get("Architecture") or values.get("Architecture", "x86_64"))
    changed = settings.apply(session, given, url, declared)
    if changed is None:
        session.screen.result({"changed": False}, ["Nothing was changed."])
        return 1
    if session.answers.exists():
        kept = {name: value for name, value in session.answers.get("parameters", {}).items() if name in declared}
        session.answers.save(release=os.path.abspath(folder), parameters=dict(kept, **given))
    if not changed:
        session.screen.result({"changed": False}, ["The stack is at this release already."])
        return 0
    ok = validated(session)
    session.screen.result(
        {"changed": True, "ok": ok}, ["The stack is at the new release; queues, tables and the log are as they were."]
    )
    return 0 if ok else 1


def last_run(session):
    """Mails what is still to be mailed, as far as the notifier can."""
    try:
        session.screen.say("A last run: " + notifier.run_line(notifier.tell(session, "run")))
        return True
    except (functions.FunctionFailed, Problem) as problem:
        session.screen.warn(f"The last run did not work: {problem.message}")
        return False


# The settings that name what is in SSM.
IN_SSM = ("StorageConnectionStringParameter", "IntakeKeysParameter", "RoutesParameter", "DestinationsPrefix")
# A stack in one of these states has no functions that could mail anything.
CANNOT_RUN = ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED")


def of_others(session):
    """What the other stacks of this region have in the settings that name what is in SSM."""
    stacks = session.aws.call("cloudformation", "describe-stacks").get("Stacks", [])
    return {
        parameter.get("ParameterValue")
        for stack in stacks
        if stack["StackName"] != session.stack.name
        for parameter in stack.get("Parameters", [])
        if parameter["ParameterKey"] in IN_SSM and parameter.get("ParameterValue")
    }


def own_parameters(session):
    """The names of the stack's parameters in SSM, and of its settings whose parameters another stack of this region uses
    too.
    """
    others, values = of_others(session), session.stack.parameters()
    shared = [name for name in IN_SSM if values.get(name) and values[name] in others]
    own = {name: values[name] for name in IN_SSM if values.get(name) and name not in shared}
    prefix = own.pop("DestinationsPrefix", None)
    return list(own.values()) + (parameters.below(session, prefix) if prefix else []), shared


def begun(session, account, described):
    """What a removal of this stack that was interrupted has still to remove, or None. A stack that is still there, and
    is not being deleted, is removed from the start.
    """
    left = session.answers.get("removing") or {}
    here = {"stack": session.stack.name, "region": session.region, "account": account}
    if {name: left.get(name) for name in here} != here:
        return None
    if described is not None and described["StackStatus"] not in ("DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"):
        return None
    # Since then another stack may have come that uses some of it.
    others = of_others(session)
    prefixes = tuple(value for value in others if value.endswith("/"))
    return dict(left, names=[name for name in left["names"] if name not in others and not name.startswith(prefixes)])


def remove(session):
    """Removes the stack and what belongs to it in AWS. Queues with leads in them, the tables and SES's identities
    stay.
    """
    screen, account = session.screen, session.check_account()
    described = session.stack.describe()
    left, shared = begun(session, account, described), []
    if left:
        screen.say(f"Going on with the removal of the stack {session.stack.name}, which was begun before.")
        names, bucket = left["names"], left["bucket"]
    else:
        described = session.stack.required()
        bucket = release.bucket_name(session.stack.name, account, session.region)
        names, shared = own_parameters(session)
    screen.say(f"This removes from the account {account}, region {session.region}:")
    gone = "" if described else " (gone already)"
    for line in (
        f"the stack {session.stack.name} with its functions, alarms and logs{gone}",
        f"the parameters {listed(names)}",
        f"the bucket {bucket}",
        "its three queues, as far as they are empty",
    ):
        screen.say(f"  - {line}")
    if shared:
        screen.say(f"Another stack uses what {listed(shared)} names, too: that stays.")
    screen.say(
        "The storage account with the leads stays. Partner Center must lead elsewhere already: what Microsoft sends"
        " afterwards is lost."
    )
    if not screen.confirm("Remove all of this?"):
        screen.result({"removed": False}, ["Nothing was removed."])
        return 1
    if not left:
        has_run = described["StackStatus"] not in CANNOT_RUN
        if has_run and not last_run(session):
            if not screen.confirm("Remove it all the same? What is not mailed stays in the table."):
                screen.result({"removed": False}, ["Nothing was removed."])
                return 1
        left = begin(session, account, described, names, bucket)
    if described:
        screen.say("Removing the stack; this takes some minutes …")
        session.stack.delete()
    return remove_rest(session, left)


def begin(session, account, described, names, bucket):
    """Keeps what is to be removed: once the stack is gone, nothing else says what belonged to it."""
    # A stack that failed may have some of its outputs, and leads in its queues from before.
    known = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    left = {
        "stack": session.stack.name,
        "region": session.region,
        "account": account,
        "names": names,
        "queues": {output: known[output] for output, _ in QUEUES if output in known},
        "bucket": bucket,
    }
    # A stack that is made again here gets a first lead of its own.
    session.answers.save(removing=left, **({"first_lead": None} if is_about(session) else {}))
    return left


def is_about(session):
    """Whether the answers are about this stack, and not about another one of this folder."""
    here = {"stack": session.stack.name, "region": session.region}
    return all(session.answers.get(name, value) == value for name, value in here.items())


def remove_rest(session, left):
    """Removes what the stack leaves: queues that are empty, parameters, the bucket, the answers."""
    names, queues = left["names"], left["queues"]
    counts = surely(session, queues) if queues else {}
    kept = []
    for output, url in queues.items():
        if counts[output]:
            kept.append(url)
        else:
            delete_queue(session, url)
    # Redelivery by hand needs the connection string as long as leads wait.
    removed = []
    for at in range(0, 0 if kept else len(names), 10):
        removed += parameters.remove(session, names[at : at + 10])
    release.remove_bucket(session, left["bucket"])
    azure = (session.answers.get("azure") or {}) if is_about(session) else {}
    if not kept and is_about(session):
        session.answers.remove()
    elif not kept:
        session.answers.save(removing=None)
    lines = [
        (
            f"Removed the stack {session.stack.name}, {count(len(removed), 'parameter')},"
            f" {count(len(queues) - len(kept), 'queue')} and the bucket."
        ),
        "What stays:",
    ]
    lines += [f"  the queue {url}: {counts[output]} in it" for output, url in queues.items() if url in kept]
    if kept:
        lines.append("  the parameters with the secrets, without which what is in the queues could not be stored")
    lines.append(
        "  the storage account with the leads"
        + (f": az group delete --name {azure['group']} removes it" if azure.get("group") else "")
    )
    lines.append("  SES's identities: aws sesv2 delete-email-identity, if nothing else sends with them")
    if kept:
        lines.append("Once nothing is in these queues any more, leads remove again removes them and the parameters.")
    session.screen.result({"removed": True, "kept_queues": kept, "removed_parameters": removed}, lines)
    return 0


def delete_queue(session, url):
    """Deletes a queue that may be gone already."""
    try:
        session.aws.call("sqs", "delete-queue", {"QueueUrl": url})
    except Problem as problem:
        if not is_gone(problem):
            raise
