"""The expressions of an ARM template, computed as Azure Resource Manager does: those functions that this template needs.

<https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions>"""

import re

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\w+)\(|\.(\w+)|([(),]))")

GROUP = "/subscriptions/id/resourceGroups/group"


class Unknown(Exception):
    """An expression that cannot be computed."""


class Expressions:
    """Computes the expressions of a template with these values for its parameters."""

    suffix = "core.windows.net"

    def __init__(self, template, **given):
        self.parameters = {
            name: given.get(name, parameter.get("defaultValue")) for name, parameter in template["parameters"].items()
        }

    def value(self, node):
        """A part of the template with every expression in it computed."""
        if isinstance(node, dict):
            return {name: self.value(inner) for name, inner in node.items()}
        if isinstance(node, list):
            return [self.value(inner) for inner in node]
        if isinstance(node, str) and node.startswith("[") and node.endswith("]"):
            tokens = self._tokens(node[1:-1])
            value = self._expression(tokens)
            if tokens:
                raise Unknown(f"{node}: something follows its end")
            return value
        return node

    @staticmethod
    def _tokens(text):
        tokens, at = [], 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise Unknown(f"{text}: cannot be read from {text[at:]}")
            tokens.append(found.groups())
            at = found.end()
        return tokens

    def _expression(self, tokens):
        if not tokens:
            raise Unknown("an expression ends too early")
        text, function, _, _ = tokens.pop(0)
        if text is not None:
            value = text.replace("''", "'")
        elif function is not None:
            value = self._call(function, tokens)
        else:
            raise Unknown("an expression begins with neither a text nor a function")
        while tokens and tokens[0][2] is not None:
            member = tokens.pop(0)[2]
            if not isinstance(value, dict) or member not in value:
                raise Unknown(f"nothing has a member {member}")
            value = value[member]
        return value

    def _call(self, function, tokens):
        values = []
        while tokens and tokens[0][3] != ")":
            values.append(self._expression(tokens))
            if tokens and tokens[0][3] == ",":
                tokens.pop(0)
        if not tokens:
            raise Unknown("a parenthesis is missing")
        tokens.pop(0)
        try:
            return getattr(self, f"_{function}")(*values)
        except (AttributeError, TypeError, LookupError) as error:
            raise Unknown(f"{function}({', '.join(map(str, values))}): {error}") from error

    def _parameters(self, name):
        value = self.parameters[name]
        # A default may be an expression.
        return self.value(value)

    def _format(self, text, *values):
        return re.sub(r"\{(\d+)\}", lambda found: str(values[int(found[1])]), text)

    def _resourceId(self, kind, *names):
        provider, *kinds = kind.split("/")
        if len(kinds) != len(names):
            raise LookupError(f"{len(kinds)} names are needed")
        return f"{GROUP}/providers/{provider}/" + "/".join(f"{one}/{name}" for one, name in zip(kinds, names))

    def _not(self, value):
        return not value

    def _empty(self, value):
        return len(value) == 0

    def _resourceGroup(self):
        return {"name": "group", "location": "westeurope", "id": GROUP}

    def _environment(self):
        return {"suffixes": {"storage": self.suffix}}

    def _reference(self, resource, version):
        kinds = ("blob", "dfs", "file", "queue", "table", "web")
        return {"primaryEndpoints": {kind: f"{kind} of {resource}" for kind in kinds}}


def resource_id(resource):
    """The id of a resource whose name is computed already."""
    provider, *kinds = resource["type"].split("/")
    names = resource["name"].split("/")
    if len(kinds) != len(names):
        raise Unknown(f"{resource['type']}: {resource['name']} has not as many parts as the type")
    return f"{GROUP}/providers/{provider}/" + "/".join(f"{one}/{name}" for one, name in zip(kinds, names))
