"""A run as a gallery shows it: the store's portraits, what curation decided, personas, captions and rejects."""

import json
from collections import defaultdict
from collections.abc import Iterator

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
from salmu.data.publish.publish import STAGES
from salmu.data.publish.rejects import dropped
from salmu.data.store import Store

CURATED = ["file_name", "identity_id", "kept", "reason", "role", "identity_similarity", "duplicate_of"]
LABELS = ["gender", "age_group", "region"]


def from_run(store: Store) -> Source:
    """What the run has so far. Raises UserError if it has no portraits."""
    stages = [stage for stage in STAGES if store.manifest(stage).shards]
    if "portraits" not in stages:
        raise UserError(f"{store.folder}: the stage portraits has made nothing yet; run it first, or name another run")
    rejects = {stage: dropped(store, stage) for stage in stages}
    why = [reason for stage in stages for reason in reasons(stage, rejects[stage])]
    return Source(
        name=store.folder.resolve().name,
        people=_people(store),
        portraits=list(_portraits(store, {row["item"]: row for rows in rejects.values() for row in rows})),
        captions=_captions(store),
        dropped=why,
        pictures=lambda: _pictures(store, why),
    )


def _people(store: Store) -> dict[str, dict]:
    known: dict[str, dict] = defaultdict(dict)
    for row in store.view("portraits", "file_name").rows(["identity_id"]):
        known[row["identity_id"]]["role"] = "not judged yet"
    for stage, columns in (("anchors", [*LABELS, "age"]), ("curation", [*LABELS, "role"]), ("personas", None)):
        for row in store.view(stage, "identity_id").rows(columns and ["identity_id", *columns]):
            if row["identity_id"] in known:
                known[row["identity_id"]] |= {key: value for key, value in row.items() if value is not None}
    return {identity: person(row, row["role"], json.loads(row.get("proof", "{}"))) for identity, row in known.items()}


def _portraits(store: Store, rejects: dict[str, dict]) -> Iterator[dict]:
    pairs = {row["file_name"]: row for row in store.view("assembly", "file_name").rows()}
    curated = {row["file_name"]: row for row in store.view("curation", "file_name").rows(CURATED)}
    for row in store.view("portraits", "file_name").rows(["file_name", "identity_id", "width", "height"]):
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


def _captions(store: Store) -> dict[str, list[tuple[str, str, str]]]:
    found = defaultdict(list)
    for row in store.view("captions", "caption_id").rows(["identity_id", "data_field", "style", "text"]):
        if row["data_field"] != "generic":
            found[row["identity_id"]].append((row["data_field"], row["style"], row["text"]))
    return found


def _pictures(store: Store, why: list[Reason]) -> Iterator[Picture]:
    """The anchors as covers, the first portrait of an identity where there is none; then all portraits; then those
    candidates that are examples of what was dropped."""
    covered = set()
    for identity, picture in pictures_in(store.view("anchors", "identity_id").paths(), "identity_id"):
        covered.add(identity)
        yield "covers", identity, picture
    portraits = store.view("portraits", "file_name")
    names = portraits.rows(["file_name", "identity_id"])
    for row, (name, picture) in zip(names, pictures_in(portraits.paths(), "file_name"), strict=True):
        if row["identity_id"] not in covered:
            covered.add(row["identity_id"])
            yield "covers", row["identity_id"], picture
        yield "portraits", name, picture
    examples = {item for reason in why if reason.stage in ("candidates", "anchors") for item, _ in reason.examples}
    for row in store.view("candidates", "identity_id").rows_of(examples, ["image"]) if examples else ():
        yield "dropped", row["identity_id"], row["image"]
