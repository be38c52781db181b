"""lead-intake in Python: POST /leads?code=<key> on a function URL, one table insert."""

import base64
import hashlib
import hmac
import json
import os
import threading
import time
from datetime import datetime, timezone

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.data.tables import TableServiceClient

MAX_BODY_BYTES = 64 * 1024
CUSTOMER = ["FirstName", "LastName", "Email", "Phone", "Country", "Company", "Title"]

# Built once for the life of the environment, so that warm invocations keep the connection.
TRANSPORT = RequestsTransport(connection_timeout=1, read_timeout=1.25)


def secrets():
    """The connection string and the keys: from the environment, or with one request from SSM."""
    if "LEADS_STORAGE_CONNECTION_STRING_PARAMETER" not in os.environ:
        return os.environ["LEADS_STORAGE_CONNECTION_STRING"], os.environ["LEADS_INTAKE_KEYS"]
    import boto3

    names = [os.environ[f"LEADS_{name}_PARAMETER"] for name in ("STORAGE_CONNECTION_STRING", "INTAKE_KEYS")]
    found = boto3.client("ssm").get_parameters(Names=names, WithDecryption=True)["Parameters"]
    values = {parameter["Name"]: parameter["Value"] for parameter in found}
    return [values[name] for name in names]


def connect(endpoint):
    """Opens the connection to the table while SSM is asked."""
    try:
        TRANSPORT.send(HttpRequest("GET", endpoint))
    except AzureError:
        pass


def connected():
    """A client of the table, and the keys; the connection is open where it is known where the table is."""
    TRANSPORT.open()
    endpoint = os.environ.get("LEADS_STORAGE_ENDPOINT")
    connecting = endpoint and threading.Thread(target=connect, args=(endpoint,))
    if connecting:
        connecting.start()
    connection_string, keys = secrets()
    if connecting:
        connecting.join()
    service = TableServiceClient.from_connection_string(connection_string, transport=TRANSPORT, retry_total=2)
    return service.get_table_client(os.environ.get("LEADS_TABLE", "MarketplaceLeads")), keys


TABLE, TEXT = connected()
KEYS = [key.encode() for key in TEXT.split(",")]


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
