#!/usr/bin/env bash
# safetensors 0.8.0: safetensors.numpy saves a transposed array as other numbers, without an error. Version 0.7.0
# saved it right, and safetensors.torch refuses such a tensor.
#
# Guess before the run: the values come back equal, as from numpy.save; or an error, as for torch.
# Seen: the shape is that of the transposed array, the numbers are in the order of its memory. The docstring asks for
# contiguous tensors and does not say what happens to others.
# It matters because such arrays are common: .T, many matrix decompositions, numpy.asfortranarray and files in column
# order give them. A projection matrix or a bank of text embeddings is saved scrambled, with the right shape and the
# right norm. Save numpy.ascontiguousarray(x).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 0.7.0 0.8.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q safetensors==$version numpy==2.4.6
    "$folder/$version/bin/python" - <<'PYTHON'
import numpy as np
import safetensors
from safetensors.numpy import load, save

plain = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {"plain": plain, "transposed": plain.T, "column order": np.asfortranarray(plain)}
back = load(save(arrays))
print("safetensors", safetensors.__version__)
for name, array in arrays.items():
    print(f"{name}: saved {array.tolist()}, loaded {back[name].tolist()}")
equal = {name: np.array_equal(back[name], array) for name, array in arrays.items()}
right = safetensors.__version__ == "0.7.0"
assert equal == {"plain": True, "transposed": right, "column order": right}
assert back["transposed"].shape == (3, 2)
contiguous = np.ascontiguousarray(plain.T)
assert np.array_equal(load(save({"x": contiguous}))["x"], plain.T)
PYTHON
done
