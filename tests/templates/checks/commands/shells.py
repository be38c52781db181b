"""The commands of a document, as shells read them.

Every block of a document and every command within its lines is run, in their order, by each of dash, bash and zsh that is here.
No program is run: a function of the shell stands for each and writes down its arguments. So quotes, variables,
loops and functions count as they do for the person who pastes the block. What such a function prints has a space in it, so that
a variable without quotes is seen. bash runs with `failglob`, by which it refuses what zsh refuses: brackets, asterisks
and question marks without quotes that match no file."""

import collections
import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark").enable("table")

# The programs whose commands are looked at, also within a line.
JUDGED = ("aws", "az", "cargo", "leads", "sam")

# The other programs that documents may call, with the first words that they may be given; None where any will do.
OTHERS = {
    ".ci/run": {""},
    "curl": None,
    "dig": None,
    "git": {"pull", "tag"},
    "jq": None,
    "notifier": None,
    "openssl": {"rand"},
    "pip": {"install"},
    "python": None,
    "python3": None,
    "rm": None,
    "rustup": {"target"},
}

# Programs that do nothing outside of the folder that they are run in.
_REAL = ("cat", "cp", "mkdir", "tr")

# What a reader has set before, and folders that are there.
_SET = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_SESSION_TOKEN": "token",
    "EXPORT_URL": "https://example.com/leads",
}
_FOLDERS = ("infra/aws", "target/release-artifacts", ".ci")

# What the functions print. `az deployment group show` gives a command, which is run.
_PRINTED = "echo some thing"

# Each program is a function, which takes a tenth of the time of a process.
_STUBS = f"""
_stub() {{
  printf '%s\\036' "$PART" "$@" >> "$RECORD"
  printf '\\035' >> "$RECORD"
  if [ "${{2-}} ${{3-}}" = "lambda invoke" ]; then
    for _last in "$@"; do :; done
    case $_last in /*) ;; *) echo '{{}}' > "$_last" ;; esac
  fi
  echo {_PRINTED}
}}
# The day is never the same. Let it be one.
date() {{ echo 2026-11-01T00:00:00Z; }}
""" + "".join(f'{name}() {{ _stub {name} "$@"; }}\n' for name in (*JUDGED, *OTHERS) if "/" not in name)

_SHELLS = {"dash": [], "bash": ["-O", "failglob"], "zsh": []}


@dataclass(frozen=True)
class Part:
    """A block of a document, or a command within a line of it."""

    text: str
    is_block: bool


@dataclass(frozen=True)
class Call:
    """One command with its arguments. `file://name` stands there as the content of the file, if there is one."""

    program: str
    arguments: tuple
    part: Part


def parts(text):
    """The blocks for a shell and the commands within lines, in their order."""
    for token in _MARKDOWN.parse(text):
        if token.type == "fence" and token.info == "sh" or _is_indented_command(token):
            yield Part(_filled(token.content), True)
        elif token.type == "fence" and not token.info:
            # A command with what it answers. One example shows how a mistake is answered.
            for command, answer in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", token.content, re.M):
                if "errorMessage" not in answer:
                    yield Part(_filled(command), True)
        for inner in token.children or ():
            words = rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(JUDGED)}) \S"
            # In a cell of a table a bar stands with a backslash before it.
            content = inner.content.replace("\\|", "|")
            if inner.type == "code_inline" and re.match(words, content) and "…" not in content:
                yield Part(_filled(content), False)


def _is_indented_command(token):
    return token.type == "code_block" and re.match(rf"(?:{'|'.join(JUDGED)}) ", token.content)


def _filled(text):
    """A text with a word for each placeholder such as `<address>`, which a shell would read as a redirection."""
    return re.sub(r"<(\w+)[\w -]*(?<! )>", r"\1", text)


@functools.lru_cache(maxsize=256)
def calls(text):
    """The calls of a document, those of the last shell, and what is wrong with its blocks."""
    of_document = list(parts(text))
    if not of_document:
        return [], []
    # zsh takes a colon and a letter after a name for a modifier, and `:l` would make small letters.
    faults = [
        f"{name} is cut by zsh: write it with braces" for name in re.findall(r"\$[A-Za-z_]\w*:[a-z]", _all(of_document))
    ]
    seen = {}
    for shell, options in _SHELLS.items():
        if shutil.which(shell):
            seen[shell], found = _run(of_document, shell, options)
            faults += found
    (first, made), *others = seen.items()
    for other, made_there in others:
        # In a pipe it is left open which program starts first.
        unlike = collections.Counter(made) - collections.Counter(made_there)
        if unlike and not faults:
            call = next(iter(unlike))
            faults.append(f"{other} reads other arguments than {first}: {call.program} {' '.join(call.arguments)}")
    return max(seen.values(), key=len), faults


def _all(of_document):
    return "\n".join(part.text for part in of_document)


def _run(of_document, shell, options):
    """The calls that a shell makes, and why it cannot read or run a block."""
    with tempfile.TemporaryDirectory(prefix="documents-") as folder:
        home, programs = Path(folder, "home"), Path(folder, "programs")
        for path in (programs, *(home / below for below in _FOLDERS)):
            path.mkdir(parents=True)
        for name in (name for name in OTHERS if "/" in name):
            (home / name).write_text(f'#!/bin/sh\n{_STUBS}_stub {name} "$@"\n', "utf-8")
            (home / name).chmod(0o755)
        for name in _REAL:
            (programs / name).symlink_to(shutil.which(name))
        record, main = Path(folder, "record"), [_STUBS, "set -eu"]
        record.touch()
        for number, part in enumerate(of_document):
            Path(folder, f"{number}.sh").write_text(part.text + "\n", "utf-8")
            main.append(f"cd; export PART={number}; . '{folder}/{number}.sh'")
        environment = {"PATH": str(programs), "HOME": str(home), "RECORD": str(record), **_SET}
        ran = subprocess.run(
            [shutil.which(shell), *options, "-c", "\n".join(main)],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        made = []
        for line in record.read_text("utf-8").split("\x1d")[:-1]:
            number, program, *arguments = line.split("\x1e")[:-1]
            taken = tuple(_inlined(argument, home) for argument in arguments)
            made.append(Call(program, taken, of_document[int(number)]))
        faults = []
        if ran.returncode or ran.stderr.strip():
            said = ran.stderr.replace(f"{folder}/", "").strip() or f"it ends with {ran.returncode}"
            faults.append(f"{shell} cannot run the blocks as they stand: {said}")
        return made, faults


def _inlined(argument, home):
    """An argument, with the content of a file in place of its name where a block has written that file."""
    scheme, mark, name = argument.partition("://")
    if mark and scheme in ("file", "fileb") and (home / name).is_file():
        return (home / name).read_text("utf-8")
    return argument.replace(str(home), "~")
