#!/usr/bin/env bash
# fairlearn 0.15.0: false_positive_rate of a group without negatives is 0.0, and true_positive_rate of a group without
# positives is 0.0, without a warning. MetricFrame then compares that 0.0 with the other groups.
#
# Guess before the run: NaN, as MetricFrame gives for a combination of groups without rows, which difference() skips.
# Seen: 0 of 0 is 0. A group of two positives counts as the one with the lowest false positive rate, and the difference
# between the groups is 0.5 where only one group has a rate at all. With the true positive rate it is the worst group.
# It matters for tables by country, age or gender with small groups: a group that says nothing sets the reported gap.
# Count the rows behind each rate with MetricFrame, and leave out groups in which the rate does not exist.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile fairlearn==0.15.0 scikit-learn==1.9.1 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import math

import fairlearn
from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate

GROUPS = ["a", "a", "b", "b"]
PREDICTED = [1, 0, 1, 0]
TRUTH = {false_positive_rate: [1, 1, 0, 0], true_positive_rate: [0, 0, 1, 1]}


def compared(rate, truth, groups):
    frame = MetricFrame(metrics=rate, y_true=truth, y_pred=PREDICTED, sensitive_features=groups)
    return list(frame.by_group), frame.difference()


print("fairlearn", fairlearn.__version__)
for rate, truth in TRUTH.items():
    by_group, difference = compared(rate, truth, GROUPS)
    print(f"{rate.__name__}: group a has none to count, by group {by_group}, difference {difference}")
    assert by_group == [0.0, 0.5] and difference == 0.5
crossed = {"group": GROUPS, "sex": ["f", "f", "f", "m"]}
by_group, difference = compared(false_positive_rate, [0, 0, 0, 0], crossed)
print("combination of groups without rows:", by_group, "difference", difference)
assert math.isnan(by_group[1]) and difference == 1.0
PYTHON
