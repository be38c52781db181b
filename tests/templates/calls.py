"""The AWS actions that each function calls, read from its code.

A function's `main.rs` names its use cases, modules of `shared/`; calls of an SDK stand in a few modules that offer them
under names of their own. A function calls an action where its own code, or a use case that it names, calls the name."""

import re

import parliament

# The prefix of an SDK's actions.
_SERVICES = {"aws_sdk_sesv2": "ses", "aws_sdk_sqs": "sqs", "aws_sdk_ssm": "ssm"}
# Requests for several at once need the permission for one.
_BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage"}
_FILE = "//// "


def read(root):
    """The code of functions and library, without tests, as one text with a line before each file that names it."""
    files = sorted([*root.glob("functions/*/src/**/*.rs"), *root.glob("shared/src/**/*.rs")])
    return "".join(
        f"{_FILE}{file.relative_to(root).as_posix()}\n{file.read_text('utf-8').split('#[cfg(test)]')[0]}"
        for file in files
        if file.name != "tests.rs"
    )


class UnreadableCode(Exception):
    """Code that does not hold to what this module relies on."""


def called(code):
    """The actions that each function calls, such as `{"lead-export": {"ssm:GetParameters"}}`."""
    files = dict(part.split("\n", 1) for part in re.split(rf"^{re.escape(_FILE)}", code, flags=re.M) if part)
    modules, functions = {}, {}
    for path, text in files.items():
        if path.startswith("shared/src/"):
            parts = path.removeprefix("shared/src/").removesuffix(".rs").removesuffix("/mod").split("/")
            modules["::".join(parts)] = text
        else:
            name = path.split("/")[1]
            functions[name] = functions.get(name, "") + text
            if "aws_sdk_" in text:
                raise UnreadableCode(f"{path} calls an SDK, which only modules of shared/ do")
    offered = [(module, *offer) for module, text in modules.items() for offer in _offered(module, text)]
    actions, unused = {}, {(module, name) for module, name, _, _ in offered}
    for function, main in functions.items():
        use_cases = set()
        for module in _named(main, modules):
            use_cases |= _with_private(module, modules)
        callers = [(main, _named(main, modules))]
        callers += [(modules[module], _named(modules[module], modules)) for module in sorted(use_cases)]
        reached = set().union(*(names for _, names in callers))
        actions[function] = set()
        for module, name, pattern, done in offered:
            family = {module, module.rpartition("::")[0]} - {""}
            if module in reached and any(names & family and re.search(pattern, text) for text, names in callers):
                actions[function] |= done
                unused.discard((module, name))
    if unused:
        raise UnreadableCode(f"no function or use case calls {sorted(unused)}")
    return actions


def _offered(module, text):
    """For each name under which a module offers calls: name, pattern of its use, and actions."""
    sdks = set(re.findall(r"\baws_sdk_\w+", text))
    if sdks - set(_SERVICES):
        raise UnreadableCode(f"{module} calls {sorted(sdks - set(_SERVICES))}")
    known = {
        (prefix, privilege["privilege"])
        for service in parliament.iam_definition
        if (prefix := service["prefix"]) in {_SERVICES[sdk] for sdk in sdks}
        for privilege in service["privileges"]
    }
    heads = list(re.finditer(r"^ *(pub(?:\([^)]*\))? )?(?:async )?fn (\w+)(?:<[^(]*>)?\(([^)]*)\)", text, re.M))

    def around(position):
        return [head for head in heads if head.start() <= position][-1]

    def use(head):
        arguments = re.sub(r"^\s*&?(mut )?self\s*,?", "", head[3]).strip()
        return rf"\b{head[2]}\(\s*[^)\s]" if arguments else rf"\b{head[2]}\(\s*\)"

    def outermost(head):
        """The name that other modules call: a private function's callers are in the same module."""
        if not head[1]:
            for mention in re.finditer(use(head), text):
                if around(mention.start()) is not head:
                    return outermost(around(mention.start()))
        return head

    offers = {}
    for call in re.finditer(r"\.(\w+)\(\)", text):
        action = "".join(word.capitalize() for word in call[1].split("_"))
        action = _BATCHES.get(action, action)
        done = {f"{prefix}:{action}" for prefix, privilege in known if privilege == action}
        if done:
            head = outermost(around(call.start()))
            offers.setdefault((head[2], use(head)), set()).update(done)
    if sdks and not offers and "Client" in text:
        raise UnreadableCode(f"{module} has an SDK's client and no call")
    return [(name, pattern, done) for (name, pattern), done in offers.items()]


def _named(text, modules):
    """The modules that a text names."""
    found = set()
    path = r"\b(?:marketplace_leads|crate)::((?:\w+::)*)(?:(\w+)|\{((?:[^{}]|\{[^{}]*\})*)\})"
    for prefix, leaf, leaves in re.findall(path, text):
        for name in [leaf] if leaf else re.findall(r"\w+", leaves):
            parts = [*prefix.split("::")[:-1], name]
            found |= {"::".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return found & set(modules)


def _with_private(module, modules):
    """A module and the modules inside it that no other can name."""
    found = {module}
    for name in re.findall(r"^mod (\w+);", modules[module], re.M):
        if f"{module}::{name}" in modules:
            found |= _with_private(f"{module}::{name}", modules)
    return found
