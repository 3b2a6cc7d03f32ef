"""What a run has done, read from its folder alone: `salmu status`."""

from salmu.data.store import Store
from salmu.flows.running.stages import STAGES, state
from salmu.flows.settings import RunSettings


def status_rows(store: Store, settings: RunSettings) -> list[dict]:
    """One row a stage: state, shards done and planned, rows, rejects, seconds, rows a second, seconds left at that
    rate."""
    rows = []
    for name in STAGES:
        manifest = store.manifest(name)
        seconds = sum(entry.seconds for entry in manifest.shards)
        missing = max(manifest.planned - len(manifest.shards), 0)
        rows.append(
            {
                "stage": name,
                "state": state(store, name, getattr(settings, name)),
                "shards": f"{len(manifest.shards)}/{manifest.planned}",
                "rows": manifest.rows,
                "rejects": manifest.rejects,
                "seconds": round(seconds, 1),
                "rows/s": round(manifest.rows / seconds, 1) if seconds else "",
                "left": f"{missing * seconds / len(manifest.shards):.0f} s of work"
                if missing and manifest.shards
                else "",
            }
        )
    return rows
