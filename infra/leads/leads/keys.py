"""Rotating the intake key and the storage key, so that no lead is lost between the old one and the new one.

Each rotation has two halves: first both keys are valid, then Partner Center is changed by hand, then the old one ends.
What was begun is seen in SSM and in the answers, so that an interrupted rotation goes on with the same command.
"""

import secrets

from . import functions, parameters, storage
from .looking import queue_urls, surely, validated
from .words import Problem, count

UNKNOWN = "Begin with: leads rotate {0}"


def intake_url(session, key):
    return f"{session.stack.output('IntakeUrl')}?code={key}"


def new_key():
    return secrets.token_hex(24)


def intake_keys(session):
    """The parameter's name and the one or two keys in it. Fails where there is no endpoint that they open."""
    session.stack.output("IntakeUrl")
    name = session.stack.parameters()["IntakeKeysParameter"]
    text = parameters.read(session, name)
    keys = [key.strip() for key in (text or "").split(",") if key.strip()]
    if not 1 <= len(keys) <= 2:
        raise Problem(
            f"the parameter {name} holds {count(len(keys), 'key')} instead of one or two",
            "Run leads setup, which puts a key there.",
        )
    return name, keys


def rotate_intake(session):
    if session.options.finish and session.options.undo:
        raise Problem("--finish and --undo are the opposite of each other", "Say one of them.")
    if session.options.finish:
        return finish_intake(session)
    name, keys = intake_keys(session)
    if session.options.undo:
        return undo_intake(session, name, keys)
    is_new = len(keys) == 1
    if is_new:
        keys.append(new_key())
        parameters.write(session, name, ",".join(keys))
    address = intake_url(session, keys[1])
    session.screen.result(
        {"intake_url": address, "keys": 2},
        [
            (
                "Both keys are valid now, the old one and the new one."
                if is_new
                else "A rotation is under way: both keys are valid."
            ),
            (
                "Functions take the new one within a minute. Then put this address into Partner Center for every offer"
                " with an HTTPS"
            ),
            "endpoint, and publish; it holds the key, so give it to nobody else:",
            f"  {address}",
            "When the test leads of all offers have come: leads rotate intake-key --finish",
        ],
    )
    return 0


def finish_intake(session):
    """Ends the old key. Done again after an interruption, it makes the functions start afresh all the same."""
    name, keys = intake_keys(session)
    if len(keys) == 1:
        if keys_before(session, name, keys)[1:] != keys:
            raise Problem("only one key is valid: there is no old one to end", UNKNOWN.format("intake-key"))
    else:
        if not may_end(
            session,
            "old",
            "Does every offer in Partner Center have the new address, and have their test leads come?",
        ):
            return 1
        parameters.write(session, name, keys[1])
    session.screen.say("The functions start afresh, so that the old key ends at once …")
    functions.restart(session)
    session.screen.result(
        {"keys": 1},
        [
            "Only the new key is valid now. If the alarm lead-intake-401 comes, an offer still has the old one:",
            "leads rotate intake-key --undo makes the old one valid again.",
        ],
    )
    return 0


def may_end(session, which, question):
    """Whether one of both keys may end, the old one or the new one. What waits in the queue with it must be stored
    first: redelivery asks for a valid key again.
    """
    counts = surely(session, queue_urls(session))
    if counts["LeadQueueUrl"]:
        raise Problem(
            f"{count(counts['LeadQueueUrl'], 'lead')} still in the queue, perhaps with the {which} key",
            "Wait until leads status says that the queue is empty.",
        )
    dead = counts["LeadDeadLetterQueueUrl"]
    about_dead = (
        f"{count(dead, 'lead')} in the dead-letter queue. Those that came while nobody knew the keys come back there"
        f" if they are sent back after the {which} key has ended. Go on?"
    )
    if dead and not session.screen.confirm(about_dead) or not session.screen.confirm(question):
        session.screen.result({"keys": 2}, ["Nothing was changed: both keys stay valid."])
        return False
    return True


def keys_before(session, name, keys):
    """The keys that were in the parameter before these, from SSM's own history of it; none where it knows none."""
    versions = session.aws.call(
        "ssm", "get-parameter-history", {"Name": name, "WithDecryption": True}, secret=True
    ).get("Parameters", [])
    for version in sorted(versions, key=lambda version: -version["Version"]):
        before = [key.strip() for key in version["Value"].split(",") if key.strip()]
        if before and before != keys:
            return before
    return []


def undo_intake(session, name, keys):
    """Goes one step back: the old key that was ended becomes valid again, or the new one of a rotation that is under
    way ends. The history of the parameter says which of both it is, and whether it was done already: done again after
    an interruption, it makes the functions start afresh and reverses nothing.
    """
    before = keys_before(session, name, keys)
    if len(keys) == 2 and before != keys[1:]:
        question = "Does every offer in Partner Center have the old address? Those with the new one lose leads then."
        if not may_end(session, "new", question):
            return 1
        parameters.write(session, name, keys[0])
        return taken_back(session)
    if len(keys) == 1 and before[:1] == keys:
        return taken_back(session)
    if len(keys) == 1:
        if not before:
            raise Problem("SSM knows no earlier key", "Begin anew: leads rotate intake-key")
        parameters.write(session, name, f"{before[0]},{keys[0]}")
    functions.restart(session)
    session.screen.result(
        {"keys": 2},
        [
            "Both keys are valid again, the old one and the new one. When every offer has the new address:",
            "leads rotate intake-key --finish",
        ],
    )
    return 0


