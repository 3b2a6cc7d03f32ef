#!/usr/bin/env bash
# pingouin 0.7.0: ttest gives the 95 % interval with two decimals, and that of 90 or 99 % with all digits. A difference
# of 0.003 with p < 1e-11 has the 95 % interval [0, 0], and a 90 % interval that does not lie within it.
#
# Guess before the run: interval, t and p are given with the same precision, and a wider interval contains a narrower.
# Seen: one option, "round.column.CI95", is 2 by default; it is found by the name of the column, so CI90 and CI99 are
# not rounded. The option for everything is None, "no rounding". The description of ttest does not mention it. Other
# functions with a column of that name round too: corr of 0.9996 gives [1, 1], which does not contain it.
# It matters for two models' accuracies, losses or similarities, whose differences are often below .01: the interval
# contains 0 beside a tiny p, or has no width, and whatever is computed from it, such as error bars, is wrong.
# Set pingouin.options["round.column.CI95"] = None, or compute the interval with scipy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile pingouin==0.7.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6 \
    statsmodels==0.15.0 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pingouin
import scipy.stats

generator = np.random.default_rng(0)
after = 0.803 + generator.normal(0, 0.002, 50)
before = 0.8 + generator.normal(0, 0.002, 50)


def interval(percent):
    row = pingouin.ttest(after, before, confidence=percent / 100).iloc[0]
    return row[f"CI{percent}"].tolist()


print("pingouin", pingouin.__version__)
print("difference of the means:", after.mean() - before.mean())
print("p:", pingouin.ttest(after, before)["p_val"].iloc[0])
for percent in 90, 95, 99:
    print(f"CI{percent}:", interval(percent))
theirs = scipy.stats.ttest_ind(after, before).confidence_interval(0.95)
print("scipy, 95 %:", [float(theirs.low), float(theirs.high)])
assert pingouin.ttest(after, before)["p_val"].iloc[0] < 1e-11
assert interval(95) == [0.0, 0.0]
assert interval(99)[0] < theirs.low < interval(90)[0] < interval(90)[1] < theirs.high < interval(99)[1]

steps = np.arange(50.0)
row = pingouin.corr(steps, steps + generator.normal(0, 0.4, 50)).iloc[0]
print("corr:", row["r"], row["CI95"].tolist())
assert row["r"] < 0.99999 and row["CI95"].tolist() == [1.0, 1.0]

assert pingouin.options["round"] is None and pingouin.options["round.column.CI95"] == 2
pingouin.options["round.column.CI95"] = None
assert np.allclose(interval(95), theirs)
PYTHON
