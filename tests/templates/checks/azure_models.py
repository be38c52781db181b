"""The ARM template against the models of the official SDK."""

import enum
import json
import typing

from azure.mgmt.storage import models as storage_models

# The models of the resource types that the template may hold.
_ARM_MODELS = {
    "Microsoft.Storage/storageAccounts": storage_models.StorageAccountCreateParameters,
    "Microsoft.Storage/storageAccounts/tableServices": storage_models.TableServiceProperties,
    "Microsoft.Storage/storageAccounts/tableServices/tables": storage_models.Table,
}


# The properties of a resource that belong to the deployment and not to the model.
_ARM_ENVELOPE = {"type", "apiVersion", "name", "dependsOn", "condition", "scope", "location", "tags", "metadata"}


def _against_model(where, value, model):
    """Findings for a JSON value that does not fit a model of the SDK: names of properties and values of enums."""
    known = {f._rest_name: hint for f, hint in _fields(model)}
    for name, inner in value.items():
        if name not in known:
            yield f"{where}: {model.__name__} has no {name}"
            continue
        kinds = _kinds(known[name])
        enums = [k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)]
        models = [k for k in kinds if k not in enums and vars(storage_models).get(k.__name__) is k]
        if isinstance(inner, str) and inner.startswith("["):
            continue
        if enums and inner not in [member.value for e in enums for member in e]:
            yield f"{where}: {name} is {inner}, not one of {[member.value for e in enums for member in e]}"
        elif models and isinstance(inner, dict):
            yield from _against_model(f"{where}.{name}", inner, models[0])
        elif (
            models
            or (kinds == [bool] and not isinstance(inner, bool))
            or (kinds == [str] and not isinstance(inner, str))
        ):
            yield f"{where}: {name} is {json.dumps(inner)}"
    for f, hint in _fields(model):
        if type(None) not in typing.get_args(hint) and f._rest_name not in value and f._rest_name not in _ARM_ENVELOPE:
            yield f"{where}: {f._rest_name} is missing"


def _fields(model):
    """The fields of a model: their names in JSON and their types."""
    model({})  # The SDK fills in the table of fields when the first instance of a model is made.
    hints = {}
    for kind in reversed(model.__mro__):
        hints.update(getattr(kind, "__annotations__", {}))
    scope = {**vars(typing), "_models": storage_models, **vars(storage_models)}
    for attribute, rest in model._attr_to_rest_field.items():
        hint = hints[attribute]
        yield rest, eval(hint, scope) if isinstance(hint, str) else hint


def _kinds(hint):
    """The types that a value may have, `None` left out."""
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        return [getattr(storage_models, hint.rsplit(".", 1)[-1])]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Union:
        kinds = [k for a in arguments if a is not type(None) for k in _kinds(a)]
        # An open enum is `Union[str, Enum]`.
        return [k for k in kinds if k is not str] or kinds
    return [hint]


def arm_models(sources):
    """Whether the ARM template fits the models of the SDK."""
    try:
        template = json.loads(sources.azure)
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    for resource in template["resources"]:
        model = _ARM_MODELS.get(resource["type"])
        if model is None:
            if resource["type"] != "Microsoft.Insights/diagnosticSettings":
                yield f"{resource['type']}: not a type of this template"
            continue
        body = {k: v for k, v in resource.items() if k not in _ARM_ENVELOPE}
        yield from _against_model(resource["type"], body, model)
    for sku in template["parameters"]["sku"]["allowedValues"]:
        if sku not in [member.value for member in storage_models.SkuName]:
            yield f"sku: no {sku}"
