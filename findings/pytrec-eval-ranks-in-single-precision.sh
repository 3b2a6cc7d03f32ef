#!/usr/bin/env bash
# pytrec_eval-terrier 0.5.11, and ir_measures 0.4.3 which uses it: scores are rounded to single precision before they
# are ranked. Two that then are equal are ranked by the documents' names, the later name in the alphabet first.
#
# Guess before the run: Python's floats are compared as they are, and all libraries rank alike.
# Seen: 0.500000001 and 0.5 tie, and so do 16777217 and 16777216. If the right answer is named "a", it is second
# although its score is higher; named "z", it is first. Both libraries agree with each other; ranx does not.
# It matters for scores close to 1, such as probabilities of a model that is sure, and for large ones, such as sums of
# log-likelihoods: MRR and R@1 depend on how the files are named. Give ranks as scores, or check that the scores still
# differ as numpy.float32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile pytrec_eval-terrier==0.5.11 ir_measures==0.4.3 ranx==0.3.21
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.metadata

import ir_measures
import pytrec_eval
import ranx


def reciprocal(right, wrong, name):
    """The reciprocal rank of the right answer by each library; the wrong one is called "m"."""
    answers, run = {"query": {name: 1}}, {"query": {name: right, "m": wrong}}
    theirs = pytrec_eval.RelevanceEvaluator(answers, {"recip_rank"}).evaluate(run)["query"]["recip_rank"]
    measured = ir_measures.calc_aggregate([ir_measures.RR], answers, run)[ir_measures.RR]
    return theirs, float(measured), float(ranx.evaluate(ranx.Qrels(answers), ranx.Run(run), "mrr"))


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("pytrec_eval-terrier", "ir_measures", "ranx")))
for right, wrong in ((0.500000001, 0.5), (16777217.0, 16777216.0), (0.500001, 0.5)):
    found = {name: reciprocal(right, wrong, name) for name in "az"}
    for name, values in found.items():
        print(f"right answer {name!r}: {right}, wrong one: {wrong}, reciprocal rank by the three {values}")
    assert found["z"] == (1, 1, 1) and found["a"] == ((1, 1, 1) if right == 0.500001 else (0.5, 0.5, 1))
PYTHON
