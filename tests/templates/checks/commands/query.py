"""JMESPath expressions (`--query`) against the shape of what they are asked of: each name in them has to be a member, and
each word that is compared with an enumeration one of its values."""

from dataclasses import dataclass

import jmespath
from jmespath.functions import Functions


class Unfit(Exception):
    """What does not fit."""


@dataclass
class _List:
    """What a projection gives: a list of such members."""

    member: object
    type_name = "list"


# What is not known further, such as the answer of a function.
_ANYTHING = None


def few(names):
    """Some of many names, in words."""
    return ", ".join(list(names)[:12]) + (", …" if len(names) > 12 else "")


def query_faults(expression, shape):
    """Why an expression does not fit a shape: a botocore shape, or an example of the JSON."""
    try:
        _Walk().visit(jmespath.compile(expression).parsed, shape)
    except jmespath.exceptions.ParseError as error:
        yield f"--query: {expression} is no JMESPath: {str(error).splitlines()[0]}"
    except Unfit as unfit:
        yield f"--query: {expression}: {unfit}"


def _kind(shape):
    if isinstance(shape, dict):
        return "structure"
    if isinstance(shape, list):
        return "list"
    return getattr(shape, "type_name", "string")


def _member(shape):
    return shape[0] if isinstance(shape, list) else shape.member


class _Walk:
    """Goes through an expression, and gives the shape of each part of it."""

    def visit(self, node, shape):
        return getattr(self, f"_{node['type']}", self._other)(node, shape)

    def _other(self, node, shape):
        for child in node["children"]:
            self.visit(child, shape)
        return _ANYTHING

    def _field(self, node, shape):
        name = node["value"]
        if shape is _ANYTHING:
            return _ANYTHING
        if _kind(shape) == "map":
            keys = getattr(shape.key, "enum", None)
            if keys and name not in keys:
                raise Unfit(f"there is no {name}, only {few(keys)}")
            return shape.value
        if _kind(shape) != "structure":
            raise Unfit(f"{name} is asked of a {_kind(shape)}")
        members = shape if isinstance(shape, dict) else shape.members
        if name not in members:
            raise Unfit(f"there is no {name}, only {few(sorted(members))}")
        return members[name]

    def _chain(self, node, shape):
        for child in node["children"]:
            shape = self.visit(child, shape)
        return shape

    _subexpression = _index_expression = _pipe = _chain

    def _current(self, node, shape):
        return shape

    _identity = _current

    def _of_list(self, shape):
        if shape is _ANYTHING:
            return _ANYTHING
        if _kind(shape) != "list":
            raise Unfit(f"an element is asked of a {_kind(shape)}")
        return _member(shape)

    def _index(self, node, shape):
        return self._of_list(shape)

    def _slice(self, node, shape):
        return _List(self._of_list(shape))

    def _projection(self, node, shape):
        left, right = node["children"]
        return _List(self.visit(right, self._of_list(self.visit(left, shape))))

    def _filter_projection(self, node, shape):
        left, right, condition = node["children"]
        member = self._of_list(self.visit(left, shape))
        self.visit(condition, member)
        return _List(self.visit(right, member))

    def _flatten(self, node, shape):
        member = self._of_list(self.visit(node["children"][0], shape))
        return member if member is not _ANYTHING and _kind(member) == "list" else _List(member)

    def _value_projection(self, node, shape):
        self.visit(node["children"][0], shape)
        return _ANYTHING

    def _comparator(self, node, shape):
        sides = [self.visit(child, shape) for child in node["children"]]
        for side, other in zip(sides, reversed(node["children"])):
            values = getattr(side, "enum", None)
            if values and other["type"] == "literal" and other["value"] not in values:
                raise Unfit(f"{other['value']} is not one of {few(values)}")
        return _ANYTHING

    def _function_expression(self, node, shape):
        known = Functions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            raise Unfit(f"there is no function {node['value']}")
        wanted, given = known["signature"], len(node["children"])
        if given != len(wanted) and not (wanted and wanted[-1].get("variadic") and given >= len(wanted)):
            raise Unfit(f"{node['value']} takes {len(wanted)} values")
        sides = [self.visit(child, shape) for child in node["children"]]
        values, part = getattr(sides[0], "enum", None) if sides else None, node["children"][-1].get("value")
        holds = {"starts_with": str.startswith, "ends_with": str.endswith, "contains": str.__contains__}.get(
            node["value"]
        )
        if values and holds and isinstance(part, str) and not any(holds(value, part) for value in values):
            raise Unfit(f"{part} is in none of {few(values)}")
        return _ANYTHING
