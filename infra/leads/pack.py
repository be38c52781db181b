"""Packs the command as one file that runs wherever Python 3.9 or newer is: `python3 infra/leads/pack.py <file>`.

The same sources give the same bytes.
"""

import os
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
# The earliest time that a zip can say.
TIME = (1980, 1, 1, 0, 0, 0)


def pack(path):
    """Writes the file, executable."""
    modules = sorted(name for name in os.listdir(os.path.join(HERE, "leads")) if name.endswith(".py"))
    with open(path, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ["__main__.py"] + [f"leads/{module}" for module in modules]:
                with open(os.path.join(HERE, name), "rb") as source:
                    entry = zipfile.ZipInfo(name, TIME)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.external_attr = 0o644 << 16
                    archive.writestr(entry, source.read())
    os.chmod(path, 0o755)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("say the file to write: python3 infra/leads/pack.py <file>")
    pack(sys.argv[1])
