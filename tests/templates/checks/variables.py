"""The environment variables of the functions: those that the code reads, with the code's defaults, and no secret."""

from checks.view import function_of


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
