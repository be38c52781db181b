"""What setup looks at before it asks, and what it asks: each question once, with the answer of before or a default."""

import re
import shutil

from . import mail, storage, template
from .settings import pairs
from .words import Problem, listed

ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+\.[^@\s<>,;\"]+")
ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]*")
# Where AWS had no function URLs when it last listed such regions, and the beginnings of those of GovCloud and China.
#
# https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
# https://docs.aws.amazon.com/govcloud-us/latest/UserGuide/govcloud-lambda.html
WITHOUT_URLS = (
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-south-2",
    "eu-central-2",
    "il-central-1",
    "me-central-1",
    "us-gov-",
    "cn-",
)
DESTINATIONS = ("table", "https", "both")
# Intake and notifier reserve 21 instances; AWS lets nobody reserve the last 100.
RESERVED, LEFT = 21, 100
PREFIX = "/marketplace-leads"
# The first versions that know EventBridge Scheduler.
OLDEST = {1: (1, 27, 10), 2: (2, 8, 12)}


def facts(session):
    """What is there: the account, the CLI, SES, concurrency, the stack. Reads only."""
    version, found = session.aws.version(), {"warnings": []}
    if version < OLDEST.get(version[0], (1,)):
        old, new = (".".join(map(str, numbers)) for numbers in (version, OLDEST[version[0]]))
        raise Problem(f"the AWS CLI {old} is too old", f"Install {new} or newer: https://docs.aws.amazon.com/cli/")
    found["account"] = session.check_account()
    stack = session.stack.describe()
    found["is_new"] = stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS"
    found["parameters"] = {} if found["is_new"] else session.stack.parameters()
    found["has_urls"] = not session.region.startswith(WITHOUT_URLS)
    if found["is_new"] and not found["has_urls"]:
        found["warnings"].append(
            f"AWS has no function URLs in {session.region}: leads come by the Azure table alone, and leads export does"
            " not work. In another region both do."
        )
    try:
        lines, found["in_sandbox"] = mail.account(session)
        found["warnings"] += lines
    except Problem as problem:
        if problem.code != "Unreached":
            raise
        raise Problem(
            f"SES cannot be reached in {session.region}: AWS may not have it there", "Take another region: --region."
        )
    limit = session.aws.call("lambda", "get-account-settings").get("AccountLimit", {})
    found["can_reserve"] = limit.get("UnreservedConcurrentExecutions", 0) >= RESERVED + LEFT
    return found


def address(text):
    return None if ADDRESS.fullmatch(text) else "this is no mail address"


def addresses(text):
    parts = [part.strip() for part in text.split(";")]
    return (
        None
        if parts and all(ADDRESS.fullmatch(part) for part in parts)
        else "these are no mail addresses with semicolons between"
    )


def zone(text):
    return None if ZONE.fullmatch(text) else "this is no name of a time zone, such as Europe/Berlin"


def one_of(*words):
    return lambda text: None if text in words else f"say {' or '.join(words)}"


def values(session, release, known):
    """The stack's parameters: options, then answers of before, then what the stack has, then what is asked."""
    options, screen = session.options, session.screen
    declared = release.parameters()
    before = {**session.answers.get("parameters", {}), **known["parameters"]}
    given = {
        "MailFrom": options.mail_from,
        "MailTo": options.mail_to,
        "TimeZone": options.time_zone,
        "AlarmEmail": options.alarm_email,
        "Architecture": options.architecture,
    }
    given = {name: value for name, value in given.items() if value is not None}
    extra = pairs(options.set)
    unknown = [name for name in extra if name not in declared]
    if unknown:
        raise Problem(f"the release has no setting {listed(unknown)}", f"It has {listed(sorted(declared))}.")

    def asked(name, question, default, check):
        value = given.get(name) or extra.get(name)
        if value is not None:
            wrong = check(value)
            if wrong:
                raise Problem(f"{name}: {wrong}")
            return value
        return screen.ask(question, before.get(name) or default, check)

    found = {"MailFrom": asked("MailFrom", "Sender of the mails (an address of a domain of yours)", None, address)}
    found["MailTo"] = asked("MailTo", "Who gets the leads (several addresses with semicolons between)", None, addresses)
    found["TimeZone"] = asked("TimeZone", "Time zone of the times in the mails", "UTC", zone)
    # An empty answer means nobody; a hyphen is how an earlier one is taken back.
    alarm = given.get("AlarmEmail", extra.get("AlarmEmail"))
    if alarm is None:
        alarm = screen.ask(
            "Who gets the alarms (a hyphen: nobody)",
            before.get("AlarmEmail", found["MailTo"].split(";")[0].strip()) or "-",
            lambda text: None if text == "-" else address(text),
        )
    found["AlarmEmail"] = "" if alarm == "-" else alarm
    available = release.architectures()
    if not available:
        raise Problem(
            f"the release in {release.folder} does not have all functions for any architecture", "Download it again."
        )
    default = "x86_64" if "x86_64" in available else available[0]
    found["Architecture"] = asked("Architecture", "Processor of the functions", default, one_of(*available))
    if known["is_new"]:
        found["ReserveConcurrency"] = "true" if known["can_reserve"] else "false"
        if session.stack.name != "leads":
            folder = f"{PREFIX}-{session.stack.name}"
            found.update(
                StorageConnectionStringParameter=f"{folder}/storage-connection-string",
                IntakeKeysParameter=f"{folder}/intake-keys",
            )
            if "DestinationsPrefix" in declared:
                found["DestinationsPrefix"] = f"{folder}/destinations/"
    kept = {**session.answers.get("parameters", {}), **known["parameters"]}
    found.update({name: value for name, value in kept.items() if name in declared and name not in found})
    settle(session, declared, found)
    found.update(extra)
    refuse(declared, found)
    return found, declared


