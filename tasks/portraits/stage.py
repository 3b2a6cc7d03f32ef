"""The stage portraits: many pictures of each anchor's identity in other poses, places, light, clothes and formats."""

from collections import Counter
from typing import Literal

from pydantic import Field

from data import schemas
from data.errors import UserError
from data.keyed import integer
from data.procedural.person import Person
from data.settings import StageSettings
from data.store import Shard, ShardResult, StageView, chunks
from data.summary import Summary
from tasks.pictures import contact_sheet
from tasks.portraits import procedural

NAME, VERSION = "portraits", 1
UPSTREAM = ("anchors",)
SCHEMA, KEY = schemas.PORTRAITS, "file_name"

GROUPS = ("gender", "age_group", "region")
SHEET = 8  # identities, and portraits of each, on the contact sheet


class Settings(StageSettings):
    """How many portraits are made, of what size, by which engine."""

    engine: Literal["procedural"] = Field(
        "procedural", description="procedural: drawn from the traits of procedural anchors."
    )
    per_identity: int = Field(28, ge=1, le=999, description="Portraits of each identity.")
    short_side: int = Field(128, ge=64, le=2048, description="Shorter side of a portrait in pixels.")
    fault_share: float = Field(
        0.08,
        ge=0,
        le=1,
        description=(
            f"Share of portraits with a planted fault, each kind equally often: {', '.join(procedural.FAULTS)}."
        ),
    )
    identities_per_shard: int = Field(8, ge=1, description="Identities whose portraits make a shard.")


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """All portraits of some identities a shard; an item is <identity>_<portrait>.

    Raises UserError if there are no anchors, or anchors that the engine cannot draw."""
    identities = []
    for anchor in upstream["anchors"].rows(["identity_id", "source", "traits"]):
        if anchor["traits"] is None:
            raise UserError(
                f"portraits.engine 'procedural' cannot draw identity {anchor['identity_id']}: an anchor of source "
                f"{anchor['source']!r} has no traits; it needs an engine that draws from a face embedding "
                "(ip_adapter_faceid_plus), or set anchors.source to 'procedural'"
            )
        identities.append(anchor["identity_id"])
    if not identities:
        raise UserError("portraits: there are no anchors, all were rejected; see the rejects of the stage anchors")
    numbers = range(1, settings.per_identity + 1)
    return [
        Shard(
            index=index,
            items=tuple(_item(identity_id, number) for identity_id in group for number in numbers),
            inputs=upstream["anchors"].digest_of(group),
        )
        for index, group in enumerate(chunks(identities, settings.identities_per_shard))
    ]


def _item(identity_id: str, number: int) -> str:
    return f"{identity_id}_{number:03}"


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: None = None) -> ShardResult:
    """Draw each portrait; its seed depends on the run's seed, the identity and the portrait's number only."""
    items = [(item[:8], int(item[9:])) for item in shard.items]
    anchors = upstream["anchors"].rows_of({identity_id for identity_id, _ in items}, ["traits"])
    people = {anchor["identity_id"]: Person.model_validate_json(anchor["traits"]) for anchor in anchors}
    rows = []
    for identity_id, number in items:
        seed = integer(settings.seed, NAME, identity_id, number)
        made = procedural.portrait(people[identity_id], seed, settings.short_side, settings.fault_share)
        file_name = f"{_item(identity_id, number)}_ar-{made['width'] / made['height']:.2f}.jpg"
        rows.append({"file_name": file_name, "identity_id": identity_id, "portrait_index": number, "seed": seed} | made)
    return ShardResult(rows)


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """How many portraits of whom, in which formats and with which planted faults, and what they look like."""
    anchors = {row["identity_id"]: row for row in upstream["anchors"].rows(["identity_id", *GROUPS])}
    faults, formats, groups, identities = Counter(), Counter(), Counter(), Counter()
    for row in view.rows(["identity_id", "fault", "width", "height"]):
        identities[row["identity_id"]] += 1
        faults[row["fault"]] += 1
        formats[_format(row["width"], row["height"])] += 1
        groups.update((group, anchors[row["identity_id"]][group]) for group in GROUPS)
    total, seconds = view.manifest.rows, sum(entry.seconds for entry in view.manifest.shards)
    text = (
        f"{total} portraits of {len(identities)} identities by engine {settings.engine!r} in {seconds:.1f} s of "
        f"work ({1000 * seconds / total:.0f} ms each); {total - faults[None]} with a planted fault."
    )
    tables = {
        "Demographics": [
            {"group": group, "value": value, "portraits": count} for (group, value), count in sorted(groups.items())
        ],
        "Formats": [
            {"format": name, "portraits": count, "share": round(count / total, 3)}
            for name, count in formats.most_common()
        ],
        "Planted faults": [{"fault": fault, "portraits": faults[fault]} for fault in procedural.FAULTS],
    }
    sheet = contact_sheet(_first_images(view, list(identities)[:SHEET]))
    return Summary(text, tables, {f"{SHEET} identities, {SHEET} portraits each": sheet})


def _format(width: int, height: int) -> str:
    return "square" if width == height else "landscape" if width > height else "portrait"


def _first_images(view: StageView, identities: list[str]) -> list[list[bytes]]:
    """The first portraits of the identities, a row for each."""
    images: dict[str, list[bytes]] = {identity_id: [] for identity_id in identities}
    for row in view.rows_of(identities, ["image"], by="identity_id"):
        images[row["identity_id"]].append(row["image"])
    return [files[:SHEET] for files in images.values()]
