#!/usr/bin/env bash
# MLstatkit 0.1.91: Delong_test gives p = 0 for a model and itself, for two models that rank alike, and for two models
# that both separate the classes perfectly. Nothing speaks for a difference, and z is 0.
#
# Guess before the run: p = 1, or NaN, since the difference has no variance.
# Seen: without variance it falls back to a bootstrap whose differences are all 0, and p is twice the share of
# differences above 0, which is none. A few ranks that change bring an ordinary p back (.2 here).
# It matters for membership attacks before and after unlearning: an attack that is perfect on both models, or a method
# that changes no rank, is reported as a significant difference of p < 0.001. Look at info["method"] for "bootstrap",
# and at z.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile MLstatkit==0.1.91 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import numpy as np
from MLstatkit import Delong_test

draw = np.random.default_rng(0)
members = np.repeat([0, 1], 200)
scores = draw.normal(size=400) + members
PAIRS = {
    "a model and itself": (scores, scores),
    "the same ranks": (scores, np.exp(scores)),
    "both perfect": (members + 0.5 * draw.uniform(size=400), members + 0.5 * draw.uniform(size=400)),
    "a few ranks changed": (scores, scores + 0.001 * draw.normal(size=400)),
}
print("MLstatkit", importlib.metadata.version("MLstatkit"))
found = {}
for name, (one, other) in PAIRS.items():
    z, p, *_, first, second, info = Delong_test(members, one, other, random_state=0)
    found[name] = z, p
    print(f"{name}: areas {first:.4f} and {second:.4f}, z = {z:.3f}, p = {p:.3f}, {info['method']}")
assert found.pop("a few ranks changed")[1] > 0.1
assert all(pair == (0, 0) for pair in found.values())
PYTHON
