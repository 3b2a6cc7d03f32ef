#!/usr/bin/env bash
# statsmodels 0.15.0: mcnemar(table, exact=False) gives p = 0 for two models that agree on every row. Without the
# continuity correction it is NaN, and with exact=True it is 1.
#
# Guess before the run: 1, as with exact=True, or NaN.
# Seen: the correction takes 1 from the difference even where the difference is 0, and (0 - 1)**2 / 0 is infinite.
# With one row for each model the statistic is 0.5 and p 0.48, although nothing speaks for a difference; R's
# mcnemar.test leaves the correction out there.
# It matters when a model before and after unlearning is compared per person or per fact, where two models often agree
# on all rows: "p < 0.001" is then reported for the pairs without any difference, and a correction for many tests
# counts them first. There is only a RuntimeWarning of a division. Use exact=True, which is the default.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math

import statsmodels
from statsmodels.stats.contingency_tables import mcnemar

TABLES = {"no row apart": [[90, 0], [0, 10]], "one row each way": [[89, 1], [1, 9]], "8 and 2 rows": [[80, 8], [2, 10]]}
OPTIONS = {"exact": {"exact": True}, "corrected": {"exact": False}, "plain": {"exact": False, "correction": False}}


def value(table, options):
    return round(float(mcnemar(table, **options).pvalue), 3)


found = {name: {kind: value(table, given) for kind, given in OPTIONS.items()} for name, table in TABLES.items()}
print("statsmodels", statsmodels.__version__)
for name, values in found.items():
    print(f"{name}: p {values}")
equal = found["no row apart"]
assert equal["exact"] == 1 and equal["corrected"] == 0 and math.isnan(equal["plain"])
assert found["one row each way"] == {"exact": 1, "corrected": 0.48, "plain": 1}
assert found["8 and 2 rows"] == {"exact": 0.109, "corrected": 0.114, "plain": 0.058}
PYTHON
