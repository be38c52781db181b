"""The guide in both languages: what it shows of `leads setup` is what the command prints, and every block of it runs in
every POSIX shell that is there, with command lines that `leads` takes.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import unittest

import test_setup_and_life as life
from support import HERE, PARAMETERS, CommandTest, described, function, subscribed
from test_changing import KEYS, PUT, STORAGE, missing, parameter

from leads import arguments, words  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
GUIDES = ("infra/README.md", "docs/zh-Hans/guide.md")
# Documents whose blocks and inline commands are looked at beside the guides'.
OTHERS = ("README.md", "docs/zh-Hans/README.md", "docs/faq.md", "docs/settings.md", "docs/from-power-automate.md")
KEY = "the-intake-key"
ACCOUNT_KEY = "the/account/key+"
REPORT = """\
ok       settings                0 ms  1 recipient; mails in en, times in Europe/Berlin; 1 intake key of 48
                                         characters; a run every 60 seconds, reading 10 minutes back
warning  connection-string       0 ms  an account key opens all of the account;
                                         contosoleads.table.core.windows.net in Azure's public cloud; Partner
                                         Center takes it
                                       → Let Partner Center alone have the key, and the functions a shared
                                         access signature: …
 …

9 of 11 checks are ok; with a warning: connection-string, notifier"""
# What is asked, in order, and what a person types.
TYPED = ["leads@contoso.com", "sales@contoso.com", "Europe/Berlin", "", "", "", "contosoleads", "", "", "both", "y"]


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def blocks(text, language):
    for indent, body in re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.M | re.S):
        yield re.sub(f"^{indent}", "", body, flags=re.M)


class Transcript(life.ReleaseTest):
    def test_the_guide_shows_what_setup_asks_and_says(self):
        screen, typed = [], iter(TYPED)

        def read(_, prompt):
            answer = next(typed)
            screen.append(f"{prompt}{answer}".rstrip())
            return answer

        def say(_, line=""):
            screen.append(line)

        def result(_, value, lines=()):
            screen.extend(lines)

        for name, replaced in (("_read", read), ("say", say), ("warn", say), ("result", result)):
            patch = life.mock.patch.object(words.Screen, name, replaced)
            patch.start()
            self.addCleanup(patch.stop)
        azure = [
            {"call": "account show", "answer": {"name": "Contoso"}},
            {"call": "group create"},
            {"call": "deployment group create"},
            life.NO_ACCOUNT,
            {"call": "cloud show", "answer": {"suffixes": {"storageEndpoint": "core.windows.net"}}},
            {"call": "storage account keys list", "answer": [{"keyName": "key1", "value": ACCOUNT_KEY}]},
        ]
        secrets = [dict(missing(KEYS), times=1), parameter(KEYS, KEY), missing(STORAGE), PUT]
        report = {"ok": True, "summary": "all is well", "checks": [], "report": REPORT}
        # AWS has just mailed its link to the address that gets the alarms.
        deployed = described("CREATE_COMPLETE", dict(PARAMETERS, AlarmEmail="sales@contoso.com"))
        stacks = [dict(life.NO_STACK, times=2), dict(life.REVIEW, times=1)]
        stacks += [{"call": "cloudformation describe-stacks", "answer": deployed}]
        stacks += [subscribed("PendingConfirmation", "sales@contoso.com")]
        rules = [function("validation", report), *stacks, *azure, *secrets, *self.setup_rules(stored=False)]
        outcome = self.run_command("setup", "--release", "release", rules=rules, typed="")
        self.assertEqual((outcome.status, list(typed)), (0, []), outcome.err)
        shown = "\n".join(line.rstrip() for line in "\n".join(screen).split("\n"))
        for path in GUIDES:
            (found,) = blocks(text_of(path), "text")
            # The template of this test has two functions, and the release five.
            self.assertEqual(found.rstrip("\n"), shown.replace("2 functions", "5 functions"), path)


class Blocks(CommandTest):
    def test_every_block_of_the_guides_runs_in_every_shell_with_arguments_that_leads_takes(self):
        shells = [shell for shell in ("sh", "dash", "bash", "zsh") if shutil.which(shell, path=os.defpath)]
        self.assertGreaterEqual(len(shells), 2, "one shell is no comparison")
        recorder = f"#!{sys.executable} -IS\nimport json, os, sys\n" + (
            "with open(os.environ['RECORD'], 'a') as file:\n"
            "    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + '\\n')\n"
        )
        for name in ("leads", "cargo", "pip", "git"):
            self.write(f"programs/{name}", recorder)
            os.chmod(f"programs/{name}", 0o755)
        path = f"{self.folder}/programs:{os.defpath}"
        scripts = {}
        for guide in GUIDES:
            found = list(blocks(text_of(guide), "sh"))
            self.assertGreater(len(found), 8, guide)
            # What is pasted into zsh may hold no comment: it would be read as arguments.
            self.assertEqual([line for script in found for line in script.splitlines() if "#" in line], [], guide)
            scripts.update(dict.fromkeys(found, guide))
        for number, (script, guide) in enumerate(scripts.items()):
            calls = {shell: self.calls_of(script, shell, f"{number}-{shell}", path, guide) for shell in shells}
            for shell in shells:
                self.assertEqual(calls[shell], calls[shells[0]], f"{guide}: {shell} reads another line in:\n{script}")
            for program, *given in calls[shells[0]]:
                if program == "leads":
                    self.assert_taken(given, script)

    def calls_of(self, script, shell, name, path, guide):
        """Runs a block in a folder of its own, and gives the programs that it called with their arguments."""
        place = os.path.join(self.folder, name)
        os.makedirs(os.path.join(place, "target/release-artifacts"))
        record = os.path.join(place, "record")
        environment = {"PATH": path, "HOME": place, "RECORD": record}
        command = [shutil.which(shell, path=os.defpath), "-eu", "-c", script]
        with subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True) as running:
            _, err = running.communicate(timeout=60)
        self.assertEqual((running.returncode, err), (0, ""), f"{guide}, {shell}:\n{script}")
        with open(record, encoding="utf-8") as file:
            return [json.loads(line.replace(place, "~")) for line in file]

    def assert_taken(self, given, where):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                arguments.parser().parse_args(given)
        except SystemExit as ended:
            self.assertEqual(ended.code, 0, f"leads does not take {given} in:\n{where}")

    def test_leads_takes_every_command_that_a_document_names(self):
        count = 0
        for path in GUIDES + OTHERS:
            text = text_of(path)
            lines = re.sub(r"\\\n\s*", "", "".join(blocks(text, "sh"))).splitlines()
            lines = [line.strip() for line in lines if re.match(r"\s*leads ", line)]
            lines += re.findall(r"(?<!`)`(leads [^`]+)`", text)
            for line in lines:
                # A placeholder such as <channel> stands for one word.
                given = shlex.split(re.sub(r"<[\w ]+>", "word", line))
                if given[1:] and not given[-1].endswith("…"):
                    self.assert_begun(given[1:], path)
                    count += 1
        self.assertGreater(count, 30)

    def test_every_command_of_the_readme_is_run_by_the_tests_or_is_one_of_leads(self):
        # What `cargo bench` does is done in small by tests/bench/tests/quick.rs.
        run = text_of(".ci/run") + "cargo bench" * os.path.isfile(os.path.join(ROOT, "tests/bench/tests/quick.rs"))
        lines = "".join(blocks(text_of("README.md"), "sh")).splitlines()
        self.assertGreater(len(lines), 3)
        for line in lines:
            program, command = line.split()[:2]
            self.assertTrue(program == "leads" or f"{program} {command}" in run, line)

    def assert_begun(self, given, path):
        """A command in the middle of a sentence may lack what must follow it, but names nothing that does not exist."""
        where, at, parser = f"{path}: leads {' '.join(given)}", 0, arguments.parser()
        while at < len(given):
            below = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
            if given[at].startswith("--"):
                options = {name: action for action in parser._actions for name in action.option_strings}
                self.assertIn(given[at], options, where)
                at += 1 if options[given[at]].nargs == 0 else 2
            elif below:
                self.assertIn(given[at], below[0], where)
                parser, at = below[0][given[at]], at + 1
            else:
                at += 1


if __name__ == "__main__":
    unittest.main()
