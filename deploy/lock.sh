#!/usr/bin/env bash
# Writes the lock files anew, from PyPI, for every platform and Python from 3.11 on. Needs: pip install uv
#   deploy/lock.sh [--upgrade]
# The CPU one leaves torch and torchvision out: their CPU builds come from an index of their own (see deploy/Dockerfile).
set -euo pipefail
cd "$(dirname "$0")/.."
universal=(--universal --python-version 3.11 --no-annotate --quiet)
common=(pyproject.toml "${universal[@]}" --generate-hashes --custom-compile-command deploy/lock.sh "$@")
uv pip compile "${common[@]}" --extra portraits --extra s3 --extra tracking --output-file deploy/requirements-gpu.txt
# what PyPI's torch, which is the CUDA build, asks for on top
mapfile -t cuda < <(uv pip compile constraints-cpu.txt "${universal[@]}" --no-header |
    grep --only-matching --extended-regexp '^(nvidia|cuda|torch|triton)[a-z0-9-]*')
uv pip compile "${common[@]}" --extra s3 --constraint constraints-cpu.txt --output-file deploy/requirements-cpu.txt \
    "${cuda[@]/#/--no-emit-package=}"
