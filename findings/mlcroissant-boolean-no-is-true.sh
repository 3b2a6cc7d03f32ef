#!/usr/bin/env bash
# mlcroissant 1.1.1: in a column declared as sc:Boolean, "no" is read as True, and so is "False" in JSON Lines. In one
# declared as sc:Integer, 1.75 is read as 1.
#
# Guess before the run: an error, because the value is not of the declared type, or False for the words that mean it.
# Seen: the value goes through Python's bool() or int(). In CSV, true and false work, since pandas knows these words.
# It matters for columns such as consent or is_synthetic: a column of yes and no is read as yes everywhere, and scores
# lose their fraction. Write JSON's true and false, declare sc:Float for a number that may have a fraction, and
# compare some loaded values with the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile mlcroissant==1.1.1 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import importlib.metadata
import json
import logging
from pathlib import Path

import mlcroissant

logging.disable(logging.WARNING)  # of properties that a real set should have
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "column": "cr:column",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "recordSet": "cr:recordSet",
    "source": "cr:source",
}
FORMATS = {".csv": "text/csv", ".jsonl": "application/jsonlines"}


def records(path, content, **types):
    """The records of a file with these columns, each of a data type of schema.org."""
    Path(path).write_text(content)
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{column}",
            "name": column,
            "dataType": f"sc:{kind}",
            "source": {"fileObject": {"@id": "file"}, "extract": {"column": column}},
        }
        for column, kind in types.items()
    ]
    file = {
        "@type": "cr:FileObject",
        "@id": "file",
        "name": "file",
        "contentUrl": path,
        "encodingFormat": FORMATS[Path(path).suffix],
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
    }
    card = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "example",
        "distribution": [file],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
    }
    Path("croissant.json").write_text(json.dumps(card))
    return [tuple(row.values()) for row in mlcroissant.Dataset("croissant.json").records("rows")]


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("mlcroissant", "pandas")))

rows = records("a.csv", "consent,row\nyes,1\nno,2\n", consent="Boolean")
known = records("b.csv", "consent,row\ntrue,1\nfalse,2\n", consent="Boolean")
quoted = records("c.jsonl", '{"consent": "True"}\n{"consent": "False"}\n', consent="Boolean")
plain = records("d.jsonl", '{"consent": true}\n{"consent": false}\n', consent="Boolean")
numbers = records("e.csv", "score,row\n1,1\n1.75,2\n", score="Integer")
print("CSV yes, no:", rows)
print("CSV true, false:", known)
print('JSON Lines "True", "False":', quoted)
print("JSON Lines true, false:", plain)
print("CSV 1, 1.75 as sc:Integer:", numbers)
assert rows == quoted == [(True,), (True,)]
assert known == plain == [(True,), (False,)]
assert numbers == [(1,), (1,)]
PYTHON
