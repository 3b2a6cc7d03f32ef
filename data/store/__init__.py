"""A run's files: shards, rejects and manifests, committed atomically, resumed by fingerprint, checked when read.

    runs/<name>/<stage>/part-00012.parquet   the rows of a shard, with a `row_digest` column at the end
    runs/<name>/<stage>/rejects-00012.parquet   what was dropped, with its reason; only where something was
    runs/<name>/<stage>/manifest.json        one entry a shard: the entry is the commit record
    runs/<name>/<stage>/commits-*.jsonl      while the stage is being made, the entries since then (manifest_files.py)

A file is written whole or not at all (see data/files.py); then its entry is. A shard whose entry has the expected
fingerprint and whose files are there with the recorded sizes is done; anything else is made again. Whoever reads a
shard compares it with the SHA-256 of its entry, once a process (see data/checksums.py). `runs` is a folder or a URL of
an object store.

    store = Store("runs/tiny")
    for row in store.view("personas", "identity_id").rows(["identity_id", "name"]): ...
"""

from salmu.data.store.manifest import Entry, Manifest, Reject, Shard, ShardResult, chunks, fingerprint
from salmu.data.store.shard_files import ROW_DIGEST
from salmu.data.store.store import StageView, Store
from salmu.data.store.work import Work

__all__ = [
    "ROW_DIGEST",
    "Entry",
    "Manifest",
    "Reject",
    "Shard",
    "ShardResult",
    "StageView",
    "Store",
    "Work",
    "chunks",
    "fingerprint",
]
