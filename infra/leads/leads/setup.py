"""From nothing to the first mail: looks, asks, shows what it will do, and does it.

Each step looks first whether it is done already. So the command can be run again: after an interruption it goes on, and
later it changes what differs and nothing else.
"""

import os
import time

from . import functions, keys, mail, notifier, parameters, release, settings, storage
from .looking import link_to_open, validated
from .questions import account_of_storage, destination, facts, values
from .words import Problem, listed

# A test lead by its name, as those of Partner Center are, and urgent by its action: it is mailed with the next run.
LEAD = {
    "UserDetails": {
        "FirstName": "MSFT_TEST_First",
        "LastName": "Lead",
        "Email": "someone@contoso.com",
        "Company": "Contoso",
    },
    "LeadSource": "AzureMarketplace",
    "ActionCode": "PLT",
    "OfferTitle": "Test Microsoft",
    "Description": "The first lead",
}
MAIL_LIMIT, PAUSE = 180, 5.0


def setup(session):
    screen, answers, options = session.screen, session.answers, session.options
    if not options.dry_run:
        answers.try_to_write()
    folder = options.release or release.own_folder() or answers.get("release") or ask_release(session)
    found = release.Release(folder)
    screen.say(f"Looking at the account and the region {session.region} …")
    known = facts(session)
    parameters_of_stack, declared = values(session, found, known)
    names = {
        name: parameters_of_stack.get(name) or declared[name].default
        for name in ("StorageConnectionStringParameter", "IntakeKeysParameter")
    }
    secrets = {name: parameters.read(session, name) for name in names.values()}
    azure = account_of_storage(session, secrets[names["StorageConnectionStringParameter"]])
    wanted = destination(session, known, declared, parameters_of_stack)
    identity, is_verified = mail.sender(session, parameters_of_stack["MailFrom"])
    steps = plan(session, known, parameters_of_stack, names, secrets, azure, identity, is_verified, found)
    for line in known["warnings"] + (list(mail.SANDBOX) if known["in_sandbox"] else []):
        screen.warn(line)
    screen.say(f"In the account {known['account']}, region {session.region}, this is what is done:")
    for number, step in enumerate(steps, 1):
        screen.say(f"  {number}. {step}")
    if options.dry_run:
        screen.result(
            {"steps": steps, "parameters": parameters_of_stack, "done": False},
            ["This was a dry run: nothing was changed."],
        )
        return 0
    if not screen.confirm("Do this?"):
        screen.result({"steps": steps, "done": False}, ["Nothing was changed."])
        return 1
    kept = {name: value for name, value in parameters_of_stack.items() if name in declared}
    where = {name: value for name, value in azure.items() if name not in ("how", "subscription")}
    answers.save(
        stack=session.stack.name,
        region=session.region,
        profile=session.profile,
        account=known["account"],
        release=os.path.abspath(folder),
        destination=wanted,
        azure=None if azure["how"] == "given" else where or answers.get("azure"),
        parameters=kept,
    )
    tables = {"leadTable": parameters_of_stack.get("Table"), "stateTable": parameters_of_stack.get("StateTable")}
    tables = {name: table for name, table in tables.items() if table}
    connection, has_changed = keep_connection(
        session, names["StorageConnectionStringParameter"], secrets, azure, found, tables
    )
    key = keep_key(session, names["IntakeKeysParameter"], secrets)
    to_do = [] if is_verified else mail.ask_for(session, identity or parameters_of_stack["MailFrom"].rpartition("@")[2])
    deploy(session, found, known, parameters_of_stack, declared)
    if has_changed and not known["is_new"]:
        screen.say("The functions start afresh, so that they use the new connection string …")
        functions.restart(session)
    is_wanted = wants_first_lead(session, parameters_of_stack)
    return finish(session, wanted, connection, key, to_do, is_wanted)


def wants_first_lead(session, values_of_stack):
    """Whether a first lead is still to be mailed. Where test leads are in no mail, there is nothing to wait for."""
    is_mailed = (session.answers.get("first_lead") or {}).get("mailed")
    return not is_mailed and values_of_stack.get("TestLeads") != "drop"


