"""lead-notifier in Python: finds new rows, notes their people, mails them in digests that are recorded before they are
sent. The same steps as the measured function; without its routes, sweep, quarantine and silence alert."""

import csv
import html
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from hashlib import sha256

import boto3
from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient, UpdateMode

FROM = os.environ["LEADS_MAIL_FROM"]
TO = os.environ["LEADS_MAIL_TO"].split(";")
SIZE = int(os.environ.get("LEADS_DIGEST_SIZE", "100"))
OVERLAP = timedelta(minutes=int(os.environ.get("LEADS_OVERLAP_MINUTES", "10")))
LOOKBACK = timedelta(minutes=int(os.environ.get("LEADS_FIRST_LOOKBACK_MINUTES", "60")))
COLUMNS = ["Received", "Name", "Email", "Phone", "Country", "Company", "Title", "Action", "Offer", "Description", "History"]

SERVICE = TableServiceClient.from_connection_string(os.environ["LEADS_STORAGE_CONNECTION_STRING"])
LEADS = SERVICE.get_table_client(os.environ.get("LEADS_TABLE", "MarketplaceLeads"))
STATE = SERVICE.get_table_client(os.environ.get("LEADS_STATE_TABLE", "MarketplaceLeadsState"))
MAIL = boto3.client("sesv2")
POOL = ThreadPoolExecutor(16)


def read(partition, key):
    try:
        return STATE.get_entity(partition, key)
    except ResourceNotFoundError:
        return None


class Checkpoint:
    """Everything that is remembered between runs. Each write is an atomic batch on the version that was read."""

    def __init__(self):
        self.row = read("notifier", "checkpoint")
        self.etag = self.row.metadata["etag"] if self.row else None
        self.row = dict(self.row or {"PartitionKey": "notifier", "RowKey": "checkpoint", "Pending": "[]"})

    def commit(self, *operations):
        if self.etag:
            own = ("update", self.row, {"mode": UpdateMode.REPLACE, "etag": self.etag,
                                        "match_condition": MatchConditions.IfNotModified})
        else:
            own = ("create", self.row)
        self.etag = STATE.submit_transaction([own, *operations])[0]["etag"]


def new_rows(since, now, known):
    day = (since - timedelta(days=1)).date()
    while day <= (now + timedelta(days=1)).date():
        rows = LEADS.query_entities(
            "PartitionKey eq @day and Timestamp ge @since",
            parameters={"day": f"{day.month}:2F{day.day}:2F{day.year}", "since": since}, results_per_page=500)
        for row in rows:
            if (row["PartitionKey"], row["RowKey"]) not in known:
                yield row
        day += timedelta(days=1)


def chunks(rows):
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == SIZE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def lead(row):
    try:
        customer = json.loads(row.get("CustomerInfo") or "{}")
    except ValueError:
        customer = {}
    email = str(customer.get("Email") or "").strip()
    return {
        "keys": [row["PartitionKey"], row["RowKey"]],
        "person": sha256(email.lower().encode()).hexdigest() if email else None,
        "Received": row.get("ReceivedTime") or row.get("CreatedTime") or "",
        "Name": f"{customer.get('FirstName') or ''} {customer.get('LastName') or ''}".strip(),
        "Email": email,
        **{name: str(customer.get(name) or "") for name in ["Phone", "Country", "Company", "Title"]},
        "Action": row.get("ActionCode") or "",
        "Offer": row.get("OfferDisplayName") or "",
        "Description": row.get("Description") or "",
    }


def note(leads, now):
    """Adds what each person did before, and notes what they did now."""
    keys = sorted({lead["person"] for lead in leads if lead["person"]})
    people = {key: json.loads(row["Actions"]) if row else []
              for key, row in zip(keys, POOL.map(lambda key: read("contacts", key), keys))}
    for lead in leads:
        before = people.get(lead["person"], [])
        lead["History"] = "; ".join(f"{action} {offer}" for _, action, offer in before)
        if lead["person"]:
            people[lead["person"]] = [[now.isoformat(), lead["Action"], lead["Offer"]], *before][:50]
    rows = [("upsert", {"PartitionKey": "contacts", "RowKey": key, "Actions": json.dumps(actions)},
             {"mode": UpdateMode.REPLACE}) for key, actions in people.items()]
    for start in range(0, len(rows), 100):
        STATE.submit_transaction(rows[start:start + 100])


def cell(value):
    # A spreadsheet must not run what a stranger wrote.
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def render(leads):
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(lead[name])}</td>" for name in COLUMNS) + "</tr>" for lead in leads)
    text = "\n\n".join("\n".join(f"{name}: {lead[name]}" for name in COLUMNS if lead[name]) for lead in leads)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows([cell(lead[name]) for name in COLUMNS] for lead in leads)
    return f"<html><body><table><tr>{head}</tr>{rows}</table></body></html>", text, table.getvalue()


def send(leads):
    page, text, table = render(leads)
    utf8 = lambda data: {"Data": data, "Charset": "UTF-8"}
    answer = MAIL.send_email(
        FromEmailAddress=FROM, Destination={"ToAddresses": TO},
        Content={"Simple": {"Subject": utf8(f"{len(leads)} new leads"), "Body": {"Html": utf8(page), "Text": utf8(text)},
                            "Attachments": [{"FileName": "leads.csv", "ContentType": "text/csv",
                                             "RawContent": table.encode("utf-8-sig")}]}})
    return answer["MessageId"]


def handler(event, context):
    now = datetime.now(timezone.utc)
    checkpoint = Checkpoint()
    watermark = checkpoint.row.get("Watermark")
    since = watermark - OVERLAP if watermark else now - LOOKBACK
    checkpoint.row.update(LeaseOwner=context.aws_request_id, LeaseUntil=now + timedelta(minutes=16))
    checkpoint.commit()
    known = set()
    recorded = STATE.query_entities("PartitionKey eq 'notifier' and RowKey ge @first and RowKey lt 'digest.'",
                                    parameters={"first": f"digest-{since:%Y%m%dT%H%M%SZ}"})
    for digest in recorded:
        known.update(map(tuple, json.loads(digest["Leads"])))
    newest, count = watermark, 0
    for number, chunk in enumerate(chunks(new_rows(since, now, known))):
        newest = max([row.metadata["timestamp"] for row in chunk] + ([newest] if newest else []))
        leads = [lead(row) for row in chunk]
        note(leads, now)
        digest = {"PartitionKey": "notifier", "RowKey": f"digest-{now:%Y%m%dT%H%M%SZ}-{number:05}", "Status": "pending",
                  "Leads": json.dumps([lead["keys"] for lead in leads])}
        checkpoint.row["Pending"] = json.dumps([digest["RowKey"]])
        checkpoint.commit(("upsert", digest, {"mode": UpdateMode.REPLACE}))
        digest.update(Status="sent", MessageId=send(leads))
        checkpoint.row["Pending"] = "[]"
        checkpoint.commit(("upsert", digest, {"mode": UpdateMode.REPLACE}))
        count += len(leads)
    checkpoint.row.update(LeaseOwner="", Watermark=min(newest, now) if newest else now - timedelta(hours=24))
    checkpoint.commit(("create", {"PartitionKey": "notifier", "RowKey": f"run-{context.aws_request_id}", "Leads": count}))
    return {"outcome": "complete", "leads": count}
