"""The cards of a run: an overview with state, counts and links; one a stage; one each of dataset, pair, benchmark."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

from salmu.data.errors import UserError
from salmu.data.files import listed, size
from salmu.data.provenance import read_provenance
from salmu.data.store import Manifest, Store
from salmu.data.summary import Summary
from salmu.data.text import markdown_cell
from salmu.flows.running.artifacts import artifact_key, attempt, picture, show_card, update_card
from salmu.flows.running.stages import STAGES, downstream

MOST_ROWS = 50  # of a table on a card; the file summary.json in the stage's folder holds all
PARTS = {"dataset": "published dataset", "pair": "model pair", "benchmark": "benchmark"}


def table(rows: list[dict[str, Any]], markdown: tuple[str, ...] = ()) -> str:
    """A Markdown table of rows of equal keys, escaped but for the columns that are Markdown already."""
    if not rows:
        return "*none*"
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    for row in rows[:MOST_ROWS]:
        lines.append([str(value) if name in markdown else _cell(value) for name, value in row.items()])
    more = f"\n\n*{MOST_ROWS} of {len(rows):,} rows*" if len(rows) > MOST_ROWS else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + more


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if type(value) is int else markdown_cell(str(value))


class Overview:
    """The card `<run>-overview`, kept up to date while a flow works on the run."""

    def __init__(self, store: Store):
        self.store, self.run, self.artifact = store, store.folder.name, None
        self.state = "under way"

    def show(self) -> None:
        key = artifact_key(self.run, "overview")
        text = attempt(overview, key, store=self.store, state=self.state)
        if text and self.artifact:
            update_card(self.artifact, key, text)
        elif text:
            self.artifact = show_card(self.run, "overview", text, "overview")


_open: ContextVar[Overview | None] = ContextVar("overview", default=None)


@contextmanager
def shown_run(store: Store) -> Iterator[Overview]:
    """Inside a flow that works on a run: its overview, with how the flow ended. `state` may be set to say more."""
    card = Overview(store)
    card.show()
    token = _open.set(card)
    try:
        yield card
    except BaseException as error:
        card.state = f"**stopped**: {markdown_cell(str(error) or type(error).__name__)}"
        raise
    else:
        card.state = "finished" if card.state == "under way" else card.state
    finally:
        _open.reset(token)
        card.show()


def refresh_overview() -> None:
    """Bring the overview of the run at work up to date with its folder."""
    if card := _open.get():
        card.show()


def overview(store: Store, state: str) -> str:
    """Markdown: a run's state, what it holds by its files alone, and links to the cards that say more."""
    known = links(store.folder.name)
    rows = []
    for name in STAGES:
        manifest = store.manifest(name)
        made = "complete" if manifest.complete else f"{len(manifest.shards)} of {manifest.planned} shards"
        rows.append(
            {
                "part": known.get(name, name),
                "state": made if manifest.planned else "not begun",
                "rows": manifest.rows or None,
                "rejects": manifest.rejects or None,
                "seconds": round(sum(entry.seconds for entry in manifest.shards), 1) or None,
            }
        )
    lines = [f"# {markdown_cell(store.folder.name)}", f"State: {state}.", table(rows, ("part",))]
    lines += [f"- {known.get(name, name)}: {held}" for name, held in _later(store)]
    lines.append(f"\nFolder: `{store.folder}`")
    return "\n\n".join(lines[:3]) + "\n\n" + "\n".join(lines[3:]) + "\n"


def _later(store: Store) -> Iterator[tuple[str, str]]:
    """What the run holds beyond its stages."""
    if size(store.folder / "dataset" / "provenance.json") is not None:
        try:
            held = f"published, digest `{read_provenance(store.folder / 'dataset').dataset_digest}`"
        except UserError:
            held = "damaged"
        yield "dataset", held
    models = store.folder / "models"
    trained = [name for name in listed(models) if size(models / name / "training.json") is not None]
    if trained:
        yield "pair", f"{', '.join(sorted(trained))} trained"
    scored = [name for name in listed(store.folder / "results") if name.endswith(".json")]
    if scored:
        yield "benchmark", f"{len(scored)} models scored"
    if size(store.folder / "report" / "index.html") is not None:
        yield "report", f"`{store.folder / 'report' / 'index.html'}`"


def links(run: str) -> dict[str, str]:
    """Name of a part -> a link to its card, for the cards that the server has."""
    keys = {artifact_key(run, name): name for name in (*STAGES, *PARTS)}

    def read() -> list:
        wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=list(keys)))
        with get_client(sync_client=True) as client:
            return client.read_latest_artifacts(artifact_filter=wanted)

    found = attempt(read, "links between cards") or []
    return {keys[card.key]: f"[{keys[card.key]}](../artifact/{card.latest_id})" for card in found}


def counts(manifest: Manifest, cached: int) -> dict:
    """A stage in one row."""
    seconds = sum(entry.seconds for entry in manifest.shards)
    return {
        "shards": len(manifest.shards),
        "cached": cached,
        "rows": manifest.rows,
        "rejects": manifest.rejects,
        "seconds": round(seconds, 1),
        "rows/s": round(manifest.rows / seconds, 1) if seconds else None,
    }


def lineage(manifest: Manifest, store: Store) -> str:
    """Markdown: what the stage read and wrote, by manifest and digest, with links to the cards of its neighbours."""
    known = links(store.folder.name)
    found = [("reads", stage, digest) for stage, digest in manifest.upstream.items()]
    found.append(("writes", manifest.stage, manifest.digest))
    found += [("read by", stage, None) for stage in downstream(manifest.stage)]
    rows = [
        {
            "": verb,
            "stage": known.get(stage, stage) if stage != manifest.stage else stage,
            "manifest": f"`{store.stage_folder(stage) / 'manifest.json'}`",
            "digest": f"`{digest}`" if digest else "",
        }
        for verb, stage, digest in found
    ]
    return table(rows, tuple(rows[0]))


def show_stage(stage: str, store: Store, summary: Summary, cached: int) -> None:
    """The card `<run>-<stage>`: text, counts, pictures, tables, lineage."""
    manifest = store.manifest(stage)
    parts = [f"# {stage}", summary.text, table([counts(manifest, cached)])]
    parts += [f"## {title}\n\n{picture(png, title)}" for title, png in summary.figures.items()]
    parts += [f"## {title}\n\n{table(rows)}" for title, rows in summary.tables.items()]
    parts.append(f"## Lineage\n\n{lineage(manifest, store)}")
    show_card(store.folder.name, stage, "\n\n".join(parts) + "\n", stage)


def stale_words(stage: str, stale: list[str], remedy: str) -> str:
    """The state of a run after one stage was made alone."""
    if not stale:
        return f"stage {stage} is up to date, nothing is stale"
    return (
        f"stage {stage} is up to date. Stale now: **{', '.join(stale)}**; `{remedy}`, or a run of the deployment "
        "`everything`, brings them up to date"
    )
