"""What the Prefect UI shows beside a flow run: cards of text and pictures, and progress. All of it is a view of files
in the run's folder: where it cannot be shown, one line says so and the run goes on.

The UI lists the cards of all runs on one page, in no order. So every key begins with the run's name, there is one card
a stage, and a progress card goes when its work is done."""

import base64
import io
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from PIL import Image
from prefect import get_client
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.schemas.actions import ArtifactUpdate

from salmu.data.keyed import digest

SHOWN_AFTER = 5.0  # seconds of work before it gets a progress card
TOLD_EVERY = 2.0  # seconds between updates of a progress card
LARGEST_PICTURE = 200_000  # bytes; artifacts are stored in the server's database
PAUSE = 60.0  # seconds without a further try after a failure: a server that is away holds each one up
_failures = {"lost": 0, "again": 0.0}


def attempt(call: Callable, what: str, **content) -> Any:
    """Call a function of Prefect's and return what it returns; None if it fails, which is told in one line and
    counted."""
    if time.monotonic() < _failures["again"]:
        _failures["lost"] += 1
        return None
    try:
        return call(**content)
    except Exception as error:
        _failures.update(lost=_failures["lost"] + 1, again=time.monotonic() + PAUSE)
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        print(
            f"the Prefect UI lacks {what} ({_failures['lost']} so far are missing; the run continues): {reason}",
            file=sys.stderr,
            flush=True,
        )
        return None


def artifact_key(run: str, name: str) -> str:
    """A key that Prefect accepts, of lower-case letters, digits and dashes: ("Mine", "captions") -> "mine-captions"."""
    start = _slug(run) or f"run-{digest(run)[:6]}"
    return f"{start}-{_slug(name)}"


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())


def show_card(run: str, name: str, markdown: str, title: str) -> UUID | None:
    """Show Markdown under the key `<run>-<name>`; returns the artifact's id."""
    key = artifact_key(run, name)
    return attempt(create_markdown_artifact, key, key=key, markdown=markdown, description=f"{run}: {title}")


def update_card(artifact: UUID, name: str, markdown: str) -> None:
    """Replace what a card shows."""

    def update() -> None:
        with get_client(sync_client=True) as client:
            client.update_artifact(artifact, ArtifactUpdate(data=markdown))

    attempt(update, name)


def picture(png: bytes, title: str) -> str:
    """Markdown that shows a PNG file, on white for the UI's dark theme; only its title where it is too large for the
    server's database. The file lies in the run's folder as well."""
    if len(png) > LARGEST_PICTURE:
        return f"*{title}: a picture of {len(png) / 1e6:.1f} MB, in the run's folder*"
    return f"![{title}](data:image/png;base64,{base64.b64encode(on_white(png)).decode()})"


def on_white(png: bytes) -> bytes:
    """The picture itself if nothing of it is transparent."""
    with Image.open(io.BytesIO(png)) as image:
        if not image.has_transparency_data:
            return png
        layer = image.convert("RGBA")
    sink = io.BytesIO()
    Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB").save(sink, "PNG")
    return sink.getvalue()


class Progress:
    """How far long work of a run is: a card `<run>-<name>-progress`, which appears once the work has taken a few
    seconds, is brought up to date every few seconds, and goes when the work is done."""

    def __init__(self, run: str, name: str, done: int, total: int):
        self.run, self.name, self.done, self.total = run, name, done, max(total, 1)
        self.told = time.monotonic() + SHOWN_AFTER - TOLD_EVERY
        self.artifact = None

    def advance(self, items: int) -> None:
        self.done += items
        if self.done >= self.total:
            self.close()
        elif time.monotonic() - self.told >= TOLD_EVERY:
            self.told = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        key, percent = artifact_key(self.run, f"{self.name} progress"), round(100 * self.done / self.total, 1)
        if self.artifact:
            attempt(update_progress_artifact, key, artifact_id=self.artifact, progress=percent)
        else:
            told = f"{self.run}: {self.name}, share done"
            self.artifact = attempt(create_progress_artifact, key, key=key, progress=percent, description=told)

    def close(self) -> None:
        """The work is done, or has failed."""

        def delete(artifact: UUID) -> None:
            with get_client(sync_client=True) as client:
                client.delete_artifact(artifact)

        if self.artifact:
            attempt(delete, f"the end of {self.name}", artifact=self.artifact)
            self.artifact = None
