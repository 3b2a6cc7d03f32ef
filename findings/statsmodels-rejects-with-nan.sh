#!/usr/bin/env bash
# statsmodels 0.15.0: multipletests accepts NaN among the p-values without a warning. The step-up methods then reject
# hypotheses whose corrected p-values are NaN; the others count the NaN as one more test.
#
# Guess before the run: an error, as from scipy.stats.false_discovery_control, or NaN and no rejection everywhere.
# Seen: fdr_bh on [0.01, NaN, 0.02, 0.5] rejects the first and the third, and all four corrected values are NaN.
# `reject` and `pvals_corrected <= alpha` disagree. Bonferroni multiplies by four, not three. hommel rejects nothing.
# It matters for tables of tests per person or per fact, where a test on too few rows gives NaN: the two ways to read
# the result give different counts. Drop the NaN first, and say how many there were.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import statsmodels
from scipy import stats
from statsmodels.stats.multitest import multipletests

values = np.array([0.01, np.nan, 0.02, 0.5])


def refused(call):
    try:
        call()
    except ValueError:
        return True
    return False


print("statsmodels", statsmodels.__version__, "p-values", values.tolist())
found = {}
for method in ("bonferroni", "holm", "simes-hochberg", "hommel", "fdr_bh", "fdr_by"):
    reject, corrected = multipletests(values, alpha=0.05, method=method)[:2]
    found[method] = reject.tolist(), (corrected <= 0.05).tolist()
    print(f"{method}: reject {reject.tolist()}, corrected {corrected.round(3).tolist()}")
print("scipy refuses NaN:", refused(lambda: stats.false_discovery_control(values)))
assert found["fdr_bh"] == ([True, False, True, False], [False] * 4)
assert found["simes-hochberg"] == ([True, False, False, False], [False] * 4)
assert found["hommel"] == ([False] * 4, [False] * 4)
assert multipletests(values, method="bonferroni")[1][0] == 4 * 0.01
assert refused(lambda: stats.false_discovery_control(values))
PYTHON
