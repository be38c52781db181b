"""lead-export in Python: the rows as CSV. `awslambdaric` cannot stream an answer, so that the whole file is held."""

import csv
import io
import json
import os

from azure.data.tables import TableServiceClient

TABLE = TableServiceClient.from_connection_string(os.environ["LEADS_STORAGE_CONNECTION_STRING"]).get_table_client(
    os.environ.get("LEADS_TABLE", "MarketplaceLeads"))
CUSTOMER = ["FirstName", "LastName", "Email", "Phone", "Country", "Company", "Title"]
ROW = ["PartitionKey", "RowKey", "CreatedTime", "ActionCode", "LeadSource", "OfferDisplayName", "Description"]


def cell(value):
    # A spreadsheet must not run what a stranger wrote.
    value = "" if value is None else str(value)
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def handler(event, context):
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(CUSTOMER + ROW)
    for row in TABLE.list_entities():
        try:
            customer = json.loads(row.get("CustomerInfo") or "{}")
        except ValueError:
            customer = {}
        writer.writerow([cell(customer.get(name)) for name in CUSTOMER] + [cell(row.get(name)) for name in ROW])
    return {"statusCode": 200, "headers": {"content-type": "text/csv; charset=utf-8"}, "body": table.getvalue()}
