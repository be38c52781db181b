"""What values in the SAM CLI's configuration do, beyond their types."""

import functools
import re

import botocore.session

# What nobody should set, and why.
_HARMFUL = {
    "disable_rollback": (True, "a deployment that fails would leave the stack as no version has it"),
    "confirm_changeset": (False, "nobody should deploy what nobody has seen"),
    "resolve_s3": (False, "the packages need a bucket"),
}


@functools.cache
def regions():
    """Every region with Lambda, of every partition."""
    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    return {region for partition in partitions for region in session.get_available_regions("lambda", partition)}


def environment_faults(environment, commands, defaults):
    """What is wrong with the values for one environment."""
    named = set()
    for command, section in commands.items():
        where, parameters = f"{environment}.{command}", section.get("parameters", {})
        region = parameters.get("region")
        if region is not None:
            named.add(region)
            if region not in regions():
                yield f"{where}: no region with Lambda is called {region}"
        for option, (value, reason) in _HARMFUL.items():
            if parameters.get(option) is value:
                yield f"{where}: {option} is {value}: {reason}"
        if "s3_bucket" in parameters and parameters.get("resolve_s3"):
            yield f"{where}: the SAM CLI takes s3_bucket or resolve_s3, not both"
        for tag in str(parameters.get("tags", "")).split():
            if tag.count("=") != 1 or tag.startswith(("=", "aws:")):
                yield f"{where}: {tag} is no tag"
    if len(named) > 1:
        yield f"{environment}: its commands are for several regions, {', '.join(sorted(named))}"
    if environment != "default" and "deploy" in commands:
        yield from _further(environment, commands, defaults)


def _further(environment, commands, defaults):
    """Beside the stack of the guides, another one has its own name and its own secrets."""
    deploy = commands["deploy"].get("parameters", {})
    if deploy.get("capabilities") != "CAPABILITY_IAM":
        yield f"{environment}.deploy: capabilities is not CAPABILITY_IAM, although the template makes roles"
    if not (deploy.get("resolve_s3") or deploy.get("s3_bucket")):
        yield f"{environment}.deploy: the packages need a bucket"
    if commands.get("global", {}).get("parameters", {}).get("stack_name", "leads") == "leads":
        yield f"{environment}: its stack has the name of the default's"
    for name in ("StorageConnectionStringParameter", "IntakeKeysParameter"):
        given = re.findall(rf"\b{name}=(\S+)", deploy.get("parameter_overrides", ""))
        if not given or given == [defaults[name]]:
            yield f"{environment}.deploy: {name} names the default's secret"
