"""The packed command, run as operators run it: one file, programs in PATH, standard input."""

import hashlib
import json
import os
import subprocess
import sys
import unittest

from support import DEPLOYED, REPORT, CommandTest, function
from test_changing import KEYS, PUT, STORAGE, missing, parameter
from test_setup_and_life import ACCOUNT, GIVEN, NO_STACK, TEMPLATE

import pack  # noqa: E402


class Packed(CommandTest):
    def run_packed(self, *arguments, rules=(), piped=""):
        """Exit status, output and errors of the packed file; `aws` is the stub as a program."""
        self.write("rules.json", json.dumps(list(rules) + DEPLOYED))
        command = [sys.executable, os.path.join(self.folder, "leads"), *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as running:
            out, err = running.communicate(piped, timeout=60)
        return running.returncode, out, err

    def test_the_packed_file_is_the_command_and_has_the_same_bytes_each_time(self):
        pack.pack("leads")
        pack.pack("again")
        with open("leads", "rb") as first, open("again", "rb") as second:
            data = first.read()
            self.assertEqual(data, second.read())
        self.assertTrue(data.startswith(b"#!/usr/bin/env python3\n"))
        self.assertTrue(os.access("leads", os.X_OK))
        self.assertEqual(self.run_packed("--help")[0], 0)
        self.assertEqual(self.run_packed("unknown")[0], 2)
        status, out, err = self.run_packed("--json", "validate", rules=[function("validation", REPORT)])
        self.assertEqual((status, json.loads(out)), (0, REPORT), err)

    def test_the_command_finds_its_release_from_any_folder_and_through_a_link(self):
        self.write("far/release/template.yaml", TEMPLATE)
        self.write("far/release/lead-intake-x86_64.zip", "intake")
        self.write("far/release/lead-notifier-x86_64.zip", "notifier")
        names = ["template.yaml", "lead-intake-x86_64.zip", "lead-notifier-x86_64.zip"]
        sums = ""
        for name in names:
            with open(f"far/release/{name}", "rb") as file:
                sums += f"{hashlib.sha256(file.read()).hexdigest()}  {name}\n"
        self.write("far/release/SHA256SUMS", sums)
        pack.pack("far/release/leads")
        os.symlink("far/release/leads", "link")
        os.makedirs("elsewhere")
        given = ["--yes", *GIVEN[3:], "--connection-string", "--dry-run", "--json"]
        for place, command in [
            (".", "far/release/leads"),
            ("elsewhere", "../link"),
            ("far/release", "./leads"),
            ("elsewhere", os.path.join(self.folder, "far/release/leads")),
        ]:
            self.write("rules.json", json.dumps([NO_STACK, missing(STORAGE), missing(KEYS), *ACCOUNT]))
            command = [sys.executable, command, "setup", *given]
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with subprocess.Popen(command, text=True, cwd=place, **pipes) as running:
                out, err = running.communicate(timeout=60)
            self.assertEqual(running.returncode, 0, err)
            self.assertIn("put the code of 2 functions (x86_64)", " ".join(json.loads(out)["steps"]), place)

    def test_a_secret_is_in_no_process_list(self):
        pack.pack("leads")
        status, out, err = self.run_packed("rotate", "intake-key", rules=[parameter(KEYS, "f" * 48), PUT])
        self.assertEqual(status, 0, err)
        with open("calls.jsonl", encoding="utf-8") as file:
            calls = [json.loads(line) for line in file]
        written = next(call["request"]["Value"] for call in calls if call["operation"] == "ssm put-parameter")
        self.assertTrue(all(mode == 0o600 for call in calls for mode in call["modes"]))
        for key in written.split(","):
            self.assertNotIn(key, json.dumps([call["arguments"] for call in calls]))


if __name__ == "__main__":
    unittest.main()
