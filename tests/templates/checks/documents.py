"""The documents: what they link to, how their English is spelt, and their commands.

A document is a Markdown file. Nothing is fetched: a link to another site is not followed."""

import re
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path

from markdown_it import MarkdownIt

from checks.commands.document import command_faults
from checks.guide import costs
from checks.payloads import payload_faults

_MARKDOWN = MarkdownIt("commonmark").enable("table")

# Words that are right although they look misspelt, and the documents that `typos` reads.
_TYPOS_CONFIGURATION = Path(__file__).resolve().parents[1] / "typos.toml"

# Each translated document, and the one that it translates.
_TRANSLATIONS = {"docs/zh-Hans/README.md": "README.md", "docs/zh-Hans/guide.md": "infra/README.md"}

# Whose commands other checks look at: the guide by hand, and the operations guide with the examples in it.
_CHECKED_ELSEWHERE = {"infra/by-hand.md", "docs/operations.md"}


def links(sources):
    """Links to files that are not there, and to headings that a document does not have."""
    anchors = {path: set(_anchors(text)) for path, text in sources.documents.items()}
    for path, text in sources.documents.items():
        for target in _targets(text):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            file, _, anchor = target.partition("#")
            linked = (sources.root / path).parent / file if file else sources.root / path
            name = _relative(linked, sources.root)
            if name is None:
                yield f"{path}: {target} leads out of the repository"
            elif not linked.exists():
                yield f"{path}: {target}: there is no such file"
            elif anchor and anchor not in anchors.get(name, ()):
                yield f"{path}: {target}: there is no such heading"


def commands(sources):
    """Commands that no shell can read, or that name what does not exist."""
    for path, text in sources.documents.items():
        if path not in _CHECKED_ELSEWHERE:
            examples = re.findall(r"\bnotifier '(\{[^']*\})'", text)
            of_examples = (payload_faults("lead-notifier", example, sources) for example in examples)
            for fault in chain(command_faults(text, sources), *of_examples):
                yield f"{path}: {fault}"


def translations(sources):
    """Translated documents that have other headings, pictures or commands than the ones that they translate."""
    for path, original in _TRANSLATIONS.items():
        if not {path, original} <= set(sources.documents):
            continue
        shapes = [_shape(sources.documents[name]) for name in (path, original)]
        for what in shapes[0]:
            if shapes[0][what] != shapes[1][what]:
                yield f"{path}: its {what} are not those of {original}"


def own(sources):
    """What our own checks find in the documents."""
    yield from links(sources)
    yield from commands(sources)
    yield from translations(sources)
    yield from costs(sources)


def spelling(sources):
    """Words that `typos` takes for misspelt."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in sources.documents.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        program = Path(sys.executable).with_name("typos")
        command = [program, "--config", _TYPOS_CONFIGURATION, "--format", "brief", "--hidden", "."]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ended.returncode not in (0, 2) or ended.stderr:
        yield f"typos fails: {ended.stderr.strip()}"
    for line in ended.stdout.splitlines():
        yield line.removeprefix("./").replace("`", "")


def _relative(path, root):
    """A path below the root as the documents are named, or None where it leads out."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return None


def _tokens(text):
    """The tokens of a document, those inside of lines too."""
    for token in _MARKDOWN.parse(text):
        yield token
        yield from token.children or ()


def _targets(text):
    """Where the links and pictures of a document lead."""
    for token in _tokens(text):
        if token.type == "link_open":
            yield token.attrs["href"]
        elif token.type == "image":
            yield token.attrs["src"]
        elif token.type in ("html_inline", "html_block"):
            yield from re.findall(r'\b(?:src|href|srcset)="([^"]*)"', token.content)


def _anchors(text):
    """The anchors that GitHub gives to the headings of a document."""
    taken = {}
    tokens = _MARKDOWN.parse(text)
    for opening, heading in zip(tokens, tokens[1:]):
        if opening.type != "heading_open":
            continue
        words = "".join(part.content for part in heading.children if part.type in ("text", "code_inline"))
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = taken.get(anchor, 0)
        taken[anchor] = count + 1
        yield f"{anchor}-{count}" if count else anchor


def _shape(text):
    """What a document and its translation have in common."""
    tokens = list(_tokens(text))
    return {
        "headings": [token.tag for token in tokens if token.type == "heading_open"],
        "pictures": sum(token.type == "image" for token in tokens),
        "commands": [re.sub(r" +# .*", "", token.content) for token in tokens if token.type == "fence"],
        "promises": re.findall(r"`((?:test_)?[a-z]+(?:_[a-z]+){3,})`", text),
    }
