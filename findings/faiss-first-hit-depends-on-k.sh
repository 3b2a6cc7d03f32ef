#!/usr/bin/env bash
# faiss-cpu 1.15.1: where scores tie, IndexFlatIP returns the rows with the lowest numbers in falling order. So the
# first hit for k=1 is row 0 and for k=10 row 9. IndexFlatL2 returns them in rising order.
#
# Guess before the run: ties in rising order of the row, whatever k is, so that the first hit is that of k=1.
# Seen: as above, for one query and for many, on vectors that are exactly alike.
# It matters for retrieval among duplicates, and captions made from templates always contain some: R@1 from a search
# with k=1 differs from R@1 with k=10, and L2 on unit vectors, which gives the same ranking, differs again. Decide
# ties by the score: count a hit if the target's score reaches that of rank k, or share the hit among all rows that
# tie.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile faiss-cpu==1.15.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import faiss
import numpy as np

alike = np.full((200, 4), 0.5, np.float32)
KS = 1, 3, 10, 150


def rows(index, queries, k):
    index.add(alike)
    found = {tuple(row) for row in index.search(alike[:queries], k)[1].tolist()}
    assert len(found) == 1
    return list(found.pop())


print("faiss", faiss.__version__)
for k in KS:
    product, distance = rows(faiss.IndexFlatIP(4), 1, k), rows(faiss.IndexFlatL2(4), 1, k)
    print(f"k={k}: inner product {product[:5]}, L2 {distance[:5]}")
    assert rows(faiss.IndexFlatIP(4), 40, k) == product == list(range(k))[::-1]
    assert rows(faiss.IndexFlatL2(4), 40, k) == distance == list(range(k))
PYTHON
