#!/usr/bin/env bash
# torchmetrics 1.9.0: BinaryAUROC gives another value for the same scores when they come in other batches. A batch with a
# score outside 0 to 1 is taken for logits and goes through a sigmoid; a batch without one does not.
#
# Guess before the run: scores are kept and ranked once at the end, so the batches do not matter.
# Seen: six scores, three of them above 1, have an area of 0.56 in one batch (scikit-learn too) and of 1.0 in two. The
# order within each batch is kept, but the two batches are mixed on different scales.
# It matters for membership attacks: losses, norms and negative distances lie on both sides of 1, and the value then
# depends on the size of the batches. Give all scores at once, or bring them into 0 to 1 first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torchmetrics==1.9.0 torch==2.13.0 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torchmetrics
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC

scores, labels = torch.tensor([0.6, 0.9, 0.95, 1.2, 1.1, 3.0]), torch.tensor([0, 1, 1, 0, 0, 1])
print("torchmetrics", torchmetrics.__version__)
found = {}
for size in (6, 3):
    metric = BinaryAUROC()
    for part, truth in zip(scores.split(size), labels.split(size)):
        metric.update(part, truth)
    found[size] = round(metric.compute().item(), 3)
    print(f"batches of {size}: {found[size]}")
judge = round(float(roc_auc_score(labels.numpy(), scores.numpy())), 3)
print("scikit-learn:", judge)
assert found == {6: judge, 3: 1.0} and judge == 0.556
PYTHON
