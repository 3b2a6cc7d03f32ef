#!/usr/bin/env bash
# safetensors 0.8.0: a file with two or more entries of metadata has other bytes in each process, although tensors, names
# and values are the same.
#
# Guess before the run: the same bytes; the order in which the entries were given, or sorted.
# Seen: sixteen processes write several different files with two entries or more. With one entry, or none, all
# are equal. The tensors' part of the header is sorted; the metadata keep the order of a hash map with a random seed.
# It matters where a model is named by the SHA-256 of its file: the same training gives another digest by chance. Put all
# that is to be said into one entry, as JSON.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

import safetensors

WRITE = """
import hashlib, sys
import numpy
from safetensors.numpy import save
metadata = {f"entry {number}": "value" for number in range(int(sys.argv[1]))}
print(hashlib.sha256(save({"weight": numpy.zeros(3)}, metadata)).hexdigest())
"""
print("safetensors", safetensors.__version__)
found = {}
for entries in (1, 2, 4):
    command = [sys.executable, "-c", WRITE, str(entries)]
    found[entries] = {subprocess.check_output(command) for _ in range(16)}
    print(f"{entries} entries: {'one file' if len(found[entries]) == 1 else 'several files'} in 16 processes")
assert len(found[1]) == 1 and len(found[4]) > 1
PYTHON
