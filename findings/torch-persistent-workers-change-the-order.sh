#!/usr/bin/env bash
# torch 2.13.0: persistent_workers=True changes the order in which a DataLoader shuffles from the second epoch on,
# with the same generator and seed. The first epoch is alike.
#
# Guess before the run: the order comes from the sampler, so it does not matter how long the workers live.
# Seen: without persistent workers each epoch draws one more number from the generator, as the base of the workers'
# seeds; with them that number is drawn once. num_workers itself, 0 or more, changes nothing.
# It matters for retrained models that should differ from another model in a few rows only: setting persistent_workers
# for speed also changes the order of the batches, and a run that is resumed by skipping epochs continues in another
# order. Seeding the generator anew at the start of each epoch does not help. Give the order a generator that nothing
# else uses: sampler=RandomSampler(data, generator=...).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6
cat > "$folder/order.py" <<'PYTHON'
import torch
from torch.utils.data import DataLoader, RandomSampler

DATA = range(12)
WORKERS = {"no workers": {}, "two workers": {"num_workers": 2}}
WORKERS["two persistent workers"] = {"num_workers": 2, "persistent_workers": True}


def orders(own_generator=False, seeded=False, **options):
    """The orders of three epochs; the generator is the loader's, or the sampler's own."""
    generator = torch.Generator().manual_seed(0)
    if own_generator:
        options["sampler"] = RandomSampler(DATA, generator=generator)
    else:
        options |= {"shuffle": True, "generator": generator}
    loader = DataLoader(DATA, batch_size=None, **options)
    found = []
    for epoch in range(3):
        if seeded:
            generator.manual_seed(epoch)
        found.append([int(row) for row in loader])
    return found


if __name__ == "__main__":
    print("torch", torch.__version__)
    found = {name: orders(**options) for name, options in WORKERS.items()}
    for name, epochs in found.items():
        print(name, *epochs, sep="\n  ")
    inline, two, kept = found.values()
    assert inline == two
    assert kept[0] == two[0] and kept[1] != two[1] and kept[2] != two[2]
    inline, two, kept = (orders(seeded=True, **options) for options in WORKERS.values())
    assert inline == two and kept[0] == two[0] and kept[1] != two[1]
    inline, two, kept = (orders(own_generator=True, **options) for options in WORKERS.values())
    assert inline == two == kept
    print("alike with the sampler's own generator")
PYTHON
"$folder/venv/bin/python" "$folder/order.py"
