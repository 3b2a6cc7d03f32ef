#!/usr/bin/env bash
# scipy 1.17.1: with two independent samples, the interval of scipy.stats.bootstrap depends on `batch`, which is
# described as a limit on memory only. The generator and its seed are the same.
#
# Guess before the run: the same resamples in another number of calls, so the same interval to the last bit.
# Seen: that holds for one sample, for paired samples and for permutation_test. With two or more independent samples
# each batch draws all indices of the first sample, then all of the second, so a smaller batch deals out the random
# numbers in another order.
# It matters for a published interval on the difference of two models: someone who sets batch on a machine with less
# memory cannot reproduce it from the seed. Record batch beside the seed, or draw the resamples yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy
from scipy import stats

draw = np.random.default_rng(1)
first, second = draw.normal(size=40), draw.normal(0.5, size=40)
BATCHES = None, 100, 7


def difference(x, y, axis=-1):
    return x.mean(axis) - y.mean(axis)


def intervals(data, statistic, **options):
    options |= {"n_resamples": 2000, "method": "percentile"}
    for batch in BATCHES:
        found = stats.bootstrap(data, statistic, batch=batch, rng=np.random.default_rng(0), **options)
        yield tuple(found.confidence_interval)


found = {
    "one sample": list(intervals((first,), np.mean)),
    "two samples, paired": list(intervals((first, second), difference, paired=True)),
    "two samples": list(intervals((first, second), difference)),
    "permutation_test": [
        stats.permutation_test(
            (first, second), difference, batch=batch, n_resamples=2000, rng=np.random.default_rng(0)
        ).pvalue
        for batch in BATCHES
    ],
}
print("scipy", scipy.__version__)
for name, results in found.items():
    for batch, result in zip(BATCHES, results):
        print(f"{name}, batch={batch}: {np.round(result, 4).tolist()}")
assert len(set(found.pop("two samples"))) == 3
assert all(len(set(results)) == 1 for results in found.values())
PYTHON
