// lead-intake in Node.js: POST /leads?code=<key> on a function URL, one table insert.
import { createHash, timingSafeEqual } from "node:crypto";
import { createDefaultHttpClient, createPipelineRequest } from "@azure/core-rest-pipeline";
import { TableClient } from "@azure/data-tables";

const MAX_BODY_BYTES = 64 * 1024;
const CUSTOMER = ["FirstName", "LastName", "Email", "Phone", "Country", "Company", "Title"];
const hash = (text) => createHash("sha256").update(text).digest();

// Built once for the life of the environment, so that warm invocations keep the connection.
const httpClient = createDefaultHttpClient();

/** The connection string and the keys: from the environment, or with one request from SSM. */
async function secrets() {
  const names = [process.env.LEADS_STORAGE_CONNECTION_STRING_PARAMETER, process.env.LEADS_INTAKE_KEYS_PARAMETER];
  if (!names[0]) return [process.env.LEADS_STORAGE_CONNECTION_STRING, process.env.LEADS_INTAKE_KEYS];
  const { SSMClient, GetParametersCommand } = await import("@aws-sdk/client-ssm");
  const { Parameters } = await new SSMClient().send(new GetParametersCommand({ Names: names, WithDecryption: true }));
  return names.map((name) => Parameters.find((parameter) => parameter.Name === name).Value);
}

/** Opens the connection to the table while SSM is asked, where it is known where the table is. */
async function connection() {
  const url = process.env.LEADS_STORAGE_ENDPOINT;
  if (!url) return;
  const request = createPipelineRequest({ url, allowInsecureConnection: true, timeout: 1000 });
  await httpClient.sendRequest(request).catch(() => undefined);
}

const [, [connectionString, allKeys]] = await Promise.all([connection(), secrets()]);
const keys = allKeys.split(",").map(hash);
const table = TableClient.fromConnectionString(
  connectionString, process.env.LEADS_TABLE ?? "MarketplaceLeads",
  { allowInsecureConnection: true, httpClient, retryOptions: { maxRetries: 2 } });

function answer(statusCode, content) {
  const kind = statusCode < 400 ? "application/json" : "application/problem+json";
  return { statusCode, headers: { "content-type": kind }, body: JSON.stringify(content) };
}

const problem = (status, title) => answer(status, { type: "about:blank", title, status });

/** An object's fields by their lower-case names: Microsoft's pages differ in casing. */
const fields = (value) =>
  Object.fromEntries(Object.entries(value ?? {}).map(([name, field]) => [name.toLowerCase(), field]));

const text = (value) => value == null ? "" : typeof value === "string" ? value : JSON.stringify(value);

function row(body, now) {
  const lead = fields(JSON.parse(body));
  const details = fields(lead.userdetails);
  const customer = Object.fromEntries(CUSTOMER.map((name) => [name, text(details[name.toLowerCase()])]));
  const columns = {
    ActionCode: text(lead.actioncode),
    CustomerInfo: JSON.stringify(customer),
    Description: text(lead.description),
    LeadSource: text(lead.leadsource),
    OfferDisplayName: text(lead.offertitle),
  };
  return {
    partitionKey: `${now.getUTCMonth() + 1}:2F${now.getUTCDate()}:2F${now.getUTCFullYear()}`,
    rowKey: hash(JSON.stringify(columns)).toString("hex").slice(0, 32),
    CreatedTime: now.toISOString(),
    ReceivedTime: now.toISOString(),
    Source: "https",
    ...columns,
  };
}

async function handle(event) {
  if (event.rawPath !== "/leads") return problem(404, "Not Found");
  if (event.requestContext.http.method !== "POST") return problem(405, "Method Not Allowed");
  const code = hash(event.queryStringParameters?.code ?? "");
  if (!keys.some((key) => timingSafeEqual(key, code))) return problem(401, "Unauthorized");
  const body = Buffer.from(event.body ?? "", event.isBase64Encoded ? "base64" : "utf8");
  if (body.length > MAX_BODY_BYTES) return problem(413, "Content Too Large");
  let entity;
  try {
    entity = row(body.toString("utf8"), new Date());
  } catch {
    return problem(400, "Bad Request");
  }
  try {
    await table.createEntity(entity);
    return answer(201, { id: entity.rowKey, status: "stored" });
  } catch (error) {
    if (error.statusCode === 409) return answer(200, { id: entity.rowKey, status: "duplicate" });
    throw error;
  }
}

export async function handler(event, context) {
  const started = performance.now();
  const response = await handle(event);
  const latency = performance.now() - started;
  console.log(JSON.stringify({
    level: "INFO", message: "answered", status: response.statusCode, request_id: context.awsRequestId }));
  console.log(JSON.stringify({
    _aws: { Timestamp: Date.now(), CloudWatchMetrics: [{
      Namespace: "MarketplaceLeads", Dimensions: [["Function"]],
      Metrics: [{ Name: "IntakeLatency", Unit: "Milliseconds" }] }] },
    Function: "lead-intake", IntakeLatency: latency }));
  return response;
}
