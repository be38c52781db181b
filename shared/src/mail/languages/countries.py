"""Writes the names of all countries into the language files, and the codes of three letters into `language/alpha3.txt`.

The names come from Unicode CLDR, as npm publishes it. Run it where a language was added, or once CLDR has changed:

    cd "$(mktemp -d)"
    npm pack cldr-localenames-full@48.2.0 cldr-core@48.2.0
    for file in *.tgz; do mkdir "${file%.tgz}" && tar xzf "$file" -C "${file%.tgz}" --strip-components 1; done
    python <this file> .
"""

import json
import pathlib
import re
import sys

languages = pathlib.Path(__file__).parent
cldr = pathlib.Path(sys.argv[1])
core = next(cldr.glob("cldr-core-*/supplemental"))
names = next(cldr.glob("cldr-localenames-full-*/main"))

codes = json.loads((core / "codeMappings.json").read_text())["supplemental"]["codeMappings"]
# What has three letters is a country, and no group of them. Kosovo's three letters are CLDR's own.
alpha3 = {code: entry["_alpha3"] for code, entry in codes.items() if len(code) == 2 and "_alpha3" in entry}


def territories(language: str) -> dict[str, str]:
    """The names by their codes of two letters."""
    file = json.loads((names / language / "territories.json").read_text())
    return file["main"][language]["localeDisplayNames"]["territories"]


countries = sorted(code for code in alpha3 if code in territories("en") and not re.fullmatch("EU|Q[M-Z]|X[A-Z]|Z[A-Z]", code))
countries = sorted({*countries, "XK"})
(languages.parent / "language" / "alpha3.txt").write_text("".join(sorted(f"{alpha3[code]} {code}\n" for code in countries)))

for path in languages.glob("*.json"):
    language = territories(path.stem)
    rows = ",\n".join(f'    "{code}": {json.dumps(language[code], ensure_ascii=False)}' for code in countries)
    text = re.sub(r',\n  "countries": \{.*?\n  \}|\n\}\n$', "", path.read_text(), flags=re.DOTALL)
    path.write_text(f'{text},\n  "countries": {{\n{rows}\n  }}\n}}\n')
