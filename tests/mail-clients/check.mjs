// Says what Outlook's Word engine, Gmail and Apple Mail do not support of the mails in shared/tests/mail/snapshots, by the
// tables of caniemail.com, and compares it with docs/mail-clients.md: each finding has to be named there, and nothing else.
import { readFileSync, readdirSync } from 'node:fs';
import { caniemail } from 'caniemail';

const snapshots = 'shared/tests/mail/snapshots';
const document = 'docs/mail-clients.md';
const clients = ['outlook.windows', 'gmail.*', 'apple-mail.*'];

const mails = readdirSync(snapshots)
  .map((name) => [name, readFileSync(`${snapshots}/${name}`, 'utf8').match(/^---- html\n(.*?<\/html>)/ms)?.[1]])
  .filter(([, html]) => html !== undefined);

// Feature to client to what is said of it, and in how many mails.
const found = new Map();
for (const [, html] of mails) {
  const { issues } = caniemail({ clients, html });
  for (const [kind, ofClients] of Object.entries(issues)) {
    for (const [client, list] of ofClients) {
      for (const { title, notes } of new Map(list.map((issue) => [issue.title, issue])).values()) {
        const ofFeature = found.get(title) ?? found.set(title, new Map()).get(title);
        const said = kind === 'errors' ? 'not supported' : notes.join(' ');
        const line = ofFeature.get(client) ?? ofFeature.set(client, { said, mails: 0 }).get(client);
        line.mails += 1;
      }
    }
  }
}

for (const [title, ofFeature] of [...found].sort(([a], [b]) => a.localeCompare(b))) {
  console.log(title);
  for (const [client, line] of ofFeature) {
    console.log(`  ${client}, ${line.mails} of ${mails.length} mails: ${line.said}`);
  }
}

// The first cell of a row of the table: features in backticks.
const rows = readFileSync(document, 'utf8').split('\n').filter((line) => line.startsWith('| `'));
const named = new Set(rows.flatMap((row) => row.split('|')[1].match(/`[^`]+`/g).map((name) => name.slice(1, -1))));
const wrong = [
  ...[...found.keys()].filter((title) => !named.has(title)).map((title) => `${document} does not name: ${title}`),
  ...[...named].filter((title) => !found.has(title)).map((title) => `${document} names what was not found: ${title}`),
];
console.log(`\n${mails.length} mails, ${found.size} features; ${wrong.length ? wrong.join('\n') : `${document} names them all`}`);
process.exitCode = mails.length < 10 || wrong.length ? 1 : 0;
