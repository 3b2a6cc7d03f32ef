#!/usr/bin/env bash
# torchmetrics 1.9.0: RetrievalMRR, RetrievalMAP, RetrievalRecall and RetrievalPrecision take a right answer whose score is
# 0 or below for a wrong one. RetrievalHitRate and RetrievalNormalizedDCG of the same package do not.
#
# Guess before the run: ranks decide and nothing else, so the same value when 1 is taken from every score.
# Seen: a right answer that is ranked first with a score of -0.1 has a reciprocal rank of 0, an average precision of 0
# and a recall of 0; hit rate and NDCG say 1. The docstring calls the scores probabilities and does not say that the
# sign decides.
# It matters where scores are cosines, above all after unlearning: a pair that is still found first, with a cosine just
# below 0, counts as forgotten without a trace. Shift the scores above 0 first, or compute ranks yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torchmetrics==1.9.0 torch==2.13.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
import torchmetrics
from torchmetrics import retrieval

BY_SIGN = "RetrievalMRR", "RetrievalMAP", "RetrievalRecall", "RetrievalPrecision"
BY_RANK = "RetrievalHitRate", "RetrievalNormalizedDCG"
scores = torch.tensor([0.9, 0.2, 0.1])  # the first one is right, and first
right, query = torch.tensor([True, False, False]), torch.zeros(3, dtype=torch.long)
print("torchmetrics", torchmetrics.__version__)
for name in (*BY_SIGN, *BY_RANK):
    metric = getattr(retrieval, name)(top_k=1)
    above, below = (metric(values, right, indexes=query).item() for values in (scores, scores - 1))
    print(f"{name}(top_k=1): {above} with scores above 0, {below} with the same scores less 1")
    assert (above, below) == ((1.0, 0.0) if name in BY_SIGN else (1.0, 1.0))
PYTHON
