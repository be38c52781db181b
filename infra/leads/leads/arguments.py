"""The command line. No secret is an argument: secrets are asked for, or read from standard input."""

import argparse
import difflib
import re

from . import destinations, export, keys, life, looking, notifier, questions, routes, settings, setup, storage

EPILOG = """Answers are kept in .leads.json in this folder (--config names another file). Exit status: 0 all is well,
1 something is not, or the answer was no, 2 a wrong command line or a problem."""


class Parser(argparse.ArgumentParser):
    """Says which words there are where one is wrong, and which of them is near, alike in all versions of Python."""

    def error(self, message):
        wrong = re.search(r"invalid choice: '(?P<said>[^']*)'.*\(choose from (?P<known>.*)\)", message)
        if wrong:
            known = re.findall(r"[\w-]+", wrong["known"])
            near = difflib.get_close_matches(wrong["said"], known, 1, 0.7)
            meant = f"; did you mean {near[0]}?" if near else "."
            message = f"there is no {wrong['said']}{meant} There are: {', '.join(known)}"
        super().error(message)


def common(parser, is_main):
    """Options that may stand before or after the command."""
    kept = {} if is_main else {"default": argparse.SUPPRESS}
    group = parser.add_argument_group("everywhere")
    group.add_argument("--stack", metavar="NAME", help="the stack's name (leads)", **kept)
    group.add_argument("--region", help="the AWS region", **kept)
    group.add_argument("--profile", help="the AWS CLI's profile", **kept)
    group.add_argument("--config", metavar="FILE", help="the file of answers (.leads.json)", **kept)
    group.add_argument("--json", action="store_true", help="print the result as JSON", **kept)
    group.add_argument(
        "--yes", "-y", action="store_true", help="ask nothing: yes to all questions, defaults for the rest", **kept
    )


class Commands:
    """Subcommands below one parser."""

    def __init__(self, parser, title):
        self.below = parser.add_subparsers(title=title, metavar="<command>", required=True)

    def add(self, name, does, run=None):
        # A percent sign begins a format in argparse's own texts.
        parser = self.below.add_parser(name, help=does, description=does)
        common(parser, False)
        if run:
            parser.set_defaults(run=run)
        return parser


def parser():
    main = Parser(
        prog="leads", description="Sets up Marketplace Leads, looks at it, changes it and removes it.", epilog=EPILOG
    )
    common(main, True)
    commands = Commands(main, "commands")
    add_setup(commands.add("setup", "from nothing to the first mail; again: change what differs", setup.setup))
    add_looking(commands)
    add_notifier(commands)
    add_changing(commands)
    add_routes(commands)
    return main


def add_setup(it):
    it.add_argument("--release", metavar="FOLDER", help="the folder of the release")
    it.add_argument("--mail-from", metavar="ADDRESS", help="sender of the mails")
    it.add_argument("--mail-to", metavar="ADDRESSES", help="who gets the leads, with semicolons between")
    it.add_argument("--time-zone", metavar="NAME", help="for instance Europe/Berlin")
    it.add_argument("--alarm-email", metavar="ADDRESS", help="who gets the alarms; a hyphen for nobody")
    it.add_argument(
        "--destination", choices=questions.DESTINATIONS, help="which destination the offers have in Partner Center"
    )
    it.add_argument("--architecture", choices=("x86_64", "arm64"), help="processor of the functions")
    it.add_argument("--azure-account", metavar="NAME", help="let az make or check this storage account")
    it.add_argument("--azure-group", metavar="NAME", help="its resource group")
    it.add_argument("--azure-location", metavar="NAME", help="its region")
    it.add_argument(
        "--azure-sku",
        choices=storage.SKUS,
        help="its redundancy, for instance Standard_LRS where the region has no zones (Standard_ZRS)",
    )
    it.add_argument(
        "--connection-string", action="store_true", help="ask for a connection string, or read it from standard input"
    )
    it.add_argument(
        "--signature",
        action="store_true",
        help="give the functions a shared access signature instead of the account key",
    )
    it.add_argument("--signature-days", type=int, default=365, metavar="N", help="how long it is valid (365)")
    it.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting")
    it.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def add_looking(commands):
    commands.add("status", "the stack, its alarms, schedule, queues and last run", looking.status)
    it = commands.add("validate", "try every part for real, and say what to do", looking.validate)
    it.add_argument("--check", action="append", metavar="NAME", help="only this check and what it needs")
    it.add_argument("--create", action="store_true", help="create tables that are missing")
    it.add_argument("--leave", action="store_true", help="leave the test leads in the table")
    it.add_argument("--send", action="store_true", help="send a test lead to everybody")
    it = commands.add("reconcile", "compare Partner Center's list of leads with the table", looking.reconcile)
    it.add_argument("file", help="the list as a CSV file; - for standard input")
    it.add_argument("--dates", choices=("day-first", "month-first"), help="which number comes first in its dates")
    it.add_argument("--explain", action="store_true", help="say for each line how it was compared")
    it = commands.add("logs", "what a function logged", looking.logs)
    it.add_argument("function", nargs="?", choices=sorted(looking.NAMES), default="notifier")
    it.add_argument("--since", default="1h", metavar="TIME", help="30m, 2h, 1d, a day or a time (1h)")
    it.add_argument("--follow", "-f", action="store_true", help="go on with what is logged from now on")
    it = commands.add("export", "download the leads as a file", export.export)
    it.add_argument("--output", "-o", metavar="FILE", help="the file; - for standard output")
    it.add_argument("--format", choices=("csv", "ndjson", "json"))
    it.add_argument("--since", metavar="TIME", help="leads from this time or day on")
    it.add_argument("--until", metavar="TIME", help="leads before this time or day")
    it.add_argument("--offer", action="append", metavar="NAME", help="title or id of an offer; may be repeated")
    it.add_argument("--action", action="append", metavar="CODE", help="code of an action; may be repeated")
    it.add_argument("--include-tests", action="store_true", help="test leads, too")
    it.add_argument("--preset", choices=("hubspot", "salesforce", "dynamics365"))
    it.add_argument("--whole-table", action="store_true", help="read every row, whatever its key")


