#!/usr/bin/env bash
# annoy 1.17.3: with the same seed, the neighbours that it finds depend on the number of threads that built the index.
# The default, n_jobs=-1, takes one for each core of the machine.
#
# Guess before the run: the seed decides about the trees, and the threads only share the work.
# Seen: 1, 2, 3, 4 and 8 threads give five different indexes, each the same when it is built again. n_jobs is described
# as the number of threads, the seed as what initialises the random numbers of the trees.
# It matters for near-duplicates and face matches found with this index: another machine, or a container that may use
# fewer cores, finds other pairs from the same seed, so a curated dataset cannot be made again. Set n_jobs and record it
# beside the seed. (The package is built from source, which needs a C++ compiler.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile annoy==1.17.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import itertools

import numpy as np
from annoy import AnnoyIndex

vectors = np.random.default_rng(0).normal(size=(3000, 20))
THREADS = 1, 2, 3, 4, 8


def neighbours(threads):
    index = AnnoyIndex(vectors.shape[1], "angular")
    index.set_seed(7)
    for row, vector in enumerate(vectors):
        index.add_item(row, vector)
    index.build(8, n_jobs=threads)
    return [index.get_nns_by_item(row, 10) for row in range(len(vectors))]


print("annoy", importlib.metadata.version("annoy"))
found = {threads: neighbours(threads) for threads in THREADS}
for threads in THREADS:
    again = neighbours(threads) == found[threads]
    same = sum(one == other for one, other in zip(found[1], found[threads]))
    print(f"{threads} threads: {same} of {len(vectors)} rows with the ten neighbours of 1 thread; again: {again}")
    assert again
assert all(found[one] != found[other] for one, other in itertools.combinations(THREADS, 2))
PYTHON
