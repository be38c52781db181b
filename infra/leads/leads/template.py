"""What a template says of its parameters, as far as the command must know it: defaults, and which values are taken.

This reads the form in which the project's own template is written, not any YAML.
"""

import re

SECTION = re.compile(r"^Parameters:\n(.*?)^(?=\S)", re.M | re.S)


class Parameter:
    """One parameter. Its `default` is None where a value must be given."""

    def __init__(self):
        self.kind, self.default, self.allowed, self.pattern, self.least, self.most = (
            "String",
            None,
            None,
            None,
            None,
            None,
        )

    def takes(self, value):
        """Whether CloudFormation takes the value."""
        if self.allowed is not None and value not in self.allowed:
            return False
        if self.kind == "Number":
            if not re.fullmatch(r"-?\d+(\.\d+)?", value):
                return False
            number = float(value)
            return (self.least is None or number >= self.least) and (self.most is None or number <= self.most)
        return self.pattern is None or re.fullmatch(self.pattern, value) is not None


def scalar(text):
    """A plain or quoted value on one line."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def parameters(template):
    """The parameters of a template by their names."""
    found, current = {}, None
    section = SECTION.search(template)
    for line in section[1].splitlines() if section else []:
        name = re.fullmatch(r"  (\w+):", line)
        field = re.fullmatch(r"    (\w+): *(.*)", line)
        if name:
            current = found[name[1]] = Parameter()
        elif current and field:
            value = scalar(field[2])
            if field[1] == "Type":
                current.kind = value
            elif field[1] == "Default":
                current.default = value
            elif field[1] == "AllowedValues":
                current.allowed = [scalar(part) for part in field[2].strip("[] ").split(",")]
            elif field[1] == "AllowedPattern":
                current.pattern = value
            elif field[1] == "MinValue":
                current.least = float(value)
            elif field[1] == "MaxValue":
                current.most = float(value)
    return found


def settled(declared, values):
    """Which of these values the parameters do not take, with the default that takes their place (None: there is none)."""
    return {
        name: declared[name].default
        for name, value in values.items()
        if name in declared and not declared[name].takes(value)
    }
