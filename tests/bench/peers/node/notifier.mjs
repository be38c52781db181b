// lead-notifier in Node.js: finds new rows, notes their people, mails them in digests that are recorded before they are
// sent. The same steps as the measured function; without its routes, sweep, quarantine and silence alert.
import { createHash } from "node:crypto";
import { SESv2Client, SendEmailCommand } from "@aws-sdk/client-sesv2";
import { TableClient, odata } from "@azure/data-tables";

const MINUTE = 60_000, DAY = 86_400_000;
const from = process.env.LEADS_MAIL_FROM;
const to = process.env.LEADS_MAIL_TO.split(";");
const size = Number(process.env.LEADS_DIGEST_SIZE ?? 100);
const overlap = Number(process.env.LEADS_OVERLAP_MINUTES ?? 10) * MINUTE;
const lookback = Number(process.env.LEADS_FIRST_LOOKBACK_MINUTES ?? 60) * MINUTE;
const COLUMNS = ["Received", "Name", "Email", "Phone", "Country", "Company", "Title", "Action", "Offer", "Description", "History"];

const open = (name) => TableClient.fromConnectionString(
  process.env.LEADS_STORAGE_CONNECTION_STRING, name, { allowInsecureConnection: true });
const leadsTable = open(process.env.LEADS_TABLE ?? "MarketplaceLeads");
const state = open(process.env.LEADS_STATE_TABLE ?? "MarketplaceLeadsState");
const mail = new SESv2Client({});

async function read(partition, key) {
  try {
    return await state.getEntity(partition, key);
  } catch (error) {
    if (error.statusCode === 404) return undefined;
    throw error;
  }
}

/** Everything that is remembered between runs. Each write is an atomic batch on the version that was read. */
async function openCheckpoint() {
  const found = await read("notifier", "checkpoint");
  let etag = found?.etag;
  const row = { partitionKey: "notifier", rowKey: "checkpoint", Pending: "[]" };
  if (found?.Watermark) row.Watermark = found.Watermark;
  return {
    row,
    async commit(...operations) {
      const own = etag ? ["update", row, "Replace", { etag }] : ["create", row];
      const answer = await state.submitTransaction([own, ...operations]);
      etag = answer.subResponses[0].etag;
    },
  };
}

async function* newRows(since, now, known) {
  for (let time = since - DAY; time < now + 2 * DAY; time += DAY) {
    const date = new Date(time);
    const day = `${date.getUTCMonth() + 1}:2F${date.getUTCDate()}:2F${date.getUTCFullYear()}`;
    const filter = odata`PartitionKey eq ${day} and Timestamp ge ${new Date(since)}`;
    for await (const page of leadsTable.listEntities({ queryOptions: { filter } }).byPage({ maxPageSize: 500 })) {
      for (const row of page) if (!known.has(`${row.partitionKey}/${row.rowKey}`)) yield row;
    }
  }
}

async function* chunks(rows) {
  let chunk = [];
  for await (const row of rows) {
    chunk.push(row);
    if (chunk.length === size) {
      yield chunk;
      chunk = [];
    }
  }
  if (chunk.length) yield chunk;
}

function lead(row) {
  let customer = {};
  try {
    customer = JSON.parse(row.CustomerInfo || "{}");
  } catch {
    // The lead is mailed without what cannot be read.
  }
  const text = (value) => value == null ? "" : String(value);
  const email = text(customer.Email).trim();
  return {
    keys: [row.partitionKey, row.rowKey],
    person: email && createHash("sha256").update(email.toLowerCase()).digest("hex"),
    Received: row.ReceivedTime ?? row.CreatedTime ?? "",
    Name: `${text(customer.FirstName)} ${text(customer.LastName)}`.trim(),
    Email: email,
    Phone: text(customer.Phone), Country: text(customer.Country), Company: text(customer.Company),
    Title: text(customer.Title),
    Action: row.ActionCode ?? "", Offer: row.OfferDisplayName ?? "", Description: row.Description ?? "",
  };
}

