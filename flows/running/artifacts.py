"""What the Prefect UI shows of a run: counts, text with lineage, tables, pictures and progress. All of it is a view of
files in the run's folder: where it cannot be shown, that is said in one line and the run goes on."""

import base64
import io
import sys
import time
from collections.abc import Callable
from typing import Any

from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from salmu.data.store import Manifest
from salmu.data.summary import Summary
from salmu.flows.running.stages import downstream

TOLD_EVERY = 2.0  # seconds between updates of a progress artifact
LARGEST_PICTURE = 200_000  # bytes; artifacts are stored in the server's database
PAUSE = 60.0  # seconds without a further try after a failure: a server that is away holds each one up
_failures = {"lost": 0, "again": 0.0}


def _show(create: Callable, **content) -> Any:
    """Create or change an artifact and return its id; None if that fails, which is told in one line and counted."""
    if time.monotonic() < _failures["again"]:
        _failures["lost"] += 1
        return None
    try:
        return create(**content)
    except Exception as error:
        _failures.update(lost=_failures["lost"] + 1, again=time.monotonic() + PAUSE)
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        print(
            f"the Prefect UI lacks {content.get('key', 'some progress')} ({_failures['lost']} so far are missing, the "
            f"run goes on): {reason}",
            file=sys.stderr,
            flush=True,
        )
        return None


def slug(text: str) -> str:
    """A key that Prefect accepts: lower-case letters, digits and dashes."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())


def show_text(key: str, markdown: str, description: str) -> None:
    _show(create_markdown_artifact, key=key, markdown=markdown, description=description)


def show_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    _show(create_table_artifact, key=key, table=rows, description=description)


def show_link(key: str, link: str, text: str, description: str) -> None:
    _show(create_link_artifact, key=key, link=link, link_text=text, description=description)


def show_picture(key: str, png: bytes, description: str) -> None:
    """A PNG file, on white for the UI's dark theme, unless it is too large for the server's database; it lies in the
    run's folder as well."""
    if len(png) <= LARGEST_PICTURE:
        url = "data:image/png;base64," + base64.b64encode(on_white(png)).decode()
        _show(create_image_artifact, key=key, image_url=url, description=description)


def on_white(png: bytes) -> bytes:
    """The picture itself if nothing of it is transparent."""
    with Image.open(io.BytesIO(png)) as picture:
        if not picture.has_transparency_data:
            return png
        layer = picture.convert("RGBA")
    sink = io.BytesIO()
    Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB").save(sink, "PNG")
    return sink.getvalue()


class Progress:
    """How far long work is, as the artifact `<name>-progress`, brought up to date every few seconds."""

    def __init__(self, name: str, done: int, total: int):
        self.done, self.total, self.told = done, max(total, 1), time.monotonic()
        self.artifact = _show(
            create_progress_artifact,
            progress=self._percent(),
            key=f"{slug(name)}-progress",
            description=f"{name}: share done",
        )

    def advance(self, items: int) -> None:
        self.done += items
        if self.artifact and (time.monotonic() - self.told >= TOLD_EVERY or self.done >= self.total):
            self.told = time.monotonic()
            _show(update_progress_artifact, artifact_id=self.artifact, progress=self._percent())

    def _percent(self) -> float:
        return min(100.0, round(100 * self.done / self.total, 1))


def shown_progress(name: str, bar: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """A callable (done, total) for long work in a task: a bar in the terminal and a progress artifact."""
    progress = Progress(name, 0, 1)

    def show(done: int, total: int) -> None:
        bar(done, total)
        progress.total = max(total, 1)
        progress.advance(done - progress.done)

    return show


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


def lineage(manifest: Manifest, folder: str) -> str:
    """Markdown: what the stage read and wrote, by manifest and digest, with links to the summaries of its
    neighbours."""
    rows = [("reads", stage, digest) for stage, digest in manifest.upstream.items()]
    rows.append(("**writes**", manifest.stage, manifest.digest))
    lines = [
        f"| {verb} | [{stage}](/artifacts/key/{stage}-summary) | `{folder}/{stage}/manifest.json` | `{digest}` |"
        for verb, stage, digest in rows
    ]
    lines += [
        f"| read by | [{stage}](/artifacts/key/{stage}-summary) | `{folder}/{stage}/manifest.json` | |"
        for stage in downstream(manifest.stage)
    ]
    return "\n".join(["| | stage | manifest | digest |", "|---|---|---|---|", *lines])


def publish_summary(stage: str, manifest: Manifest, summary: Summary, cached: int, folder: str) -> None:
    """Artifacts of one stage: `<stage>-counts`, `<stage>-summary`, and one a table and a figure."""
    show_table(f"{stage}-counts", [counts(manifest, cached)], f"{stage}: counts")
    show_text(
        f"{stage}-summary",
        f"# {stage}\n\n{summary.text}\n\n## Lineage\n\n{lineage(manifest, folder)}\n",
        f"{stage}: summary",
    )
    for title, rows in summary.tables.items():
        show_table(slug(f"{stage}-{title}"), rows, f"{stage}: {title}")
    for title, png in summary.figures.items():
        show_picture(slug(f"{stage}-{title}"), png, f"{stage}: {title}")


def publish_stale(stage: str, run: str, stale: list[str]) -> None:
    """`<stage>-stale`: what a stage that was made alone leaves stale, and how to bring it up to date."""
    text = "Nothing is stale." if not stale else f"Stale now: **{', '.join(stale)}**."
    remedy = (
        f"\n\n    salmu run --run {run}\n\nor a run of the deployment `everything` brings them up to date."
        if stale
        else ""
    )
    show_text(f"{stage}-stale", f"# After {stage} of {run}\n\n{text}{remedy}\n", f"{stage}: what is stale after it")
