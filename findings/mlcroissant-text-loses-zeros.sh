#!/usr/bin/env bash
# mlcroissant 1.1.1: a column that the Croissant file declares as sc:Text loses leading zeros and the words NA and
# None, when the file is CSV or JSON Lines.
#
# Guess before the run: the declared type decides how the file is read, so "007" stays "007" and "NA" stays "NA".
# Seen: pandas reads the file and guesses the types first; the declared type is applied to its guess. "007" comes back
# as 7, as 7.0 when a cell of the column is empty, and "NA" or "None" as a missing value. JSON Lines lose the zeros
# too, although the value is a quoted string. There is no warning.
# It matters for phone numbers, postal codes, national identity numbers and people called None or Na: users who load a
# published dataset through its Croissant file get other values than its author wrote. Publish such columns as
# Parquet, whose types are kept.
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

csv = records("a.csv", "code\n007\n012\n", code="Text")
hole = records("b.csv", "code,row\n007,1\n,2\n", code="Text")
words = records("c.csv", "name,row\nNA,1\nNone,2\nEve,3\n", name="Text")
lines = records("d.jsonl", '{"code": "007"}\n{"code": "012"}\n', code="Text")
print("CSV 007, 012:", csv)
print("CSV 007 and an empty cell:", hole)
print("CSV NA, None, Eve:", words)
print('JSON Lines "007", "012":', lines)
assert csv == lines == [(b"7",), (b"12",)]
assert hole == [(b"7.0",), (None,)]
assert words == [(None,), (None,), (b"Eve",)]
PYTHON
