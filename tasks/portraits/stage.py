"""The stage portraits: many pictures of each anchor's identity in other poses, places, light, clothes and formats."""

from collections import Counter
from typing import Any, Literal

from pydantic import Field

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.keyed import integer
from salmu.data.licences import Model
from salmu.data.procedural.person import Person
from salmu.data.settings import StageSettings
from salmu.data.store import Shard, ShardResult, StageView, Work, chunks
from salmu.data.summary import Summary
from salmu.tasks.devices import may_use_gpu
from salmu.tasks.pictures import contact_sheet
from salmu.tasks.portraits import faceid, procedural, prompts
from salmu.tasks.portraits.adapter import IDENTITY
from salmu.tasks.portraits.faceid import FaceIDSettings

NAME, VERSION = "portraits", 1
UPSTREAM = ("anchors",)
SCHEMA, KEY = schemas.PORTRAITS, "file_name"
KEEPS_WORK = True

GROUPS = ("gender", "age_group", "region")
FACE = ("image", "landmarks", "face_embedding")  # what the FaceID engines need of an anchor
SHEET = 8  # identities, and portraits of each, on the contact sheet


class Settings(StageSettings):
    """How many portraits are made, of what size, by which engine."""

    engine: Literal["procedural", faceid.PLUS, faceid.SDXL] = Field(
        "procedural",
        description=(
            "procedural: drawn from the traits of procedural anchors; ip_adapter_faceid_plus: Stable Diffusion 1.5 "
            "with IP-Adapter-FaceID Plus v2; ip_adapter_faceid_sdxl: Stable Diffusion XL with IP-Adapter-FaceID."
        ),
    )
    per_identity: int = Field(28, ge=1, le=999, description="Portraits of each identity.")
    short_side: int = Field(128, ge=64, le=2048, description="Shorter side of a portrait in pixels.")
    fault_share: float = Field(
        0.08,
        ge=0,
        le=1,
        description=(
            "Engine procedural: share of portraits with a planted fault, each kind equally often: "
            f"{', '.join(procedural.FAULTS)}."
        ),
    )
    faceid: FaceIDSettings = Field(FaceIDSettings(), description="The diffusion model of the other engines.")
    identities_per_shard: int = Field(
        8, ge=1, description="Identities whose portraits make a shard; the more, the fuller the batches of each size."
    )

    def fingerprint(self) -> dict[str, Any]:
        """The values that decide the bytes of the output: those of the engine in use."""
        values = super().fingerprint()
        if self.engine == "procedural":
            return {name: value for name, value in values.items() if name != "faceid"}
        kept = {name: value for name, value in values.items() if name != "fault_share"}
        return kept | {"faceid": self.faceid.fingerprint()}


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """All portraits of some identities a shard; an item is <identity>_<portrait>.

    Raises UserError if there are no anchors, or anchors that the engine cannot draw."""
    check = _has_traits if settings.engine == "procedural" else _has_face
    columns = ["identity_id", "source", *(("traits",) if settings.engine == "procedural" else FACE[1:])]
    identities = []
    for anchor in upstream["anchors"].rows(columns):
        check(anchor, settings.engine)
        identities.append(anchor["identity_id"])
    if not identities:
        raise UserError("portraits: there are no anchors, all were rejected; see the rejects of the stage anchors")
    if settings.engine != "procedural" and settings.short_side % settings.faceid.size_multiple:
        raise UserError(
            f"portraits.short_side {settings.short_side} is not a multiple of portraits.faceid.size_multiple "
            f"{settings.faceid.size_multiple}; set it to {_nearest(settings.short_side, settings.faceid.size_multiple)}"
        )
    numbers = range(1, settings.per_identity + 1)
    return [
        Shard(
            index=index,
            items=tuple(_item(identity_id, number) for identity_id in group for number in numbers),
            inputs=upstream["anchors"].digest_of(group),
        )
        for index, group in enumerate(chunks(identities, settings.identities_per_shard))
    ]


def _has_traits(anchor: dict[str, Any], engine: str) -> None:
    if anchor["traits"] is None:
        raise UserError(
            f"portraits.engine 'procedural' cannot draw identity {anchor['identity_id']}: an anchor of source "
            f"{anchor['source']!r} has no traits; it needs an engine that draws from a face embedding "
            "(ip_adapter_faceid_plus), or set candidates.source to 'procedural'"
        )


def _has_face(anchor: dict[str, Any], engine: str) -> None:
    if anchor["landmarks"] is None or len(anchor["face_embedding"] or ()) != IDENTITY:
        raise UserError(
            f"portraits.engine {engine!r} cannot draw identity {anchor['identity_id']}: its anchor has no landmarks or "
            f"no face embedding of {IDENTITY} values; make the anchors with a face pack such as buffalo_l"
        )


def _item(identity_id: str, number: int) -> str:
    return f"{identity_id}_{number:03}"


def _file_name(identity_id: str, number: int, width: int, height: int) -> str:
    return f"{_item(identity_id, number)}_ar-{width / height:.2f}.jpg"


def _nearest(pixels: float, multiple: int) -> int:
    return max(round(pixels / multiple), 1) * multiple


def revisions(settings: Settings) -> dict[str, str]:
    """Digests of the weights and prompts of the engine, and the packages whose release changes pixels."""
    return {} if settings.engine == "procedural" else faceid.revisions(settings.faceid, settings.engine)


