"""The parts that can be left out: with the parameter off, everything of the part is gone, and everything else is as before."""

import json
import re

from checks import dashboard
from checks.view import View

# The parameter of each part, and its function.
_PARTS = {"HttpsIntake": "LeadIntake", "HttpsExport": "LeadExport"}


def parts(view):
    """Each part is there by default, and can be left out alone or with the other one."""
    for off in [["HttpsIntake"], ["HttpsExport"], ["HttpsIntake", "HttpsExport"]]:
        where = f"with {' and '.join(off)} off"
        try:
            without = View(view.sources, {name: "off" for name in off})
            left = {**without.all, **{f"output {name}": value for name, value in without.aws.outputs()}}
        except KeyError as error:
            # CloudFormation would refuse to deploy it.
            yield f"{where}: {error.args[0]}"
            continue
        whole = {**view.all, **{f"output {name}": value for name, value in view.aws.outputs()}}
        functions = [_PARTS[name] for name in off]
        for name, resource in whole.items():
            is_of_it = name.startswith(tuple(functions)) or _mentions(resource, functions)
            # They watch everything, whatever there is.
            if name in ("LeadValidation", "Dashboard"):
                continue
            if name in left and is_of_it:
                yield f"{where}: {name} is still there"
            elif name not in left and not is_of_it:
                yield f"{where}: {name} is gone"
            elif name in left and left[name] != resource:
                yield f"{where}: {name} is another one"
        for name in sorted(set(left) - set(whole)):
            yield f"{where}: {name} is there then alone"
        for name, resource in left.items():
            if _mentions(resource, functions):
                yield f"{where}: {name} still looks at it"
        for finding in dashboard.widgets(without, set()):
            yield f"{where}: {finding}"
    urls = View(view.sources, dict.fromkeys(_PARTS, "off")).of("AWS::Lambda::Url")
    if urls:
        yield f"a region without function URLs would refuse {sorted(urls)}"


def _mentions(resource, functions):
    """Whether a resource refers to one of these functions, its URL, or something else that is named after it."""
    return re.search(rf"\b(?:{'|'.join(functions)})", json.dumps(resource)) is not None
