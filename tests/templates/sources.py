"""What the checks read: the texts of one copy of the tree, and the facts that its code states.

The facts are the JSON that `facts.rs` beside this file prints:

- `functions`: the short names of the deployed functions, such as `lead-intake`.
- `variables`: for each environment variable the `functions` that read it, the stack's `parameter` that sets it, whether it is
  `required`, its `default` (null where there is none, or where it is another variable's value), and what is right: the
  `range` of a whole number, or one of some `texts`; and of some texts that were `tried`, whether the functions take them.
- `actions`: for each function the IAM actions of the AWS APIs that it calls, such as `sqs:SendMessage`.
- `metric_namespace` and `metrics`: what the functions emit to CloudWatch; `distributions`: the metrics that are no
  counters.
- `commands`: for each command of the notifier its fields; a name that ends in `?` may be left out."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sources:
    """One copy of the tree. A seeded mistake is such a copy with one text, or one fact, changed."""

    root: Path
    facts: dict
    aws: str
    azure: str
    # The policy of who deploys.
    deployment: str
    samconfig: str
    # The patterns of files that git ignores.
    ignored: list
    guide: str
    operations: str
    # Every Markdown file, by its path from the root.
    documents: dict

    @classmethod
    def read(cls, root: Path, facts: dict):
        def text(path):
            return (root / path).read_text("utf-8")

        return cls(
            root=root,
            facts=facts,
            aws=text("infra/aws/template.yaml"),
            azure=text("infra/azure/storage.json"),
            deployment=text("infra/aws/deploy-policy.json"),
            samconfig=text("infra/aws/samconfig.toml.example"),
            ignored=text(".gitignore").splitlines(),
            guide=text("infra/by-hand.md"),
            operations=text("docs/operations.md"),
            documents={path: text(path) for path in sorted(_markdown_files(root))},
        )


def _markdown_files(root):
    """The Markdown files of a tree, but for what tools put there."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name == ".github" or not re.match(r"\.|target$|node_modules$", name)]
        for file in files:
            if file.endswith(".md"):
                yield Path(folder, file).relative_to(root).as_posix()


def printed_facts():
    """The facts as the workspace of these checks prints them. Builds the printer where that is necessary."""
    command = ["cargo", "run", "--quiet", "--package", "templates", "--bin", "template-facts"]
    return json.loads(subprocess.run(command, cwd=WORKSPACE, check=True, stdout=subprocess.PIPE).stdout)
