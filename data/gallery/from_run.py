"""A run as a gallery shows it: the store's portraits, what curation decided, personas, captions and rejects; of a large
run those of some people, drawn by lot."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from salmu.data.errors import UserError
from salmu.data.gallery.source import (
    IN_DATASET,
    NOT_JUDGED,
    NOT_PAIRED,
    Picture,
    Reason,
    Source,
    person,
    pictures_in,
    portrait,
    reasons,
)
from salmu.data.keyed import ranked
from salmu.data.publish.publish import STAGES
from salmu.data.publish.rejects import dropped
from salmu.data.store import StageView, Store, chunks

KEY = "file_name"
CURATED = ["file_name", "identity_id", "kept", "reason", "role", "identity_similarity", "duplicate_of"]
LABELS = ["gender", "age_group", "region"]
MOST = 100_000  # portraits; of a run that has more, only some people are shown
AT_ONCE = 50  # people whose pictures are in memory


def from_run(store: Store) -> Source:
    """What the run has so far. Raises UserError if it has no portraits."""
    stages = [stage for stage in STAGES if store.manifest(stage).shards]
    if "portraits" not in stages:
        raise UserError(f"{store.folder}: the stage portraits has made nothing yet; run it first, or name another run")
    rejects = {stage: dropped(store, stage) for stage in stages}
    why = [reason for stage in stages for reason in reasons(stage, rejects[stage])]
    everybody = list(dict.fromkeys(row["identity_id"] for row in store.view("portraits", KEY).rows(["identity_id"])))
    shown, name = _by_lot(everybody, store.manifest("portraits").rows), store.folder.resolve().name
    portraits = list(_rows(store, "portraits", ["file_name", "identity_id", "width", "height"], shown))
    return Source(
        name=f"{name}: {len(shown):,} of {len(everybody):,} people, by lot" if shown else name,
        people=_people(store, everybody, shown),
        portraits=list(_portraits(store, portraits, {row["item"]: row for rows in rejects.values() for row in rows})),
        captions=_captions(store, shown),
        dropped=why,
        pictures=lambda: _pictures(store, why, {row["file_name"]: row["identity_id"] for row in portraits}, shown),
    )


def _by_lot(everybody: list[str], portraits: int) -> list[str] | None:
    """The people who are shown; None: all."""
    return ranked(everybody, "gallery")[: max(1, MOST * len(everybody) // portraits)] if portraits > MOST else None


def _rows(store: Store, stage: str, columns: list[str] | None, shown: Sequence[str] | None) -> Iterator[dict]:
    view = store.view(stage, KEY)
    yield from view.rows(columns) if shown is None else view.rows_of(shown, columns, by="identity_id")


def _people(store: Store, everybody: list[str], shown: list[str] | None) -> dict[str, dict]:
    known: dict[str, dict] = {identity: {"role": "not judged yet"} for identity in shown or everybody}
    for stage, columns in (("anchors", [*LABELS, "age"]), ("curation", [*LABELS, "role"]), ("personas", None)):
        for row in _rows(store, stage, columns and ["identity_id", *columns], shown):
            if row["identity_id"] in known:
                known[row["identity_id"]] |= {key: value for key, value in row.items() if value is not None}
    return {identity: person(row, row["role"], json.loads(row.get("proof", "{}"))) for identity, row in known.items()}


def _portraits(store: Store, portraits: list[dict], rejects: dict[str, dict]) -> Iterator[dict]:
    names = [row["file_name"] for row in portraits]
    pairs = {row["file_name"]: row for row in store.view("assembly", KEY).rows_of(names)}
    curated = {row["file_name"]: row for row in store.view("curation", KEY).rows_of(names, CURATED)}
    for row in portraits:
        name = row["file_name"]
        judged = curated.get(name, {})
        full = row | {key: judged[key] for key in ("identity_similarity",) if key in judged} | pairs.get(name, {})
        full["identity_id"] = row["identity_id"]  # the pairs of those without a persona do not name it
        if name in pairs:
            yield portrait(full, IN_DATASET)
        elif name in rejects:
            better = f"the better one: {judged['duplicate_of']}" if judged.get("duplicate_of") else ""
            yield portrait(full, rejects[name]["reason"], better or rejects[name]["detail"])
        else:
            yield portrait(full, NOT_PAIRED if judged else NOT_JUDGED)


def _captions(store: Store, shown: list[str] | None) -> dict[str, list[tuple[str, str, str]]]:
    found = defaultdict(list)
    for row in _rows(store, "captions", ["identity_id", "data_field", "style", "text"], shown):
        if row["data_field"] != "generic":
            found[row["identity_id"]].append((row["data_field"], row["style"], row["text"]))
    return found


def _pictures(store: Store, why: list[Reason], owners: dict[str, str], shown: list[str] | None) -> Iterator[Picture]:
    """The anchors as covers, the first portrait of an identity where there is none; then all portraits; then those
    candidates that are examples of what was dropped. `owners`: file name of a portrait -> its identity."""
    covered = set()
    for identity, picture in _images(store.view("anchors", KEY), "identity_id", shown):
        covered.add(identity)
        yield "covers", identity, picture
    for name, picture in _images(store.view("portraits", KEY), "file_name", shown):
        if owners[name] not in covered:
            covered.add(owners[name])
            yield "covers", owners[name], picture
        yield "portraits", name, picture
    examples = {item for reason in why if reason.stage in ("candidates", "anchors") for item, _ in reason.examples}
    for row in store.view("candidates", "identity_id").rows_of(examples, ["image"]) if examples else ():
        yield "dropped", row["identity_id"], row["image"]


def _images(view: StageView, key: str, shown: list[str] | None) -> Iterator[tuple[str, bytes]]:
    """Value of the column `key` and picture file of each row."""
    if shown is None:
        yield from pictures_in(view.paths(), key)
        return
    for some in chunks(shown, AT_ONCE):
        for row in view.rows_of(some, [key, "image"], by="identity_id"):
            yield row[key], row["image"]
