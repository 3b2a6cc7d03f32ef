#!/usr/bin/env bash
# outlines_core 0.2.14: build_regex_from_schema leaves out "pattern" where "maxLength" or "minLength" stands beside
# it, joins the parts of "allOf" end to end, and lets "." and "[^a]" in a pattern match a bare quotation mark. None of
# this is an error.
#
# Guess before the run: both limits hold or one is refused; allOf is merged or refused; quotation marks inside a
# string are escaped. (Unknown formats and "not" are refused, so one expects the same for anything unsupported.)
# Seen: a pattern with a length gives a regex of the length only. allOf of two objects demands {"a":1}{"b":2}, which
# is not JSON, and rejects the valid {"a":1,"b":2}.
# It matters for captions and metadata that a language model writes "by schema": pydantic's Field(pattern=...,
# max_length=...) produces exactly this schema, and the model may then write any text. Put the length into the
# pattern, as in ^[a-z]{1,3}$, exclude \ and " from classes, merge allOf yourself, and validate every answer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile outlines-core==0.2.14
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import json
import re

from outlines_core.json_schema import build_regex_from_schema


def accepted(schema, *texts):
    """Which of the texts the regex of the schema accepts; None where the schema is refused."""
    try:
        regex = build_regex_from_schema(json.dumps(schema))
    except ValueError:
        return None
    return [text for text in texts if re.fullmatch(regex, text)]


def only(name):
    return {"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]}


word = {"type": "string", "pattern": "^[a-z]+$"}
found = {
    "pattern": accepted(word, '"abc"', '"ABC"'),
    "pattern and maxLength": accepted(word | {"maxLength": 3}, '"abc"', '"ABC"', '"abcd"'),
    "pattern and minLength": accepted(word | {"minLength": 1}, '"abc"', '"ABC"'),
    "length in the pattern": accepted({"type": "string", "pattern": "^[a-z]{1,3}$"}, '"abc"', '"ABC"', '"abcd"'),
    "pattern ^.{1,3}$": accepted({"type": "string", "pattern": "^.{1,3}$"}, '"a"', '"a"b"'),
    "allOf": accepted({"allOf": [only("a"), only("b")]}, '{"a":1,"b":2}', '{"a":1}{"b":2}'),
    "not": accepted({"not": word}),
    "unknown format": accepted({"type": "string", "format": "phone"}),
}
print("outlines_core", importlib.metadata.version("outlines_core"))
for name, texts in found.items():
    print(f"{name}: accepts {texts}")
assert found["pattern"] == found["length in the pattern"] == ['"abc"']
assert found["pattern and maxLength"] == found["pattern and minLength"] == ['"abc"', '"ABC"']
assert found["pattern ^.{1,3}$"] == ['"a"', '"a"b"']
assert found["allOf"] == ['{"a":1}{"b":2}']
assert found["not"] is found["unknown format"] is None
PYTHON
