"""Shows a stage's summary in the Prefect UI: a table of counts, its text, tables and pictures."""

import base64
import time

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from data.store import Manifest
from data.summary import Summary

TOLD_EVERY = 2.0  # seconds between updates of a progress artifact
LARGEST_PICTURE = 200_000  # bytes; artifacts are stored in the server's database


def slug(text: str) -> str:
    """A key that Prefect accepts: lower-case letters, digits and dashes."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def counts(manifest: Manifest, cached: int) -> dict:
    """A stage in one row."""
    seconds = sum(entry.seconds for entry in manifest.shards)
    return {
        "stage": manifest.stage,
        "shards": len(manifest.shards),
        "cached": cached,
        "rows": manifest.rows,
        "rejects": manifest.rejects,
        "seconds": round(seconds, 1),
        "rows/s": round(manifest.rows / seconds, 1) if seconds else None,
        "digest": manifest.digest,
    }


class Progress:
    """How far a stage is, as the artifact `<stage>-progress`, brought up to date every few seconds."""

    def __init__(self, stage: str, done: int, total: int):
        self.done, self.total, self.told = done, max(total, 1), time.monotonic()
        text = f"{stage}: share of {total} items done"
        self.artifact = create_progress_artifact(self._percent(), key=f"{stage}-progress", description=text)

    def advance(self, items: int) -> None:
        self.done += items
        if time.monotonic() - self.told >= TOLD_EVERY or self.done >= self.total:
            update_progress_artifact(self.artifact, self._percent())
            self.told = time.monotonic()

    def _percent(self) -> float:
        return min(100.0, round(100 * self.done / self.total, 1))


def publish_summary(stage: str, manifest: Manifest, summary: Summary, cached: int) -> None:
    """Artifacts of one stage: `<stage>-counts`, `<stage>-summary`, and one a table and a figure."""
    create_table_artifact(key=f"{stage}-counts", table=[counts(manifest, cached)], description=f"{stage}: counts")
    lineage = "".join(f"\n- reads **{other}** `{digest}`" for other, digest in manifest.upstream.items())
    create_markdown_artifact(
        key=f"{stage}-summary",
        description=f"{stage}: summary",
        markdown=f"# {stage}\n\n{summary.text}\n\n## Lineage\n\n- digest `{manifest.digest}`{lineage}\n",
    )
    for title, rows in summary.tables.items():
        create_table_artifact(key=slug(f"{stage}-{title}"), table=rows, description=f"{stage}: {title}")
    for title, png in summary.figures.items():
        if len(png) <= LARGEST_PICTURE:
            create_image_artifact(
                key=slug(f"{stage}-{title}"), image_url=data_uri(png), description=f"{stage}: {title}"
            )
