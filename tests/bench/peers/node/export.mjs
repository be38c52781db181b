// lead-export in Node.js: the rows as CSV, sent while they are read.
import { once } from "node:events";
import { TableClient } from "@azure/data-tables";

const table = TableClient.fromConnectionString(
  process.env.LEADS_STORAGE_CONNECTION_STRING, process.env.LEADS_TABLE ?? "MarketplaceLeads",
  { allowInsecureConnection: true });
const CUSTOMER = ["FirstName", "LastName", "Email", "Phone", "Country", "Company", "Title"];
const ROW = ["partitionKey", "rowKey", "CreatedTime", "ActionCode", "LeadSource", "OfferDisplayName", "Description"];

// A spreadsheet must not run what a stranger wrote.
function cell(value) {
  const text = value == null ? "" : String(value);
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

export async function handler(event, context) {
  const { sent, done } = context.stream({ statusCode: 200, headers: { "content-type": "text/csv; charset=utf-8" } });
  sent.write([...CUSTOMER, ...ROW].join(",") + "\r\n");
  for await (const page of table.listEntities().byPage({ maxPageSize: 1000 })) {
    const lines = page.map((row) => {
      let customer = {};
      try {
        customer = JSON.parse(row.CustomerInfo || "{}");
      } catch {
        // The row is written without what cannot be read.
      }
      return [...CUSTOMER.map((name) => cell(customer[name])), ...ROW.map((name) => cell(row[name]))].join(",") + "\r\n";
    });
    if (!sent.write(lines.join(""))) await once(sent, "drain");
  }
  sent.end();
  await done;
}
