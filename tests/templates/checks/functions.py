"""The functions: their packages, runtime, memory, time, concurrency, and who may invoke them."""

import math

from checks.view import function_of
from template import Resolved


def functions(view):
    """Every function is deployed from its own package, with a runtime, memory and time that Lambda takes."""
    names = sorted(properties["FunctionName"] for properties in view.functions.values())
    if names != sorted(f"leads-{name}" for name in view.facts["functions"]):
        yield f"the functions are {names}"
    for name, resource in view.raw["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        code = resource["Properties"].get("CodeUri", "")
        manifest = view.sources.root / "infra/aws" / code / "Cargo.toml"
        if not manifest.is_file() or f'name = "{function_of(name)}"' not in manifest.read_text("utf-8"):
            yield f"{name}: CodeUri {code} is not the package {function_of(name)}"
        if resource.get("Metadata", {}).get("BuildMethod") != "rust-cargolambda":
            yield f"{name}: sam build needs BuildMethod rust-cargolambda"
    for name, function in view.functions.items():
        for key, value in [("Runtime", "provided.al2023"), ("Handler", "bootstrap"), ("Architectures", ["x86_64"])]:
            if function.get(key) != value:
                yield f"{name}: {key} is {function.get(key)}, not {value}"
        if not 128 <= function.get("MemorySize", 0) <= 10240 or not 1 <= function.get("Timeout", 0) <= 900:
            yield f"{name}: memory or time-out is not set, or out of Lambda's range"
    other = Resolved(view.template, {"Architecture": "arm64"})
    for name, function in other.resources("AWS::Lambda::Function"):
        if function["Properties"].get("Architectures") != ["arm64"]:
            yield f"{name}: the parameter Architecture does not reach it"
    longest = int(view.template["Parameters"]["IntakeBudgetMs"].get("MaxValue", math.inf))
    if longest >= view.functions["LeadIntake"]["Timeout"] * 1000:
        yield "LeadIntake: the longest budget does not fit into the time-out"


def concurrency(view):
    """The notifier runs once at a time and intake is capped, where the account can reserve concurrency."""
    reserved = {n: f.get("ReservedConcurrentExecutions") for n, f in view.functions.items()}
    if reserved["LeadNotifier"] != 1:
        yield f"LeadNotifier: reserved concurrency is {reserved['LeadNotifier']}, not 1"
    if not str(reserved["LeadIntake"]).isdigit():
        yield "LeadIntake: not capped"
    for name, function in Resolved(view.template, {"ReserveConcurrency": "false"}).resources("AWS::Lambda::Function"):
        if "ReservedConcurrentExecutions" in function["Properties"]:
            yield f"{name}: still reserves concurrency where ReserveConcurrency is false"


def asynchronous_invocation(view):
    """A run of the notifier that fails is tried again, and kept if it still fails."""
    configured = {c["FunctionName"]: c for c in view.of("AWS::Lambda::EventInvokeConfig").values()}
    if configured.get("LeadNotifier", {}).get("MaximumRetryAttempts") != 2:
        yield "LeadNotifier: failed runs are not tried again"
    # A failed run is tried again after one and two minutes more, each of which may take the whole time-out.
    needed = 3 * view.functions["LeadNotifier"]["Timeout"] + 180
    if configured.get("LeadNotifier", {}).get("MaximumEventAgeInSeconds", 21600) < needed:
        yield f"LeadNotifier: failed runs are forgotten before the third try, which may come after {needed} s"
    dead_letters = view.functions["LeadNotifier"].get("DeadLetterConfig", {}).get("TargetArn", "")
    if not dead_letters.endswith(":NotifierDeadLetterQueue"):
        yield "LeadNotifier: failed runs are not kept"


def urls(view):
    """Intake is open to everybody, because Microsoft cannot sign requests. Export is open to signed requests alone."""
    for url in view.of("AWS::Lambda::Url").values():
        if "Cors" in url:
            yield f"{url['TargetFunctionArn']}: pages of other sites may call it"
    urls = {u["TargetFunctionArn"]: (u["AuthType"], u.get("InvokeMode")) for u in view.of("AWS::Lambda::Url").values()}
    expected = {"LeadIntake": ("NONE", "BUFFERED"), "LeadExport": ("AWS_IAM", "RESPONSE_STREAM")}
    if urls != expected:
        yield f"the function URLs are {urls}"
    public = sorted(
        (p["FunctionName"], p["Action"], p.get("FunctionUrlAuthType"), p.get("InvokedViaFunctionUrl"))
        for p in view.of("AWS::Lambda::Permission").values()
    )
    if public != [
        ("LeadIntake", "lambda:InvokeFunction", None, True),
        ("LeadIntake", "lambda:InvokeFunctionUrl", "NONE", None),
    ]:
        yield f"the permissions to invoke are {public}"
