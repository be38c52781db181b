"""Parameters of SSM. Values of secrets are never printed, and in no error."""

from .words import Problem


def read(session, name):
    """A parameter's value, or None if there is none."""
    try:
        answer = session.aws.call("ssm", "get-parameter", {"Name": name, "WithDecryption": True}, secret=True)
    except Problem as problem:
        if problem.code == "ParameterNotFound":
            return None
        raise
    return answer["Parameter"]["Value"]


def write(session, name, value, kind="SecureString"):
    """Writes a value, whether the parameter exists or not."""
    request = {"Name": name, "Value": value, "Type": kind, "Overwrite": True}
    if len(value.encode()) > 4096:
        request["Tier"] = "Advanced"
    try:
        session.aws.call("ssm", "put-parameter", request, secret=True)
    except Problem as problem:
        if problem.code != "ValidationException" or "Tier" in request:
            raise
        # One that was longer once is an advanced parameter, and AWS does not let it become a standard one again.
        session.aws.call("ssm", "put-parameter", dict(request, Tier="Advanced"), secret=True)


def remove(session, names):
    """Deletes parameters; gives the names of those that there were."""
    return session.aws.call("ssm", "delete-parameters", {"Names": list(names)}).get("DeletedParameters", [])


def below(session, prefix):
    """Names of the parameters below a prefix, without their values."""
    request = {"ParameterFilters": [{"Key": "Name", "Option": "BeginsWith", "Values": [prefix]}]}
    found = session.aws.call("ssm", "describe-parameters", request)
    return sorted(parameter["Name"] for parameter in found.get("Parameters", []))
