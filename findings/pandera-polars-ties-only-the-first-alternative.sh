#!/usr/bin/env bash
# pandera 0.35.0: Check.str_matches("cat|dog") accepts "hotdog" in a polars frame and refuses it in a pandas frame. Both
# describe it as a match at the start of the value.
#
# Guess before the run: one schema, one meaning; a pattern is tied to the start of the text in both.
# Seen: for polars "^" is put before the pattern, so only the first alternative is tied to the start: ^cat|dog finds
# "dog" anywhere. "(cat|dog)" is the same in both. And "[a-z]+$" accepts "abc" with a line break after it in pandas
# only.
# Related: coerce=True for a column of int turns 0.75 into 0 in both, without an error (guess: an error).
# It matters if the checks of a dataset are moved from pandas to polars for speed: rows that were refused pass, such as
# splits, labels or languages listed as alternatives. Put alternatives into brackets, or use Check.isin.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile 'pandera[pandas,polars]==0.35.0' pandas==2.3.3 polars==2.1.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.metadata

import pandas
import pandera.pandas
import pandera.polars
import polars

FRAMES = (pandera.pandas, pandas.DataFrame), (pandera.polars, polars.DataFrame)


def accepted(pattern, text):
    """Whether the schema accepts the text in a pandas and in a polars frame."""
    for library, frame in FRAMES:
        schema = library.DataFrameSchema({"x": library.Column(str, library.Check.str_matches(pattern))})
        try:
            schema.validate(frame({"x": [text]}))
            yield True
        except library.errors.SchemaError:
            yield False


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("pandera", "pandas", "polars")))
for pattern, text, expected in (
    ("cat|dog", "hotdog", (False, True)),
    ("(cat|dog)", "hotdog", (False, False)),
    ("cat|dog", "dog", (True, True)),
    ("[a-z]+$", "abc\n", (True, False)),
):
    found = tuple(accepted(pattern, text))
    print(f"str_matches({pattern!r}) on {text!r}: pandas {found[0]}, polars {found[1]}")
    assert found == expected
for library, frame in FRAMES:
    schema = library.DataFrameSchema({"x": library.Column(int, coerce=True)})
    numbers = list(schema.validate(frame({"x": [0.75, -1.5]}))["x"])
    print(f"0.75 and -1.5 coerced to int by {library.__name__}: {numbers}")
    assert numbers == [0, -1]
PYTHON
