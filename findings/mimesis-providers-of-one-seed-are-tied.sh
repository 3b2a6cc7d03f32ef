#!/usr/bin/env bash
# mimesis 22.2.0: with a seed, fields of different providers depend on each other. Over 1,000 rows of a Schema a price
# and a latitude correlate with 1.0: who earns more lives farther north. Without a seed they do not.
#
# Guess before the run: the providers of one Field or Generic draw from one stream, so that fields are independent and
# the seed only makes them come back.
# Seen: every provider gets a generator of its own with the same seed, so the first draw of each is the same number, and
# so is the second. Over many rows this ties the fields whose providers draw equally often. Where each person has a
# Generic with another seed, it ties what each provider draws first: country and nationality of 5,000 people make 1,053
# pairs instead of some 4,000, and everybody from Monaco is Polish.
# It matters for invented people: a fact that a model was made to forget follows from one that it may keep, and an
# attack that recovers it shows nothing about the model. Give one mimesis.random.Random to all providers, or each of
# them another seed, and look at the correlations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile mimesis==22.2.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import importlib.metadata

import numpy as np
from mimesis import Address, Field, Finance, Generic, Locale, Schema
from mimesis.random import Random


def correlation(rows):
    return np.corrcoef(np.array(rows, float).T)[0, 1]


def of_schema(**seed):
    field = Field(Locale.EN, **seed)
    schema = Schema(
        lambda: (field("finance.price", minimum=10_000, maximum=90_000), field("address.latitude")), iterations=1_000
    )
    return correlation(schema.create())


def pairs(generics):
    return {(one.address.country(), one.person.nationality()) for one in generics}


shared = Random()
shared.seed(0)
finance, address = Finance(random=shared), Address(random=shared)
one_stream = correlation([(finance.price(10_000, 90_000), address.latitude()) for _ in range(1_000)])
seeded, free = of_schema(seed=0), of_schema()
each_seeded = pairs(Generic(Locale.EN, seed=seed) for seed in range(5_000))
unseeded = pairs([Generic(Locale.EN)] * 5_000)
monaco = [nationality for country, nationality in each_seeded if country == "Monaco"]
print("mimesis", importlib.metadata.version("mimesis"))
print(f"price and latitude: seed 0 {seeded:.6f}, no seed {free:.2f}, one Random for both {one_stream:.2f}")
print(f"pairs of country and nationality: a seed each {len(each_seeded)}, no seed {len(unseeded)}; Monaco: {monaco}")
assert seeded > 0.999999 and abs(free) < 0.2 and abs(one_stream) < 0.2
assert len(each_seeded) == 1_053 and len(unseeded) > 3_500
assert monaco == ["Polish"]
PYTHON