/** Adds what each person did before, and notes what they did now. */
async function note(leads, now) {
  const keys = [...new Set(leads.map((lead) => lead.person).filter(Boolean))];
  const people = new Map();
  for (let start = 0; start < keys.length; start += 16) {
    const rows = await Promise.all(keys.slice(start, start + 16).map((key) => read("contacts", key)));
    rows.forEach((row, number) => people.set(keys[start + number], row ? JSON.parse(row.Actions) : []));
  }
  for (const lead of leads) {
    const before = people.get(lead.person) ?? [];
    lead.History = before.map(([, action, offer]) => `${action} ${offer}`).join("; ");
    if (lead.person) {
      people.set(lead.person, [[new Date(now).toISOString(), lead.Action, lead.Offer], ...before].slice(0, 50));
    }
  }
  const rows = [...people].map(([key, actions]) =>
    ["upsert", { partitionKey: "contacts", rowKey: key, Actions: JSON.stringify(actions) }, "Replace"]);
  for (let start = 0; start < rows.length; start += 100) await state.submitTransaction(rows.slice(start, start + 100));
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (character) => ENTITIES[character]);
// A spreadsheet must not run what a stranger wrote.
const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;

function render(leads) {
  const head = COLUMNS.map((name) => `<th>${name}</th>`).join("");
  const rows = leads.map((lead) =>
    `<tr>${COLUMNS.map((name) => `<td>${escape(lead[name])}</td>`).join("")}</tr>`).join("");
  const text = leads.map((lead) =>
    COLUMNS.filter((name) => lead[name]).map((name) => `${name}: ${lead[name]}`).join("\n")).join("\n\n");
  const table = [COLUMNS, ...leads.map((lead) => COLUMNS.map((name) => lead[name]))]
    .map((row) => row.map(cell).join(",")).join("\r\n");
  return { html: `<html><body><table><tr>${head}</tr>${rows}</table></body></html>`, text, table };
}

async function send(leads) {
  const { html, text, table } = render(leads);
  const utf8 = (Data) => ({ Data, Charset: "UTF-8" });
  const answer = await mail.send(new SendEmailCommand({
    FromEmailAddress: from, Destination: { ToAddresses: to },
    Content: { Simple: { Subject: utf8(`${leads.length} new leads`), Body: { Html: utf8(html), Text: utf8(text) },
      Attachments: [{ FileName: "leads.csv", ContentType: "text/csv", RawContent: Buffer.from(`\ufeff${table}`) }] } },
  }));
  return answer.MessageId;
}

export async function handler(event, context) {
  const now = Date.now();
  const stamp = (time) => new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");
  const checkpoint = await openCheckpoint();
  const watermark = checkpoint.row.Watermark?.getTime();
  const since = watermark ? watermark - overlap : now - lookback;
  Object.assign(checkpoint.row, { LeaseOwner: context.awsRequestId, LeaseUntil: new Date(now + 16 * MINUTE) });
  await checkpoint.commit();
  const known = new Set();
  const filter = odata`PartitionKey eq 'notifier' and RowKey ge ${`digest-${stamp(since)}`} and RowKey lt 'digest.'`;
  for await (const digest of state.listEntities({ queryOptions: { filter } })) {
    for (const keys of JSON.parse(digest.Leads)) known.add(keys.join("/"));
  }
  let newest = watermark ?? 0, count = 0, number = 0;
  for await (const chunk of chunks(newRows(since, now, known))) {
    for (const row of chunk) newest = Math.max(newest, Date.parse(row.timestamp));
    const leads = chunk.map(lead);
    await note(leads, now);
    const digest = { partitionKey: "notifier", rowKey: `digest-${stamp(now)}-${String(number++).padStart(5, "0")}`,
      Status: "pending", Leads: JSON.stringify(leads.map((lead) => lead.keys)) };
    checkpoint.row.Pending = JSON.stringify([digest.rowKey]);
    await checkpoint.commit(["upsert", digest, "Replace"]);
    digest.MessageId = await send(leads);
    digest.Status = "sent";
    checkpoint.row.Pending = "[]";
    await checkpoint.commit(["upsert", digest, "Replace"]);
    count += leads.length;
  }
  Object.assign(checkpoint.row, { LeaseOwner: "", Watermark: new Date(newest ? Math.min(newest, now) : now - DAY) });
  await checkpoint.commit(["create",
    { partitionKey: "notifier", rowKey: `run-${context.awsRequestId}`, Leads: count }]);
  return { outcome: "complete", leads: count };
}
