"""Makes a release folder of binaries that were built already.

    python3 infra/leads/make_release.py --output <folder> x86_64=target/lambda

The binary of each function is `<folder>/lead-intake/bootstrap`, as `cargo lambda build --release` leaves it, or
`<folder>/lead-intake`, as `cargo build --release` does. The same binaries give the same bytes.
"""

import argparse
import hashlib
import os
import shutil
import sys
import zipfile

import pack

ROOT = os.path.dirname(os.path.dirname(pack.HERE))
FUNCTIONS = ("lead-intake", "lead-redelivery", "lead-notifier", "lead-validation", "lead-export")


def binary(folder, name):
    """Where the binary of a function is, or a sentence that ends the program."""
    for path in (os.path.join(folder, name, "bootstrap"), os.path.join(folder, name)):
        if os.path.isfile(path):
            return path
    sys.exit(f"{folder} has no {name}: build the functions first")


def zip_function(path, target):
    """A zip as Lambda takes it: an executable file `bootstrap` and nothing else."""
    entry = zipfile.ZipInfo("bootstrap", pack.TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o755 << 16
    with zipfile.ZipFile(target, "w") as archive, open(path, "rb") as source:
        archive.writestr(entry, source.read())


def make(output, builds):
    """Writes the folder; `builds` are pairs of an architecture and the folder with its binaries."""
    os.makedirs(output, exist_ok=True)
    for architecture, folder in builds:
        for name in FUNCTIONS:
            zip_function(binary(folder, name), os.path.join(output, f"{name}-{architecture}.zip"))
    shutil.copyfile(os.path.join(ROOT, "infra/aws/template.yaml"), os.path.join(output, "template.yaml"))
    shutil.copyfile(os.path.join(ROOT, "infra/azure/storage.json"), os.path.join(output, "storage.json"))
    pack.pack(os.path.join(output, "leads"))
    lines = []
    for name in sorted(set(os.listdir(output)) - {"SHA256SUMS"}):
        with open(os.path.join(output, name), "rb") as file:
            lines.append(f"{hashlib.sha256(file.read()).hexdigest()}  {name}\n")
    with open(os.path.join(output, "SHA256SUMS"), "w", encoding="utf-8") as file:
        file.writelines(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes a release folder of binaries that were built already.")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument("builds", nargs="+", metavar="ARCHITECTURE=FOLDER", help="for instance x86_64=target/lambda")
    options = parser.parse_args()
    pairs = [build.partition("=")[::2] for build in options.builds]
    if not all(architecture in ("x86_64", "arm64") and folder for architecture, folder in pairs):
        parser.error("say each build as x86_64=<folder> or arm64=<folder>")
    make(options.output, pairs)
