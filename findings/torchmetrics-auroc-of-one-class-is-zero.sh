#!/usr/bin/env bash
# torchmetrics 1.9.0: the area under the ROC curve of samples that are all of one class is 0.0, the worst value there
# is. A label without positives is averaged into the macro value as 0 too.
#
# Guess before the run: nan, as scikit-learn 1.9 gives, and a macro value over the labels that have both classes.
# Seen: 0.0 for all positive and for all negative. MultilabelAUROC over a label with 1.0 and one without positives is
# 0.5. The warning says that a rate is meaningless; it names neither the label nor the 0.
# It matters where a small group is asked, such as the pairs of one person in a membership attack: a group with one
# class reads as a perfect defence. Count both classes before you believe the number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torchmetrics==1.9.0 torch==2.13.0 scikit-learn==1.9.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math

import sklearn
import torch
import torchmetrics
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC, MultilabelAUROC

scores = torch.tensor([0.9, 0.8, 0.3, 0.1])
print("torchmetrics", torchmetrics.__version__, "scikit-learn", sklearn.__version__)
for truth in ([1, 1, 1, 1], [0, 0, 0, 0]):
    theirs, judge = BinaryAUROC()(scores, torch.tensor(truth)).item(), roc_auc_score(truth, scores.numpy())
    print(f"labels {truth}: torchmetrics {theirs}, scikit-learn {judge}")
    assert theirs == 0.0 and math.isnan(judge)

two_labels = torch.stack([scores, scores], 1)
truth = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 0]])
each, macro = (MultilabelAUROC(2, average=how)(two_labels, truth) for how in (None, "macro"))
print(f"two labels, the second without positives: each {each.tolist()}, macro {macro.item()}")
assert each.tolist() == [1.0, 0.0] and macro.item() == 0.5
PYTHON
