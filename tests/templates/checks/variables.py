"""The environment variables of the functions: those that the code reads, with the code's defaults, and no secret."""

from checks.housekeeping import value_fault
from checks.view import function_of
from template import Resolved

# The variables whose value is a resource. All others are parameters of the same name.
_RESOURCES = {
    "LEADS_MAIL_CONFIGURATION_SET": "MailConfigurationSet",
    "LEADS_QUEUE_URL": "LeadQueue",
    "LEADS_DEAD_LETTER_QUEUE_URL": "LeadDeadLetterQueue",
    "LEADS_INTAKE_URL": "LeadIntakeUrl.FunctionUrlleads",
}


def environment(view):
    """Every function gets the variables that it reads and no others. Secrets are named, never given."""
    variables = view.facts["variables"]
    secrets = {name.removesuffix("_PARAMETER") for name in variables if name.endswith("_PARAMETER")}
    for name, function in view.functions.items():
        short = function_of(name)
        set_here = set(function.get("Environment", {}).get("Variables", {}))
        read = {variable for variable, described in variables.items() if short in described["functions"]}
        for variable in sorted(set_here - read):
            yield f"{name}: sets {variable}, which {short} does not read"
        for variable in sorted(read - set_here - secrets):
            yield f"{name}: does not set {variable}, which {short} reads"
        for variable in sorted(set_here & secrets):
            yield f"{name}: {variable} would hold a secret"
        for variable, value in function.get("Environment", {}).get("Variables", {}).items():
            default = variables.get(variable, {}).get("default")
            if default is not None and str(value) != default:
                yield f"{name}: {variable} is {value} by default, {default} in the code"
    yield from _values(view)
    yield from _limits(view)
    yield from _texts(view)


def _limits(view):
    """A parameter takes the numbers and the texts that the code takes: a function with any other one does not start."""
    for name, variable in view.facts["variables"].items():
        parameter = view.template["Parameters"].get(variable["parameter"], {})
        if variable["parameter"] is None:
            continue
        texts = [str(text) for text in parameter.get("AllowedValues", [])]
        if variable["texts"] and sorted(texts) != sorted(variable["texts"]) and "AllowedPattern" not in parameter:
            yield f"{variable['parameter']}: takes {texts}, and {name} takes {variable['texts']}"
        if variable["range"] and not texts:
            least, most = parameter.get("MinValue"), parameter.get("MaxValue")
            if least is None or most is None or least < variable["range"][0] or most > variable["range"][1]:
                yield f"{variable['parameter']}: takes {least} to {most}, and {name} takes {variable['range']}"


def _texts(view):
    """A parameter takes what the functions take, and refuses what they refuse."""
    for name, variable in view.facts["variables"].items():
        parameter = view.template["Parameters"].get(variable["parameter"], {})
        for text, is_right in variable.get("tried", {}).items():
            is_taken = value_fault(parameter, text) is None
            # Whether there is a zone of a name, the function alone knows.
            if is_taken != is_right and not (is_taken and name == "LEADS_TIME_ZONE"):
                what = "takes" if is_taken else "refuses"
                yield f"{variable['parameter']}: {what} {text!r}, which is {'right' if is_right else 'wrong'} for {name}"


def _values(view):
    """Each variable has the value of the parameter of its name: `LEADS_MAIL_FROM` that of `MailFrom`."""
    marked = {name: f"value of {name}" for name in view.template["Parameters"]}
    # With everything that can be left out.
    marked.update(HttpsIntake="on", HttpsExport="on")
    for parameters in (marked, {**marked, "OperatorEmail": ""}):
        for name, function in Resolved(view.template, parameters).resources("AWS::Lambda::Function"):
            for variable, value in function["Properties"].get("Environment", {}).get("Variables", {}).items():
                parameter = variable.removeprefix("LEADS_").title().replace("_", "")
                if variable == "LEADS_OPERATOR":
                    parameter = "OperatorEmail" if parameters["OperatorEmail"] else "AlarmEmail"
                expected = _RESOURCES.get(variable, parameters.get(parameter))
                if value != expected:
                    yield f"{name}: {variable} is {value}, not {expected}"
