// Verifies the signatures of events with the official library, from the file that the tests write; see check.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [file, modules] = process.argv.slice(2);
const { Webhook } = createRequire(modules + "/")("standardwebhooks");

let wrong = 0;
for (const message of JSON.parse(readFileSync(file, "utf8"))) {
  if (message.kind !== "webhook" || message.is_about_schema) continue;
  let problem = null;
  try {
    for (const key of message.keys) new Webhook(key).verify(message.body, message.headers);
  } catch (error) {
    problem = error;
  }
  if (message.good !== (problem === null)) {
    wrong += 1;
    console.log(`${message.name}: ${problem ?? "was taken"}`);
  }
}
process.exit(wrong === 0 ? 0 : 1);