def add_notifier(commands):
    commands.add("run", "find and mail new leads now", notifier.run)
    it = commands.add("dry-run", "what a run would send", notifier.dry_run)
    it.add_argument("--full", action="store_true", help="with the mails' texts, which hold personal data")
    it = commands.add("history", "the last runs", notifier.history)
    it.add_argument("--last", type=int, metavar="N", help="how many (20)")
    commands.add("outbox", "what is still to be sent, and why", notifier.outbox)
    it = commands.add("retry", "try what is owed with the next run", notifier.retry)
    it.add_argument("channel", nargs="?", help="one channel, as outbox names it (all)")
    it = commands.add("discard", "give up what one channel owes", notifier.discard)
    it.add_argument("channel", help="the channel, as outbox names it")
    it = commands.add("test", "send a made-up digest by a route", notifier.test)
    it.add_argument("--to", required=True, metavar="ADDRESS", help="who gets it")
    it.add_argument("--route", metavar="ID", help="which route (that to MailTo)")
    commands.add("pause", "make runs do nothing", notifier.pause)
    commands.add("resume", "end the pause", notifier.resume)
    it = commands.add("backfill", "send the leads of a time again", notifier.backfill)
    it.add_argument("--since", required=True, metavar="TIME")
    it.add_argument("--until", required=True, metavar="TIME")
    it.add_argument("--to", metavar="ADDRESSES", help="only to these")
    it = commands.add("erase", "remove one person; the address is asked for", notifier.erase)
    it.add_argument("--confirm", action="store_true", help="do not ask before removing")


def add_changing(commands):
    rotate = Commands(commands.add("rotate", "change a key without losing a lead"), "keys")
    it = rotate.add("intake-key", "the key in the HTTPS endpoint's address", keys.rotate_intake)
    it.add_argument("--finish", action="store_true", help="end the old key")
    it.add_argument("--undo", action="store_true", help="go back to the old key, or make it valid again")
    it = rotate.add("storage-key", "the key of the storage account", keys.rotate_storage)
    it.add_argument("--finish", action="store_true", help="renew the old key")
    below = Commands(commands.add("settings", "show or change the stack's settings"), "settings")
    below.add("get", "all settings, or one", settings.get).add_argument("name", nargs="?")
    below.add("set", "change settings; all others stay", settings.change).add_argument(
        "values", nargs="+", metavar="NAME=VALUE"
    )
    it = commands.add("update", "bring the stack to another release", life.update)
    it.add_argument("--release", metavar="FOLDER", help="the folder of the release")
    it.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting that changes, too")
    commands.add("remove", "remove the stack and what belongs to it", life.remove)


def add_routes(commands):
    below = Commands(commands.add("route", "who gets the leads of which offers and actions"), "routes")
    it = below.add("add", "add or replace a route", routes.add)
    it.add_argument("--id", required=True, help="1 to 32 of a-z, 0-9 and hyphens")
    it.add_argument(
        "--to",
        required=True,
        action="append",
        metavar="RECEIVER",
        help="a mail address or a destination's name; may be repeated",
    )
    it.add_argument("--name", help="what people call it")
    it.add_argument("--offer", action="append", metavar="NAME", help="title or id; may be repeated (all)")
    it.add_argument("--action", action="append", metavar="CODE", help="may be repeated (all)")
    it.add_argument("--cadence", metavar="TEXT", help="for instance: daily at 08:00 on mon-fri")
    it.add_argument("--window", metavar="TEXT", help="for instance: 08:00-18:00 on mon-fri")
    it.add_argument("--zone", metavar="NAME", help="whose clock these mean")
    it.add_argument("--urgent-waits", action="store_true", help="urgent leads wait for the cadence, too")
    it.add_argument("--drop-do-not-contact", action="store_true", help="without leads that must not be contacted")
    it.add_argument(
        "--summary",
        nargs="?",
        const="weekly",
        metavar="TEXT",
        help="no leads, but once a week what the week brought; for instance: weekly on fri at 16:00 (weekly)",
    )
    below.add("list", "all routes", routes.show)
    below.add("remove", "remove a route", routes.remove).add_argument("id")
    below = Commands(commands.add("destination", "webhooks, Teams and Slack"), "destinations")
    it = below.add("add", "add or replace a destination; its address is asked for", destinations.add)
    it.add_argument("name", help="the name that routes use")
    it.add_argument("--kind", required=True, choices=("webhook", "teams", "slack"))
    it.add_argument("--header", metavar="NAME", help="a webhook's header, whose value is asked for")
    below.add("list", "all destinations", destinations.show)
    below.add("test", "send a test lead", destinations.test).add_argument("name", nargs="?")
    below.add("remove", "remove a destination", destinations.remove).add_argument("name")
