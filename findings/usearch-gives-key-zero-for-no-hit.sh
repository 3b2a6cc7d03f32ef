#!/usr/bin/env bash
# usearch 2.26.6: where an index holds fewer vectors than are asked for, a search for several queries fills up with key
# 0, a key like any other. Its own mean_recall() counts such a key as found, even if the index holds no key 0.
#
# Guess before the run: a mark that cannot be a key, such as faiss' -1, or a shorter answer, as one query alone gets.
# Seen: as above; the distances there are NaN, and `counts` tells how many hits are real. An empty index answers with
# key 0 too. A vector of NaN in the index has NaN distances as well: if it was added last, an exact search puts it first
# for every query, before the query's own vector.
# It matters for retrieval among a few rows, such as the portraits of a person that shall be forgotten: with keys from 0
# on, the first row counts as found by every query, and R@k of forgotten rows is too high. Mask keys with
# isnan(distances) before anything is counted, and refuse vectors that are not finite.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile usearch==2.26.6 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import usearch
from usearch.index import Index

vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
KEYS = np.arange(100, 105)


def index(keys, vectors):
    made = Index(ndim=8, metric="l2sq", dtype="f32")
    if len(keys):
        made.add(keys, vectors, threads=1)
    return made


five = index(KEYS, vectors)
batch, one, empty = five.search(vectors[:2], 8), five.search(vectors[0], 8), index([], []).search(vectors[:2], 8)
recall = batch.mean_recall(np.zeros(2, int))
spoilt = vectors.copy()
spoilt[4] = np.nan
hits = index(KEYS, spoilt).search(vectors[:4], 2, exact=True)
print("usearch", usearch.__version__)
print("eight hits among keys 100 to 104, two queries:", batch.keys.tolist(), "counts", batch.counts.tolist())
print("the distances of the first:", batch.distances[0].round(2).tolist())
print("one query:", one.keys.tolist())
print("no vectors, two queries:", empty.keys.tolist(), "counts", empty.counts.tolist())
print("is key 0 in the index:", 0 in five, "- mean_recall of key 0:", recall)
print("vector 104 is NaN, exact search for 100 to 103:", hits.keys.tolist(), hits.distances.round(2).tolist())
assert len(one.keys) == 5 and 0 not in one.keys
assert (batch.keys[:, 5:] == 0).all() and (batch.keys[:, :5] >= 100).all() and batch.counts.tolist() == [5, 5]
assert np.isnan(batch.distances[:, 5:]).all() and not np.isnan(batch.distances[:, :5]).any()
assert (empty.keys == 0).all() and empty.counts.tolist() == [0, 0]
assert 0 not in five and recall == 1
assert hits.keys.tolist() == [[104, key] for key in KEYS[:4].tolist()] and np.isnan(hits.distances[:, 0]).all()
PYTHON
