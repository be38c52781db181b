"""The configuration file of the SAM CLI, and settings of that form in the guide."""

import re
import shlex

from checks.housekeeping import value_fault
from checks.samconfig_values import environment_faults
from template import parsed

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

# The options of each command that may stand in the file, and the type of each value.
#
# <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html>
_OPTIONS = {
    "global": {"stack_name": str, "region": str, "profile": str},
    "build": {"cached": bool, "parallel": bool},
    "validate": {"lint": bool},
    "deploy": {
        "region": str,
        "profile": str,
        "capabilities": str,
        "confirm_changeset": bool,
        "disable_rollback": bool,
        "fail_on_empty_changeset": bool,
        "image_repositories": list,
        "parameter_overrides": str,
        "resolve_s3": bool,
        "s3_bucket": str,
        "s3_prefix": str,
        "tags": str,
    },
    "delete": {"region": str, "profile": str, "s3_prefix": str},
}


def samconfig(sources):
    """What is wrong with `infra/aws/samconfig.toml.example`."""
    # Who deploys has answers of his own in the file beside it.
    if "/infra/aws/samconfig.toml" not in sources.ignored:
        yield "git does not ignore samconfig.toml, which holds personal answers"
    try:
        configuration = tomllib.loads(sources.samconfig)
    except tomllib.TOMLDecodeError as error:
        yield f"no TOML: {error}"
        return
    if configuration.pop("version", None) != 0.1:
        yield "the version of its form is not 0.1"
    yield from faults(configuration, sources)
    for environment, commands in configuration.items():
        for command, section in commands.items():
            for option in sorted({"region", "profile", "parameter_overrides"} & set(section.get("parameters", {}))):
                yield f"{environment}.{command}: {option} is somebody's own answer"
    default = {command: section.get("parameters", {}) for command, section in configuration.get("default", {}).items()}
    for command, option, value, reason in [
        ("global", "stack_name", "leads", "the guides call the stack so"),
        ("build", "cached", False, "a cached build would miss a change in shared/"),
        ("build", "parallel", False, "Cargo lets one build at a time into its folder"),
        ("validate", "lint", True, "a template should be looked at before it is deployed"),
        ("deploy", "capabilities", "CAPABILITY_IAM", "the template makes roles"),
        ("deploy", "confirm_changeset", True, "nobody should deploy what nobody has seen"),
        ("deploy", "fail_on_empty_changeset", False, "a deployment that changes nothing is no failure"),
        ("deploy", "resolve_s3", True, "the packages need a bucket"),
        ("deploy", "tags", "application=marketplace-leads", "costs are told apart by this tag"),
    ]:
        if default.get(command, {}).get(option) != value:
            yield f"default.{command}: {option} is not {value!r}, although {reason}"
    prefix = default.get("deploy", {}).get("s3_prefix")
    if not prefix or default.get("delete", {}).get("s3_prefix") != prefix:
        yield "deploy and delete do not agree on the packages' prefix, s3_prefix"


def faults(configuration, sources):
    """What is wrong with sections of a configuration, whichever file they stand in."""
    parameters = parsed(sources.aws)["Parameters"]
    defaults = {name: parameter.get("Default") for name, parameter in parameters.items()}
    for environment, commands in configuration.items():
        yield from environment_faults(environment, commands, defaults)
        for command, section in commands.items():
            where = f"{environment}.{command}"
            if command not in _OPTIONS:
                yield f"{where}: this project uses no such command"
                continue
            if set(section) != {"parameters"}:
                yield f"{where}: the SAM CLI reads the table {where}.parameters alone"
            for option, value in section.get("parameters", {}).items():
                kind = _OPTIONS[command].get(option)
                if kind is None:
                    yield f"{where}: there is no option {option}"
                elif not isinstance(value, kind):
                    yield f"{where}: {option} is no {kind.__name__}"
                elif option == "parameter_overrides":
                    for finding in override_faults(value, parameters):
                        yield f"{where}: {finding}"
                elif option in ("stack_name", "s3_prefix") and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", value):
                    yield f"{where}: CloudFormation takes no stack called {value}"
                elif option == "region" and not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", value):
                    yield f"{where}: {value} is no region"


def override_faults(text, parameters):
    """What is wrong with values of parameters, written as `Name=value Name='another value'`."""
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals or name not in parameters:
            yield f"the template has no parameter {name}"
        elif fault := value_fault(parameters[name], value):
            yield f"{name}: {fault}"
