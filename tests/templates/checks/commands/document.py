"""Whether the commands of a document can be run as they stand, and do what they are for."""

import json
import re

from checks.commands import aws, own, programs
from checks.commands.names import Names
from checks.commands.shells import JUDGED, OTHERS, calls

# A command in a sentence, outside of code, and its options; what stands between the options is not looked at.
_IN_PROSE = re.compile(
    r"(?<![`\w-])(aws|az)((?: [a-z][a-z0-9-]*)+)((?:(?! \| |[.;,)] )[^`\n])*? --[a-z](?:(?! \| |[.;,)] )[^`\n])*)"
)


def command_faults(text, sources):
    """What is wrong with the commands of a document."""
    made, faults = calls(text)
    yield from faults
    names = Names(sources)
    for call in made:
        is_mention = not call.part.is_block
        if call.program == "aws":
            request = aws.read(call.arguments, is_mention)
            yield from request.faults
            if not request.faults:
                yield from names.aws(request)
        elif call.program in ("az", "sam"):
            asked = programs.read(call.program, call.arguments, is_mention)
            yield from asked.faults
            if not asked.faults:
                yield from getattr(names, call.program)(asked)
        elif call.program == "leads":
            yield from own.leads_faults(call.arguments, is_mention, names.parameters)
        elif call.program == "cargo":
            yield from own.cargo_faults(list(call.arguments))
        else:
            yield from _other_faults(call)
    yield from _prose_faults(text)


def _other_faults(call):
    known, (first, *_) = OTHERS.get(call.program), (*call.arguments, "")
    if known is not None and first not in known:
        yield f"{call.program} {first}: no document needs this"
    if call.program == "curl" and "--json" in call.arguments:
        body = call.arguments[call.arguments.index("--json") + 1]
        try:
            json.loads(body)
        except ValueError as error:
            yield f"curl --json: {error}: {body}"


def _prose_faults(text):
    """Options that do not exist, of commands that stand in a sentence without being marked as code."""
    for program, words, rest in _IN_PROSE.findall(re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S)):
        options = [word for word in re.findall(r"(?<= )--[a-z][a-z-]*", rest) if word != "--cli-binary-format"]
        if program == "aws":
            try:
                _, known = aws.command(words.split(), True)
            except LookupError as error:
                yield str(error)
                continue
        else:
            asked = programs.read("az", words.split(), True)
            yield from asked.faults
            known = set() if asked.faults else programs.options_of("az", asked.command)
            options = [] if asked.faults else options
        yield from (f"{program}{words}: there is no option {option}" for option in options if option not in known)
