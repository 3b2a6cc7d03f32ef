#!/usr/bin/env bash
# dask 2026.8.0: groupby(...).std() of ages from 18 to 89, stored as uint8, is 0.0 in each group. pandas gives 20.7 and
# 20.8. The std of the same column without groups is right, and so are the groups' means.
#
# Guess before the run: what pandas gives, to all digits but the last few, whatever type the column has.
# Seen: a group's variance is computed from the sum of its squares and the square of its sum. The squares are taken in
# the column's own type, where 40 * 40 is 64; if the result is negative, var() and std() make it 0. agg("var") leaves
# it: -2756.7. int16 spoils ages too, to 57.5. As float64, seconds near 1.7e9 that spread over a minute are off as well
# (0.0 instead of 17), because their squares need more digits than there are. Arrow's types (uint8[pyarrow]) are right.
# var() and std() give no warning.
# It matters for tables by country, gender or model: small types are what one picks for ages, ranks and pixels, seconds
# are what logs hold, and 0 reads as "no spread in this group". Convert to float64 and take a constant near the mean
# away first; that does not change the spread.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile "dask[dataframe]==2026.8.0" pandas==3.1.1 numpy==2.4.6 pyarrow==26.0.1
"$folder/venv/bin/python" -W error - <<'PYTHON'
import importlib.metadata

import dask.dataframe as dd
import numpy as np
import pandas as pd

ages = np.random.default_rng(0).integers(18, 90, 1_000)
seconds = 1.7e9 + np.random.default_rng(1).uniform(0, 60, 1_000)


def spread(values, kind):
    """The std of two groups by pandas and by dask, that of the whole column by dask, and agg("var")."""
    frame = pd.DataFrame({"sex": ["f", "m"] * 500, "value": pd.Series(values).astype(kind)})
    parts = dd.from_pandas(frame, npartitions=4)
    known, groups = frame.groupby("sex")["value"], parts.groupby("sex")["value"]
    found, whole = groups.std().compute(), parts["value"].std().compute()
    assert np.allclose(groups.var().compute() ** 0.5, found)
    assert np.allclose(groups.mean().compute(), known.mean()) and np.isclose(whole, frame["value"].std())
    lists = [np.array(each, float).round(1).tolist() for each in (known.std(), found, groups.agg("var").compute())]
    return *lists, round(float(whole), 1)


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("dask", "pandas")))
cases = {f"ages as {kind}": (ages, kind) for kind in ("uint8", "int16", "int64", "float64", "uint8[pyarrow]")}
cases["seconds as float64"] = seconds, "float64"
cases["seconds less 1.7e9"] = seconds - 1.7e9, "float64"
for name, (values, kind) in cases.items():
    known, found, variance, whole = spread(values, kind)
    print(f'{name}: groups by pandas {known}, by dask {found}, agg("var") {variance}, whole column by dask {whole}')
    if kind == "uint8":
        assert found == [0.0, 0.0] and max(variance) < 0 and min(known) > 20
    elif kind == "int16":
        assert min(found) > 2 * max(known)
    elif name == "seconds as float64":
        assert all(abs(one - other) > 3 for one, other in zip(found, known))
    else:
        assert found == known
PYTHON
