"""Judges messages as their receivers do, from a file that the tests write: exits with 1 and says which are wrong.

Each message of the file says whether it is to be taken (`good`). One that is not must be refused, so that the judges are
known to be awake.
"""

import importlib.util
import json
import pathlib
import sys

from jsonschema import Draft6Validator, Draft202012Validator
from slack_sdk.models.blocks import Block
from standardwebhooks.webhooks import Webhook


def strict(schema):
    """The schema of the events, under which a field that is not documented is a mistake."""
    if isinstance(schema, dict):
        closed = {"additionalProperties": False} if "required" in schema and "oneOf" not in schema else {}
        return {**{name: strict(value) for name, value in schema.items()}, **closed}
    if isinstance(schema, list):
        return [strict(value) for value in schema]
    return schema


def adaptive_card_schema():
    folder = pathlib.Path(importlib.util.find_spec("adaptive_cards").origin).parent
    return json.loads((folder / "schemas/schema-1.5.json").read_text(encoding="utf-8"))


def main(path, schema_path):
    schema = strict(json.loads(pathlib.Path(schema_path).read_text(encoding="utf-8")))
    Draft202012Validator.check_schema(schema)
    events = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    cards = Draft6Validator(adaptive_card_schema())

    def event(message):
        for key in message["keys"]:
            Webhook(key).verify(message["body"], message["headers"])
        events.validate(json.loads(message["body"]))

    def card(message):
        body = json.loads(message["body"])
        assert set(body) == {"type", "summary", "attachments"} and body["type"] == "message"
        for attachment in body["attachments"]:
            assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
            content = attachment["content"]
            assert content.pop("msteams") == {"width": "Full"}
            cards.validate(content)

    def slack(message):
        blocks = json.loads(message["body"])["blocks"]
        parsed = Block.parse_all(blocks)
        assert len(parsed) == len(blocks) <= 50
        for block, given in zip(parsed, blocks):
            block.validate_json()
            assert block.to_dict() == given, "the library reads a block otherwise than it was meant"

    judges = {"webhook": event, "teams": card, "slack": slack}
    wrong = []
    for message in json.loads(pathlib.Path(path).read_text(encoding="utf-8")):
        try:
            judges[message["kind"]](message)
            problem = None
        except Exception as error:  # Whatever a judge says against a message is what is asked for.
            problem = f"{type(error).__name__}: {str(error)[:400]}"
        if message["good"] != (problem is None):
            wrong.append(f"{message['name']} ({message['kind']}): {problem or 'was taken'}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
