#!/usr/bin/env bash
# grain 0.2.18: a DataLoader with an IndexSampler and ShardOptions(..., drop_remainder=False) leaves out the remainder
# all the same. Of 20 records in three shards two are read by nobody, of three records in four shards none is read.
#
# Guess before the run: together the shards read each record once per epoch; the first ones are longer by one. That is
# what the description of drop_remainder says.
# Seen: the shards are cut as described, 7, 7 and 6 records, but each reads only as many as the division gives, 6. With
# drop_remainder=True as many are left out, and then a warning says so. Without shuffling it is the last record of each
# longer shard, with shuffling any of it. In several epochs the longer shards fall behind: after three epochs, 20 reads
# each, the third shard has begun a fourth round and the first has not finished its third.
# It matters for evaluation and export with one process for each GPU: rows have no result and nothing says that they are
# missing. It matters too for a model that is said to have seen every record once. Take a slice of a MapDataset instead,
# dataset[shard::shards], and count the rows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile grain==0.2.18 numpy==2.4.6
cat > "$folder/sharded.py" <<'PYTHON'
import importlib.metadata
import logging
from collections import Counter

import grain
import grain.python


def read(records, shard, shards, drop, shuffle, epochs):
    options = grain.python.ShardOptions(shard, shards, drop_remainder=drop)
    sampler = grain.python.IndexSampler(records, options, shuffle=shuffle, num_epochs=epochs, seed=0)
    loader = grain.python.DataLoader(data_source=range(records), sampler=sampler, worker_count=0)
    return [int(record) for record in loader]


def missing(records, shards, drop=False, shuffle=False):
    """How many records each shard reads in one epoch, and the records that none of them reads."""
    parts = [read(records, shard, shards, drop, shuffle, 1) for shard in range(shards)]
    return list(map(len, parts)), sorted(set(range(records)) - set(sum(parts, [])))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print("grain", importlib.metadata.version("grain"))
    kept = missing(20, 3)
    shuffled = missing(20, 3, shuffle=True)
    dropped = missing(20, 3, drop=True)
    few = missing(3, 4)
    print("20 records, 3 shards, drop_remainder=False: read", kept[0], "left out", kept[1])
    print("the same, shuffled: read", shuffled[0], "left out", shuffled[1])
    print("the same, drop_remainder=True: read", dropped[0], "left out", dropped[1])
    print("3 records, 4 shards, drop_remainder=False: read", few[0], "left out", few[1])
    rounds = [sorted(Counter(read(20, shard, 3, False, False, 3)).values()) for shard in range(3)]
    print("how often the records of each shard are read in three epochs:", rounds)
    slices = [list(grain.MapDataset.range(20)[shard::3]) for shard in range(3)]
    print("slices of a MapDataset: read", list(map(len, slices)))
    assert kept == ([6, 6, 6], [6, 13])
    assert shuffled[0] == [6, 6, 6] and len(shuffled[1]) == 2
    assert dropped == ([6, 6, 6], [18, 19])
    assert few == ([0, 0, 0, 0], [0, 1, 2])
    assert rounds == [[2] + [3] * 6, [2] + [3] * 6, [3] * 4 + [4] * 2]
    assert sorted(sum(slices, [])) == list(range(20))
PYTHON
"$folder/venv/bin/python" "$folder/sharded.py"