def ask_release(session):
    near = "target/release-artifacts"
    return session.screen.ask("Folder of the release", near if os.path.isdir(near) else None)


def plan(session, known, values_of_stack, names, secrets, azure, identity, is_verified, found):
    """What will be done, in sentences. What is done already is left out."""
    storage_name, keys_name = names["StorageConnectionStringParameter"], names["IntakeKeysParameter"]
    steps = []
    if azure["how"] == "az":
        steps.append(
            f"Azure: make or check the storage account {azure['account']} with both tables, in the group"
            f" {azure['group']} ({azure['location']}) of the subscription {azure['subscription']}"
        )
    if azure["how"] != "kept" or session.options.signature:
        what = (
            "a shared access signature made of the connection string"
            if session.options.signature
            else "the connection string"
        )
        steps.append(
            f"SSM: put {what} into {storage_name} ({'replacing what is there' if secrets[storage_name] else 'new'})"
        )
    if secrets[keys_name] is None:
        steps.append(f"SSM: put a new intake key into {keys_name}")
    if not is_verified:
        domain = values_of_stack["MailFrom"].rpartition("@")[2]
        steps.append(
            f"SES: ask for the verification of {identity or domain}; you publish what it says, or open its link"
        )
    bucket = release.bucket_name(session.stack.name, known["account"], session.region)
    steps.append(
        f"S3: put the code of {len(found.functions)} functions ({values_of_stack['Architecture']}) of the release in"
        f" the folder {shown_folder(found.folder)} into the bucket {bucket}"
    )
    changed = {name: value for name, value in values_of_stack.items() if known["parameters"].get(name) != value}
    shown = listed(f"{name}={value}" for name, value in sorted(changed.items()))
    verb = "make" if known["is_new"] else "bring up to date"
    steps.append(f"CloudFormation: {verb} the stack {session.stack.name}" + (f" with {shown}" if changed else ""))
    steps.append("Run validation")
    if wants_first_lead(session, values_of_stack):
        when = "" if is_verified else ", once SES trusts the sender"
        what = "Send a first lead, marked as a test, and have it mailed"
        if values_of_stack.get("HttpsIntake") == "off":
            what = f"Have a made-up digest mailed to {first_recipient(values_of_stack)}"
        steps.append(what + when)
    return steps


def shown_folder(folder):
    """A folder as a person names it: from here, where it is below."""
    folder, here = os.path.realpath(folder), os.path.realpath(os.curdir)
    return os.path.relpath(folder, here) if folder.startswith(here + os.sep) else folder


def keep_connection(session, name, secrets, azure, found, tables):
    """Makes the storage account or takes its connection string, and keeps what the functions get. Gives what Partner
    Center gets (None where only a signature is known), and whether the functions get another one than before.
    """
    before = secrets[name]
    if azure["how"] == "kept" and not session.options.signature:
        return None if storage.is_signature(before) else storage.in_order(before), False
    if azure["how"] == "az":
        if storage.exists(azure):
            session.screen.say(f"The storage account {azure['account']} is there already: making its tables alone …")
            storage.make_tables(azure, found.storage_template(), tables)
        else:
            session.screen.say(f"Making the storage account {azure['account']} …")
            storage.make(azure, found.storage_template(), tables)
        whole = storage.connection_string_of(azure)
    elif azure["how"] == "kept":
        whole = storage.connection_string_of(azure) if storage.is_signature(before) else storage.in_order(before)
    else:
        whole = storage.in_order(session.screen.secret("The storage account's connection string"))
    kept = whole
    if session.options.signature:
        days = session.options.signature_days
        kept = storage.with_signature(whole, days)
        session.answers.save(azure=dict(session.answers.get("azure") or {}, signature_days=days))
    if kept != before:
        parameters.write(session, name, kept)
    return None if storage.is_signature(whole) else whole, kept != before


def keep_key(session, name, secrets):
    """The intake key: the newest there is, or a new one."""
    if secrets[name] is None:
        parameters.write(session, name, keys.new_key())
    return keys_in(parameters.read(session, name))[-1]


def keys_in(text):
    return [key.strip() for key in (text or "").split(",") if key.strip()]


