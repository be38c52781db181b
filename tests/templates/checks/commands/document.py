"""Whether the commands of a document can be run as they stand, and do what they are for."""

import json
import re

from checks.commands import aws, bodies, own, programs
from checks.commands.names import Names
from checks.commands.shells import JUDGED, OTHERS, calls

# What the functions run on.
_TARGETS = ("aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu")

# A command in a sentence, outside of code, and its options; what stands between the options is not looked at.
_IN_PROSE = re.compile(
    r"(?<![`\w-])(aws|az)((?: [a-z][a-z0-9-]*)+)((?:(?! \| |[.;,)] )[^`\n])*? --[a-z](?:(?! \| |[.;,)] )[^`\n])*)"
)


def command_faults(text, sources):
    """What is wrong with the commands of a document, each once."""
    yield from dict.fromkeys(_faults(text, sources))


def _faults(text, sources):
    made, faults = calls(text)
    yield from faults
    names = Names(sources)
    written = {call.arguments[-1] for call in made if call.arguments[:2] == ("lambda", "invoke")}
    of_az = []
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
            of_az += [asked] if call.program == "az" else []
            if not asked.faults:
                yield from getattr(names, call.program)(asked)
        elif call.program == "leads":
            yield from own.leads_faults(call.arguments, is_mention, names.parameters)
        elif call.program == "cargo":
            yield from own.cargo_faults(list(call.arguments))
        elif call.program == "curl":
            yield from bodies.curl_faults(call.arguments)
        elif call.program == "jq":
            yield from bodies.jq_faults(call.arguments, written)
        elif (known := OTHERS.get(call.program)) and (call.arguments or ("",))[0] not in known:
            yield f"{call.program} {' '.join(call.arguments[:1])}: no document needs this"
        elif call.program == "openssl" and call.arguments[:2] != ("rand", "-hex") and "whsec_" not in call.part.text:
            yield f"openssl {' '.join(call.arguments)}: a key of intake has letters, digits and - _ . ~ alone"
        elif call.program == "rustup" and call.arguments[-1] not in _TARGETS:
            yield f"rustup: the functions are not built for {call.arguments[-1]}"
    yield from names.all_az(of_az)
    yield from _prose_faults(text)
    yield from _json_faults(text, names)


def _json_faults(text, names):
    """What is wrong with the JSON of a document: an array is routes."""
    for block in re.findall(r"^ *```json\n(.*?)^ *```", text, re.M | re.S):
        try:
            value = json.loads(block)
        except ValueError as error:
            yield f"no JSON: {error}\n{block}"
            continue
        if isinstance(value, list):
            yield from bodies.routes_faults(block, names.parameters)


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
