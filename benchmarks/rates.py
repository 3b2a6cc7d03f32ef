"""Seconds and bytes an item of each stage, from the manifests of a finished run: the table that `salmu plan` starts
from.

python benchmarks/rates.py runs/tiny
"""

import sys
from pathlib import Path

from salmu.data.store import Store
from salmu.flows.running.stages import STAGES


def rates(store: Store) -> dict[str, tuple[float, int]]:
    """Stage -> (seconds, bytes) a row."""
    found = {}
    for name in STAGES:
        manifest = store.manifest(name)
        if manifest.rows:
            size = sum(entry.bytes + entry.rejects_bytes for entry in manifest.shards)
            found[name] = (sum(entry.seconds for entry in manifest.shards) / manifest.rows, round(size / manifest.rows))
    return found


if __name__ == "__main__":
    for stage, (seconds, size) in rates(Store(Path(sys.argv[1]))).items():
        print(f"{stage:<10} {seconds:.5f} s  {size:>7} bytes")