def models(settings: Settings) -> list[Model]:
    """The weights that the engine loads, with their licences."""
    return [] if settings.engine == "procedural" else faceid.models(settings.faceid, settings.engine)


def uses_gpu(settings: Settings) -> bool:
    """Whether portraits are drawn on a GPU here."""
    return settings.engine != "procedural" and may_use_gpu(settings.faceid.device)


def load_engine(settings: Settings) -> Any:
    """The diffusion pipeline; None for the engine procedural. Raises UserError for weights that are missing or do not
    belong together."""
    if settings.engine == "procedural":
        return None
    from salmu.tasks.portraits import pipeline

    return pipeline.load(settings.faceid, settings.engine)


def run(
    shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Any = None, work: Work | None = None
) -> ShardResult:
    """Make each portrait; its seed depends on the run's seed, the identity and the portrait's number only.

    The diffusion engines keep every finished batch in `work`; the procedural one, done in seconds, keeps nothing."""
    items = [(item[:8], int(item[9:])) for item in shard.items]
    seeds = {item: integer(settings.seed, NAME, *item) for item in items}
    columns = ["traits"] if settings.engine == "procedural" else [*FACE, *GROUPS]
    anchors = {
        row["identity_id"]: row for row in upstream["anchors"].rows_of({identity for identity, _ in items}, columns)
    }
    if settings.engine == "procedural":
        return ShardResult(_drawn(seeds, settings, anchors))
    from salmu.tasks.portraits import generate

    grammar = prompts.load()
    orders = []
    for (identity_id, number), seed in seeds.items():
        wish = prompts.draw_wish(grammar, seed, anchors[identity_id])
        width, height = size_of(wish.aspect_ratio, settings)
        name = _file_name(identity_id, number, width, height)
        orders.append(generate.Order(name, identity_id, number, seed, width, height, wish))
    return generate.make(engine, settings.faceid, grammar, orders, anchors, work)


def size_of(aspect_ratio: float, settings: Settings) -> tuple[int, int]:
    """Width and height in pixels of a portrait that a FaceID engine makes."""
    width, height = procedural.size_of(aspect_ratio, settings.short_side)
    return _nearest(width, settings.faceid.size_multiple), _nearest(height, settings.faceid.size_multiple)


def _drawn(
    seeds: dict[tuple[str, int], int], settings: Settings, anchors: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of the engine procedural."""
    people = {identity_id: Person.model_validate_json(anchor["traits"]) for identity_id, anchor in anchors.items()}
    rows = []
    for (identity_id, number), seed in seeds.items():
        made = procedural.portrait(people[identity_id], seed, settings.short_side, settings.fault_share)
        name = _file_name(identity_id, number, made["width"], made["height"])
        rows.append({"file_name": name, "identity_id": identity_id, "portrait_index": number, "seed": seed} | made)
    return rows


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """How many portraits of whom, in which formats, asked for in which words, and what they look like."""
    anchors = {row["identity_id"]: row for row in upstream["anchors"].rows(["identity_id", *GROUPS])}
    faults, formats, groups, identities, asked = Counter(), Counter(), Counter(), Counter(), []
    for row in view.rows(["file_name", "identity_id", "fault", "width", "height", "prompt"]):
        if not identities[row["identity_id"]] and len(asked) < SHEET:
            asked.append({"portrait": row["file_name"], "prompt": row["prompt"]})
        identities[row["identity_id"]] += 1
        faults[row["fault"]] += 1
        formats[_format(row["width"], row["height"])] += 1
        groups.update((group, anchors[row["identity_id"]][group] or "unknown") for group in GROUPS)
    total, seconds = view.manifest.rows, sum(entry.seconds for entry in view.manifest.shards)
    text = (
        f"{total} portraits of {len(identities)} identities by engine {settings.engine!r} in {seconds:.1f} s of "
        f"work ({1000 * seconds / max(total, 1):.0f} ms each)"
    )
    tables = {
        "Demographics": [
            {"group": group, "value": value, "portraits": count} for (group, value), count in sorted(groups.items())
        ],
        "Formats": [
            {"format": name, "portraits": count, "share": round(count / total, 3)}
            for name, count in formats.most_common()
        ],
        "Prompts": asked,
    }
    if settings.engine == "procedural":
        text += f"; {total - faults[None]} with a planted fault."
        tables["Planted faults"] = [{"fault": fault, "portraits": faults[fault]} for fault in procedural.FAULTS]
    elif settings.faceid.safety_checker is None:
        text += "; the safety checker was off."
    else:
        text += f"; {view.manifest.rejects} rejected as unsafe."
    images = _first_images(view, list(identities)[:SHEET])
    return Summary(text, tables, {"Some identities": contact_sheet(images)} if images else {})


def _format(width: int, height: int) -> str:
    return "square" if width == height else "landscape" if width > height else "portrait"


def _first_images(view: StageView, identities: list[str]) -> list[list[bytes]]:
    """The first portraits of the identities, a row for each."""
    images: dict[str, list[bytes]] = {identity_id: [] for identity_id in identities}
    for row in view.rows_of(identities, ["image"], by="identity_id"):
        images[row["identity_id"]].append(row["image"])
    return [files[:SHEET] for files in images.values()]