def destination(session, known, declared, values):
    """Which destination the offers have in Partner Center. Says in the values what of the stack is left out for it."""
    given = pairs(session.options.set)
    if known["is_new"]:
        # What is there already is not taken away here: an offer might send to it.
        for name in ("HttpsIntake", "HttpsExport"):
            if name in declared and name not in given and not known["has_urls"]:
                values[name] = "off"
    chosen = session.options.destination or session.screen.ask(
        "Which destination the offers have in Partner Center (table, https, both)",
        session.answers.get("destination") or ("table" if values.get("HttpsIntake") == "off" else "both"),
        one_of(*DESTINATIONS),
    )
    if "HttpsIntake" in declared and "HttpsIntake" not in given and (known["has_urls"] or not known["is_new"]):
        if chosen != "table":
            values["HttpsIntake"] = "on"
        elif known["is_new"]:
            values["HttpsIntake"] = "off"
    if chosen != "table" and values.get("HttpsIntake") == "off":
        raise Problem(
            "an HTTPS endpoint is wanted, and HttpsIntake is off",
            "Say --destination table, take another region (--region), or say --set HttpsIntake=on.",
        )
    return chosen


def settle(session, declared, found):
    """Values of before that this release does not take become its defaults, and are named."""
    for name, default in template.settled(declared, found).items():
        if default is not None:
            session.screen.warn(f"This release does not take {name}={found[name]}: it becomes {default or 'empty'}.")
            found[name] = default


def refuse(declared, values):
    """Fails where a value is none that the template takes."""
    wrong = [name for name in template.settled(declared, values)]
    if wrong:
        raise Problem(
            f"the template does not take the value of {listed(wrong)}", "leads settings get says what each means."
        )


def account_of_storage(session, secret):
    """Where the storage account comes from: `az` makes it, its connection string is given, or what is there stays.
    `secret` is what the functions have now, or None.
    """
    options, screen = session.options, session.screen
    azure = dict(session.answers.get("azure") or {})
    if options.connection_string:
        return {"how": "given"}
    if options.azure_account is None and secret is not None:
        if not options.signature or not storage.is_signature(secret):
            return {**azure, "how": "kept"}
        # A signature is made of the account's key, which the signature of before does not tell.
        used = storage.account_of(secret)
        if azure.get("group") and used == azure["account"]:
            return {**azure, "how": "kept"}
        if azure.get("group"):
            screen.warn(
                f"The functions use the storage account {used}, and {session.answers.path} is about"
                f" {azure['account']}: give the connection string of {used}."
            )
        return {"how": "given"}
    if options.azure_account is None:
        # Azure may have refused what was answered before.
        can_make = azure.get("account") or screen.is_interactive()
        default = "az" if shutil.which("az") and can_make else "given"
        how = screen.ask(
            "The storage account: let az make it (az), or give the connection string of one (given)",
            default,
            one_of("az", "given"),
        )
        if how == "given":
            return {"how": "given"}
    wrong = one_of_account
    account = options.azure_account or screen.ask(
        "Name of the storage account (3 to 24 lower-case letters and digits, unique in Azure)",
        azure.get("account"),
        wrong,
    )
    if wrong(account):
        raise Problem(wrong(account))
    group = options.azure_group or screen.ask("Azure resource group", azure.get("group") or "marketplace-leads")
    location = options.azure_location or screen.ask("Azure region", azure.get("location") or "westeurope")
    subscription = storage.subscription()
    sku = options.azure_sku or azure.get("sku")
    return {
        **({"sku": sku} if sku else {}),
        "how": "az",
        "subscription": subscription,
        "account": account,
        "group": group,
        "location": location,
        "key": azure.get("key", "key1"),
    }


def one_of_account(text):
    return (
        None
        if storage.ACCOUNT.fullmatch(text)
        else "the name of a storage account is 3 to 24 lower-case letters and digits"
    )