def deploy(session, found, known, values_of_stack, declared):
    session.screen.say("Uploading the functions …")
    url = release.upload(session, found, known["account"], values_of_stack["Architecture"])
    session.screen.say("Deploying; the first time takes some minutes …")
    change_set, changes = session.stack.propose(values_of_stack, url, declared)
    if change_set is None:
        session.screen.say("The stack is as it should be already.")
        return
    if not known["is_new"]:
        for line in settings.shown_changes(changes):
            session.screen.say(line)
    session.stack.execute(change_set)


def finish(session, wanted, connection, key, to_do, is_wanted):
    """Validation, the first lead, its mail, and what is to be pasted where."""
    screen = session.screen
    session.stack.describe(again=True)
    screen.say("Validation:")
    functions.invoke(session, "ValidationFunction", {"checks": ["table"], "create": True})
    ok = validated(session)
    is_mailed = not is_wanted or not to_do and first_mail(session, key)
    lines = ["", "Paste into Partner Center (the offer, Offer setup, Customer leads, Connect). Both hold a secret:"]
    result = {
        "stack": session.stack.name,
        "region": session.region,
        "ok": ok and is_mailed and not to_do,
        "first_lead_mailed": is_wanted and is_mailed,
        "to_do": to_do,
    }
    if wanted != "https":
        result["connection_string"] = connection
        lines.append(
            f"  Azure table:    {connection or 'the connection string with the account key, from the Azure portal'}"
        )
    if wanted != "table":
        result["intake_url"] = keys.intake_url(session, key)
        lines.append(f"  HTTPS endpoint: {result['intake_url']}")
    link = link_to_open(session)
    if link:
        result["alarms"] = " ".join(link)
        lines += ["", *link]
    if to_do:
        lines += ["", "Before mails go out, this remains to be done by you; then run leads setup again:"] + to_do
    lines += ["", "leads status shows how things are; leads validate looks at everything again."]
    screen.result(result, lines)
    return 0 if result["ok"] else 1


def first_recipient(values_of_stack):
    return values_of_stack["MailTo"].split(";")[0].strip()


def first_mail(session, key):
    """A first lead and its mail. Without intake, the first lead comes from Partner Center, and a made-up one is mailed."""
    if "IntakeUrl" in session.stack.outputs():
        return first_lead(session, key)
    recipient = first_recipient(session.stack.parameters())
    try:
        notifier.tell(session, "test", to=recipient)
    except Problem as problem:
        session.screen.warn(f"The made-up digest did not go out: {problem.message}")
        return False
    sent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    session.answers.save(first_lead={"sent": sent, "mailed": True})
    session.screen.say(f"SES has accepted a made-up digest for {recipient}: look into the inbox.")
    session.screen.say("The first lead is the one that Partner Center writes when you press Validate there.")
    return True


def first_lead(session, key):
    """Sends a lead as Microsoft does, unless it was sent before, and waits until SES has accepted its mail."""
    screen = session.screen
    begin = (session.answers.get("first_lead") or {}).get("sent")
    if begin is None:
        begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        lead = dict(LEAD, Description=f"The first lead, {begin}")
        try:
            status, answer = functions.post_lead(session.stack.output("IntakeUrl"), key, lead)
        except Problem as problem:
            screen.warn(f"The first lead was not sent: {problem.text()}")
            return False
        session.answers.save(first_lead={"sent": begin, "mailed": False})
        screen.say(f"The first lead was {answer.get('status', 'taken')} (intake answered {status}).")
    until = time.monotonic() + MAIL_LIMIT
    while time.monotonic() < until:
        try:
            notifier.tell(session, "run")
            runs = notifier.tell(session, "history", last=5)["runs"]
        except Problem as problem:
            screen.warn(f"The lead is stored, and its mail did not go out: {problem.message}")
            return False
        if any(run["started"] >= begin[:16] and run["mailed"] for run in runs):
            session.answers.save(first_lead={"sent": begin, "mailed": True})
            screen.say("SES has accepted its mail: look into the inbox.")
            return True
        screen.say("Waiting for its mail …")
        session.aws.wait(PAUSE)
    screen.warn(
        "The lead is stored, and its mail has not gone out yet: leads outbox says why, leads history what the runs did."
    )
    return False
