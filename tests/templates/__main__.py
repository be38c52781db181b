"""`python tests/templates` prints as JSON what is wrong with the templates, the table of what catches each seeded mistake,
and the mistakes that nothing catches."""

import json

from checks import AWS_CHECKS, AZURE_CHECKS, ROOT, run, stale_checkov_skips
from mistakes import table
from template import Sources

if __name__ == "__main__":
    sources = Sources.read(ROOT)
    findings = [
        f"{file}: {name}: {finding}"
        for file, checks in (("infra/aws/template.yaml", AWS_CHECKS), ("infra/azure/storage.json", AZURE_CHECKS))
        for name, function in checks.items()
        for finding in run(function, sources)
    ]
    findings += [f"checks.py: nothing needs to skip {check}" for check in stale_checkov_skips(sources)]
    # A check that finds something anyway would seem to catch every mistake.
    text, uncaught = ("", []) if findings else table(sources)
    print(json.dumps({"findings": findings, "table": text, "uncaught": uncaught}))
