"""lead-intake in Python: POST /leads?code=<key> on a function URL, one table insert."""

import base64
import hashlib
import hmac
import json
import os
import time
from datetime import datetime, timezone

from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableServiceClient

KEYS = [key.encode() for key in os.environ["LEADS_INTAKE_KEYS"].split(",")]
MAX_BODY_BYTES = 64 * 1024
CUSTOMER = ["FirstName", "LastName", "Email", "Phone", "Country", "Company", "Title"]

# Built once for the life of the environment, so that warm invocations keep the connection.
TABLE = TableServiceClient.from_connection_string(
    os.environ["LEADS_STORAGE_CONNECTION_STRING"], retry_total=2, connection_timeout=1, read_timeout=1.25
).get_table_client(os.environ.get("LEADS_TABLE", "MarketplaceLeads"))


def answer(status, content):
    kind = "application/json" if status < 400 else "application/problem+json"
    return {"statusCode": status, "headers": {"content-type": kind}, "body": json.dumps(content)}


def problem(status, title):
    return answer(status, {"type": "about:blank", "title": title, "status": status})


def fields(value):
    """An object's fields by their lower-case names: Microsoft's pages differ in casing."""
    return {name.lower(): value for name, value in value.items()} if isinstance(value, dict) else {}


def text(value):
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def row(body, now):
    lead = fields(json.loads(body))
    details = fields(lead.get("userdetails"))
    customer = {name: text(details.get(name.lower())) for name in CUSTOMER}
    columns = {
        "ActionCode": text(lead.get("actioncode")),
        "CustomerInfo": json.dumps(customer, ensure_ascii=False),
        "Description": text(lead.get("description")),
        "LeadSource": text(lead.get("leadsource")),
        "OfferDisplayName": text(lead.get("offertitle")),
    }
    identity = json.dumps(columns, sort_keys=True).encode()
    received = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "PartitionKey": f"{now.month}:2F{now.day}:2F{now.year}",
        "RowKey": hashlib.sha256(identity).hexdigest()[:32],
        "CreatedTime": received,
        "ReceivedTime": received,
        "Source": "https",
        **columns,
    }


def handle(event):
    if event.get("rawPath") != "/leads":
        return problem(404, "Not Found")
    if event["requestContext"]["http"]["method"] != "POST":
        return problem(405, "Method Not Allowed")
    code = (event.get("queryStringParameters") or {}).get("code", "").encode()
    if not any([hmac.compare_digest(code, key) for key in KEYS]):
        return problem(401, "Unauthorized")
    body = (event.get("body") or "").encode()
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body)
    if len(body) > MAX_BODY_BYTES:
        return problem(413, "Content Too Large")
    try:
        entity = row(body, datetime.now(timezone.utc))
    except ValueError:
        return problem(400, "Bad Request")
    try:
        TABLE.create_entity(entity)
        return answer(201, {"id": entity["RowKey"], "status": "stored"})
    except ResourceExistsError:
        return answer(200, {"id": entity["RowKey"], "status": "duplicate"})


def handler(event, context):
    started = time.perf_counter()
    response = handle(event)
    latency = (time.perf_counter() - started) * 1000
    print(json.dumps({"level": "INFO", "message": "answered", "status": response["statusCode"],
                      "request_id": context.aws_request_id}))
    print(json.dumps({
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [{
            "Namespace": "MarketplaceLeads", "Dimensions": [["Function"]],
            "Metrics": [{"Name": "IntakeLatency", "Unit": "Milliseconds"}]}]},
        "Function": "lead-intake", "IntakeLatency": latency}))
    return response
