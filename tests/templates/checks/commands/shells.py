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
    "dig": {"+short"},
    "git": {"pull", "tag"},
    "jq": None,
    "notifier": None,
    "openssl": {"rand"},
    "pip": {"install"},
    "python": None,
    "python3": None,
    "rm": None,
    "rustup": {"target"},
    "docs/images/regenerate.sh": None,
    "tests/mail-clients/check": {""},
}

# Programs that do nothing outside of the folder that they are run in.
_REAL = ("cat", "cp", "mkdir", "sed", "tr")

# What a reader has set before; what programs read of what a block sets; and folders that are there.
_SET = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_SESSION_TOKEN": "token",
    "EXPORT_URL": "https://example.com/leads",
}
_READ_BY_PROGRAMS = {"AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_REGION", "LEADS_TRUST", "PATH", "UPDATE_DOCS", "UPDATE_TABLES"}
_FOLDERS = ("infra/aws", "target/tools/bin", "target/release-artifacts", "tests/mail-clients", "docs/images", "release-new", ".ci")

# Files of the repository that programs copy or read.
_ROOT = Path(__file__).parents[4]
_FILES = ("infra/aws/samconfig.toml.example", "infra/aws/deploy-policy.json")

# What the functions print. `az deployment group show` gives a command, which is run.
PRINTED, PRINTED_SECOND = "some thing", "other thing"

# Each program is a function, which takes a tenth of the time of a process.
_STUBS = f"""
_stub() {{
  # The programs of a pipe write at the same time: each has a file of its own.
  printf '%s\\036' "$PART" "$@" >> "$RECORD/${{1##*/}}"
  printf '\\035' >> "$RECORD/${{1##*/}}"
  if [ "${{2-}} ${{3-}}" = "lambda invoke" ]; then
    for _last in "$@"; do :; done
    case $_last in /*) ;; *) echo '{{}}' > "$_last" ;; esac
  fi
  case $* in
    "az deployment group show "*) echo echo {PRINTED} ;;
    *"$OTHER"*) echo {PRINTED_SECOND} ;;
    *) echo {PRINTED} ;;
  esac
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
    """The calls of a document, and what is wrong with its blocks."""
    of_document = list(parts(text))
    blocks = "\n".join(part.text for part in of_document)
    faults = [f"{name} is set and never used" for name in _unused(of_document, text)]
    # zsh takes a colon and a letter after a name for a modifier, and `:l` would make small letters.
    faults += [f"{name} is cut by zsh: write it with braces" for name in re.findall(r"\$[A-Za-z_]\w*:[a-z]", blocks)]
    elsewhere = [f"a block writes to {path}" for path in re.findall(r">>?\s*(/(?!dev/null\b)\S+|~\S*)", blocks)]
    if elsewhere or not of_document:
        return [], faults + elsewhere  # It is not run.
    seen = {}
    for shell in filter(shutil.which, _SHELLS):
        seen[shell], found = _run(of_document, shell)
        faults += found
    (first, made), *others = seen.items()
    for other, made_there in others:
        # In a pipe it is left open which program starts first.
        unlike = collections.Counter(made) - collections.Counter(made_there)
        if unlike and not faults:
            call = next(iter(unlike))
            faults.append(f"{other} reads other arguments than {first}: {call.program} {' '.join(call.arguments)}")
    if re.search(r"\bcase \S+ in\n", blocks):
        # Twice more, so that the second key is the one in use, and the first one, and each branch is taken.
        for other in ("[0].value", "[1].value"):
            further, found = _run(of_document, first, other)
            made, faults = made + further, faults + found
    return made, faults


def _unused(of_document, text):
    """Variables that a block sets and that the document never reads."""
    blocks = "\n".join(part.text for part in of_document if part.is_block)
    set_ = re.findall(r"(?:^|[ ;)])(?:export )?([A-Z_]+)=", blocks, re.M)
    return sorted(name for name in set(set_) - _READ_BY_PROGRAMS if not re.search(rf"\$\{{?{name}\b", text))


def _run(of_document, shell, other="no argument at all"):
    """The calls that a shell makes, and why it cannot read or run a block. A program prints something else where it is
    asked with `other`."""
    with tempfile.TemporaryDirectory(prefix="documents-") as folder:
        home, programs = Path(folder, "home"), Path(folder, "programs")
        for path in (programs, *(home / below for below in _FOLDERS)):
            path.mkdir(parents=True)
        for name in _FILES:
            shutil.copy(_ROOT / name, home / name)
        for name in (name for name in OTHERS if "/" in name):
            (home / name).write_text(f'#!/bin/sh\n{_STUBS}_stub {name} "$@"\n', "utf-8")
            (home / name).chmod(0o755)
        for name in _REAL:
            (programs / name).symlink_to(shutil.which(name))
        record, main = Path(folder, "record"), [_STUBS, "set -eu"]
        record.mkdir()
        for number, part in enumerate(of_document):
            Path(folder, f"{number}.sh").write_text(part.text + "\n", "utf-8")
            main.append(f"cd; export PART={number}; . '{folder}/{number}.sh'")
        main.append(f"printf %s \"$PATH\" > '{folder}/path'")
        environment = {"PATH": str(programs), "HOME": str(home), "RECORD": str(record), "OTHER": other, **_SET}
        ran = subprocess.run(
            [shutil.which(shell), *_SHELLS[shell], "-c", "\n".join(main)],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        made = []
        for line in "".join(path.read_text("utf-8") for path in sorted(record.iterdir())).split("\x1d")[:-1]:
            number, program, *arguments = line.split("\x1e")[:-1]
            taken = tuple(_inlined(argument, home) for argument in arguments)
            made.append(Call(program, taken, of_document[int(number)]))
        faults = []
        if ran.returncode or ran.stderr.strip():
            said = ran.stderr.replace(f"{folder}/", "").strip() or f"it ends with {ran.returncode}"
            faults.append(f"{shell} cannot run the blocks as they stand: {said}")
        elif missing := [
            path for path in Path(folder, "path").read_text("utf-8").split(":") if not Path(path).is_dir()
        ]:
            faults.append(f"PATH names folders that are not there: {', '.join(missing)}")
        return made, faults


def _inlined(argument, home):
    """An argument, with the content of a file in place of its name where a block has written that file."""
    scheme, mark, name = argument.partition("://")
    if mark and scheme in ("file", "fileb") and (home / name).is_file():
        return (home / name).read_text("utf-8")
    return argument.replace(str(home), "~")
