#!/usr/bin/env bash
# torch 2.13.0: torch.nn.functional.normalize and cosine_similarity give NaN for a zero vector in float16. In float32
# and bfloat16 they give 0.
#
# Guess before the run: 0 for every type; eps is there "to avoid division by zero".
# Seen: the default eps, 1e-12 and 1e-8, rounds to 0 in float16, and 0 / 0 is NaN. The smallest float16 is 6e-8.
# It matters for CLIP in float16, which normalises every embedding this way: a single zero embedding, for instance
# from a model whose output layer was set to zero, turns its row of the similarity matrix into NaN, and then every
# mean and every loss. The same run in bfloat16 looks fine. Normalise in float32, or pass eps=1e-6.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn import functional

print("torch", torch.__version__)
found = {}
for kind in (torch.float32, torch.bfloat16, torch.float16):
    zero, one = torch.zeros(1, 4, dtype=kind), torch.ones(1, 4, dtype=kind)
    found[kind] = {
        "normalize": functional.normalize(zero)[0, 0].item(),
        "cosine_similarity": functional.cosine_similarity(zero, one).item(),
        "normalize, eps=1e-6": functional.normalize(zero, eps=1e-6)[0, 0].item(),
        "cosine_similarity, eps=1e-6": functional.cosine_similarity(zero, one, eps=1e-6).item(),
    }
    print(kind, found[kind])
half = found.pop(torch.float16)
assert all(value == 0 for values in found.values() for value in values.values())
assert {name for name, value in half.items() if value != value} == {"normalize", "cosine_similarity"}
assert half["normalize, eps=1e-6"] == half["cosine_similarity, eps=1e-6"] == 0
PYTHON