def taken_back(session):
    functions.restart(session)
    session.screen.result(
        {"keys": 1},
        [
            "The rotation was taken back: only the old key is valid. If the alarm lead-intake-401 comes, an offer has",
            "the new address: give it the old one again, which leads setup prints.",
        ],
    )
    return 0


def rotate_storage(session):
    """Changes the functions to the account's other key; --finish renews the one of before."""
    if session.options.finish:
        return finish_storage(session)
    azure = session.answers.get("azure") or {}
    name = session.stack.parameters()["StorageConnectionStringParameter"]
    if not azure.get("group"):
        return replace_storage(session, name)
    before = parameters.read(session, name) or ""
    if before:
        refuse_another_account(session, before, azure["account"])
    rotation = session.answers.get("rotation") or {}
    keys = storage.keys(azure["group"], azure["account"])
    is_signed = bool(before) and storage.is_signature(before)
    used = rotation.get("renew") or used_key(before, azure["account"], keys)
    other = "key2" if used == "key1" else "key1"
    whole = storage.connection_string(azure["account"], keys[other], storage.suffix())
    # First what is to be renewed, so that an interruption here does not make the wrong key end.
    session.answers.save(rotation={"renew": used}, azure=dict(azure, key=other))
    parameters.write(
        session, name, storage.with_signature(whole, azure.get("signature_days", 365)) if is_signed else whole
    )
    functions.restart(session)
    session.screen.say(f"The functions use {other} now. Validation says:")
    ok = validated(session, ["storage", "table", "round-trip"])
    session.screen.result(
        {"connection_string": whole, "in_use": other, "ok": ok},
        [
            (
                "Put this connection string into Partner Center for every offer with an Azure table, validate and"
                " publish; it opens the"
            ),
            "whole account, so give it to nobody else:",
            f"  {whole}",
            f"{used} stays valid. When the test leads of all offers have come: leads rotate storage-key --finish",
        ],
    )
    return 0 if ok else 1


def refuse_another_account(session, text, account):
    """Fails where the functions use another storage account than the answers name: its keys are none of theirs."""
    used = storage.account_of(text)
    if used != account:
        raise Problem(
            f"the functions use the storage account {used}; {session.answers.path} is about {account}",
            "Give the connection string of the account that counts: leads setup --connection-string, with --signature"
            " if the functions have a signature.",
        )


def used_key(text, account, keys):
    """Which of the account's keys the functions use, as it is or in the signature that it made."""
    for name, key in keys.items():
        if storage.is_made_with(text, account, key):
            return name
    option = "signature" if storage.is_signature(text) else "connection-string"
    raise Problem(
        "the functions use a key that is none of the account's two", f"Give them a valid one: leads setup --{option}"
    )


def replace_storage(session, name):
    """Without `az`: takes the connection string with the other key from the operator."""
    whole = storage.in_order(session.screen.secret("The connection string with the account's other key"))
    before = parameters.read(session, name)
    is_signed = bool(before) and storage.is_signature(before)
    if before == whole:
        raise Problem(
            "this is the connection string that is in use already",
            "Copy the one with the other key: Azure portal, Access keys.",
        )
    days = (session.answers.get("azure") or {}).get("signature_days", 365)
    parameters.write(session, name, storage.with_signature(whole, days) if is_signed else whole)
    functions.restart(session)
    ok = validated(session, ["storage", "table", "round-trip"])
    if not ok and before:
        parameters.write(session, name, before)
        functions.restart(session)
        raise Problem(
            "it does not work, and the connection string of before is in place again", "See the report above."
        )
    session.screen.result(
        {"ok": ok},
        [
            "The functions use the new key. Put the same connection string into Partner Center for every offer with an",
            (
                "Azure table, validate and publish. Only when their test leads have come, renew the old key in the"
                " Azure portal."
            ),
        ],
    )
    return 0


def finish_storage(session):
    rotation, azure = session.answers.get("rotation") or {}, session.answers.get("azure") or {}
    if not rotation.get("renew") or not azure.get("group"):
        raise Problem("no rotation of the storage key is under way", UNKNOWN.format("storage-key"))
    old = rotation["renew"]
    name = session.stack.parameters()["StorageConnectionStringParameter"]
    text = parameters.read(session, name) or ""
    refuse_another_account(session, text, azure["account"])
    if used_key(text, azure["account"], storage.keys(azure["group"], azure["account"])) == old:
        raise Problem(f"the functions still use {old}", "Begin again: leads rotate storage-key")
    if not session.screen.confirm(
        f"{old} ends now, for good. Does every offer in Partner Center have the new connection string, and have their"
        " test leads come?"
    ):
        session.screen.result({"renewed": None}, ["Nothing was changed: both keys stay valid."])
        return 1
    storage.renew(azure["group"], azure["account"], old)
    session.answers.save(rotation=None)
    ok = validated(session, ["storage", "round-trip"])
    session.screen.result(
        {"renewed": old, "ok": ok}, [f"{old} was renewed: what had the old one cannot open the account any more."]
    )
    return 0 if ok else 1
