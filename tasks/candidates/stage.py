"""The stage candidates: every source picture is looked at once, and what is measured is kept beside a small copy, so
that choosing the anchors, with whatever thresholds, opens no source file again."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple

from PIL import Image
from pydantic import Field, field_validator

from salmu.data import licences, schemas
from salmu.data.foreign_names import NOT_TEXT, printable
from salmu.data.keyed import digest
from salmu.data.settings import NOT_IN_FINGERPRINT, StageSettings
from salmu.data.store import Reject, Shard, ShardResult, StageView, chunks
from salmu.data.summary import Summary
from salmu.tasks.candidates import procedural, sources
from salmu.tasks.candidates.attributes import read_attributes
from salmu.tasks.candidates.images import Opened, Refused, ahead, decode, read_file, shrunk
from salmu.tasks.candidates.measure import Engine, measure
from salmu.tasks.devices import Device, may_use_gpu
from salmu.tasks.face_packs import FaceSettings, face_revision, pack_licence, uses_cuda
from salmu.tasks.faces import load_faces
from salmu.tasks.fairface import FairFaceSettings, fairface_models, fairface_revision, load_fairface
from salmu.tasks.labels import clip_revision, load_zero_shot
from salmu.tasks.pictures import contact_sheet

NAME, VERSION = "candidates", 1
UPSTREAM = ()
SCHEMA, KEY = schemas.CANDIDATES, "identity_id"

DRAWN = 72  # unless the settings say otherwise
DRAWN_A_SHARD, READ_A_SHARD = 12, 500
BATCH = 64  # pictures analysed together: bounds what a shard holds at full size
GROUPS = ("gender", "age_group", "region")
SHEET = 32  # pictures on the contact sheet


class Settings(StageSettings):
    """Where the candidates come from, and how they are measured."""

    source: Literal["procedural", "images"] = Field(
        "procedural", description="procedural: faces drawn by the project; images: pictures of people, such as SFHQ."
    )
    images: tuple[str, ...] = Field(
        (),
        description="For source 'images': folders (read with their subfolders), .zip and .tar files (WebDataset), or "
        "folders of these. SFHQ's parts are read as Kaggle gives them; of FFHQ's copies the best.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )  # the files' names and stamps are in the shards
    attributes: str | None = Field(
        None,
        description="CSV file that says who is on the pictures: a column file, and any of gender, age, age_group and "
        "region.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )  # what it says is in the shards
    count: int | None = Field(
        None,
        ge=1,
        le=procedural.LARGEST_COUNT,
        description=f"procedural: how many are drawn, {DRAWN} unless given; images: how many are read, the first ones; "
        "all unless given.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    shard_size: int | None = Field(
        None,
        ge=1,
        description=f"Candidates in a shard; unless given, {DRAWN_A_SHARD} drawn or {READ_A_SHARD} read ones.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    size: int = Field(160, ge=96, le=2048, description="Side in pixels of a drawn candidate.")
    keep_side: int = Field(
        512,
        ge=112,
        le=2048,
        description="Longer side in pixels to which a picture is shrunk before it is analysed and kept.",
    )
    keep_quality: int = Field(90, ge=50, le=100, description="JPEG quality of the pictures that are kept.")
    decoding_threads: int = Field(
        2,
        ge=1,
        le=64,
        description="Pictures decoded at the same time by a worker.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    faces: FaceSettings = Field(FaceSettings(), description="Face detection and recognition.")
    fairface: FairFaceSettings = Field(
        FairFaceSettings(), description="Classifier for gender, age group and region of source 'images', if any."
    )
    clip: str | None = Field(
        None,
        description="Zero-shot model for what neither attributes nor FairFace say, as in analysis.clip; not used "
        "unless it is given.",
    )
    clip_questions: str = Field("labels", description="Its questions: the file prompts/<name>.yaml.")
    device: Device = Field("auto", description="Where the zero-shot model computes.")

    @field_validator("images", mode="before")
    @classmethod
    def _one_path(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given


class Candidate(NamedTuple):
    """A picture on its way: `known` holds what is known without looking at it."""

    identity_id: str
    source_file: str | None
    opened: Opened | Refused
    known: dict[str, Any]
    traits: str | None = None


def reads_files(settings: Settings) -> bool:
    """Whether the plan depends on files from outside of the run."""
    return settings.source != "procedural" or settings.attributes is not None


def candidates_a_shard(settings: Settings) -> int:
    """Candidates in a shard."""
    return settings.shard_size or (DRAWN_A_SHARD if settings.source == "procedural" else READ_A_SHARD)


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """Identity ids to draw; or for each picture, as JSON: its id, where it lies, and what the attributes file says.

    Raises UserError for a path or an attributes file that cannot be read."""
    size = candidates_a_shard(settings)
    if settings.source == "procedural":
        ids = procedural.identity_ids(settings.seed, settings.count or DRAWN)
        return [Shard(index=index, items=items) for index, items in enumerate(chunks(ids, size))]
    listed = sources.list_pictures(settings.images)[: settings.count]
    attributes = read_attributes(settings.attributes)
    names = [picture.member or picture.file for picture, _ in listed]
    items = [
        _as_item([identity_id, picture, attributes.of(picture.name)])
        for identity_id, (picture, _) in zip(sources.identity_ids(names), listed, strict=True)
    ]
    stamps = chunks([stamp for _, stamp in listed], size)
    return [
        Shard(index=index, items=group, inputs=digest(stamped))
        for index, (group, stamped) in enumerate(zip(chunks(items, size), stamps, strict=True))
    ]


def _as_item(content: list) -> str:
    """As JSON; the bytes of a name that is not UTF-8 are escaped, everything else is not."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return NOT_TEXT.sub(lambda byte: f"\\u{ord(byte[0]):04x}", text)


def revisions(settings: Settings) -> dict[str, str]:
    """Digests of the models' files and of the questions."""
    found = {"faces": face_revision(settings.faces)}
    if settings.source == "images":
        found["fairface"] = fairface_revision(settings.fairface)
        if settings.clip:
            found["clip"] = clip_revision(settings.clip, settings.clip_questions)
    return found


def models(settings: Settings) -> list[licences.Model]:
    """The models that take part, with their licences."""
    found = [pack_licence(settings.faces, "finds and recognises the candidates' faces")]
    if settings.source == "images":
        found += fairface_models(settings.fairface)
        if settings.clip:
            found.append(licences.model(settings.clip, "", "gender, age group and region of the candidates"))
    return found


def uses_gpu(settings: Settings) -> bool:
    """Whether any of the models would run on a GPU here."""
    asked = settings.source == "images"
    return (
        uses_cuda(settings.faces)
        or bool(asked and settings.fairface.checkpoint and may_use_gpu(settings.fairface.device))
        or bool(asked and settings.clip and may_use_gpu(settings.device))
    )


def load_engine(settings: Settings) -> Engine:
    asked = settings.source == "images"
    return Engine(
        load_faces(settings.faces),
        load_fairface(settings.fairface) if asked else None,
        load_zero_shot(settings.clip, settings.device, settings.clip_questions) if asked and settings.clip else None,
    )


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Engine) -> ShardResult:
    """Draw or read each picture and measure its largest face; rejected are files that are no usable picture, and
    pictures without a face."""
    candidates = (_drawn if settings.source == "procedural" else _read)(shard, settings)
    rows, rejects = [], []
    while batch := list(islice(candidates, BATCH)):
        usable = [candidate for candidate in batch if isinstance(candidate.opened, Opened)]
        found = measure(engine, [one.opened for one in usable], [one.known for one in usable])
        measured = {one.identity_id: row for one, row in zip(usable, found, strict=True)}
        for candidate in batch:
            item = candidate.source_file or candidate.identity_id
            if isinstance(candidate.opened, Refused):
                rejects.append(Reject(item, *candidate.opened))
            elif row := measured[candidate.identity_id]:
                where = {"source": settings.source, "source_file": candidate.source_file, "traits": candidate.traits}
                rows.append(row | where | {"identity_id": candidate.identity_id})
            else:
                rejects.append(Reject(item, "no face", f"{candidate.opened.width} x {candidate.opened.height} pixels"))
    return ShardResult(rows, rejects)


def _drawn(shard: Shard, settings: Settings) -> Iterator[Candidate]:
    first = shard.index * (settings.shard_size or DRAWN_A_SHARD)
    for index, identity_id in enumerate(shard.items, first):
        person, image = procedural.draw(settings.seed, index, identity_id, settings.size)
        known = {"gender": person.gender, "age": person.age, "age_group": person.age_group, "region": person.region}
        opened = shrunk(Image.fromarray(image), settings.keep_side, settings.keep_quality, *image.shape[1::-1])
        yield Candidate(identity_id, None, opened, {"drawn": known | {"adult": True}}, person.model_dump_json())


def _read(shard: Shard, settings: Settings) -> Iterator[Candidate]:
    items = [json.loads(item) for item in shard.items]
    opened = ahead(partial(_open, settings=settings), items, settings.decoding_threads)
    for (identity_id, place, said), picture in zip(items, opened, strict=True):
        yield Candidate(identity_id, printable(sources.Picture(*place).name), picture, {"attributes": said})


def _open(item: list, settings: Settings) -> Opened | Refused:
    content = read_file(settings.images, sources.Picture(*item[1]))
    if isinstance(content, Refused):
        return content
    return decode(content, settings.keep_side, settings.keep_quality)


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """How many pictures are candidates, who says what of them, why others are none, and what they look like."""
    groups, voices = Counter(), Counter()
    for row in view.rows([*GROUPS, "labels_from"]):
        groups.update((group, row[group] or "unknown") for group in GROUPS)
        voices[row["labels_from"] or "nobody"] += 1
    rejects = Counter(reject.reason for reject in view.rejects())
    looked_at, seconds = view.manifest.rows + rejects.total(), sum(entry.seconds for entry in view.manifest.shards)
    text = (
        f"{view.manifest.rows} candidates among {looked_at} pictures of source {settings.source!r} in {seconds:.1f} s "
        f"of work ({looked_at / max(seconds, 0.001):.1f} pictures/s); {rejects.total()} rejected."
    )
    tables = {
        "Demographics": [
            {"group": group, "value": value, "candidates": count} for (group, value), count in sorted(groups.items())
        ],
        "Who says so": [{"labels from": name, "candidates": count} for name, count in voices.most_common()],
    }
    if rejects:
        tables["Rejected"] = [{"reason": reason, "pictures": count} for reason, count in rejects.most_common()]
    if settings.source == "images" and (left_out := sources.left_out(settings.images)):
        text += (
            f" {len(left_out)} further pictures, such as {printable(left_out[0])}, repeat others or show no faces and "
        )
        text += "were not read."
    if settings.attributes and (unknown := read_attributes(settings.attributes).unknown):
        text += f" {unknown.total()} values of the attributes file are unknown and left out."
        tables["Unknown attributes"] = [
            {"column": column, "value": value, "lines": count} for (column, value), count in unknown.most_common(SHEET)
        ]
    pictures = _first_images(view, SHEET)
    return Summary(text, tables, {"Candidates": contact_sheet(chunks(pictures, 8))} if pictures else {})


def _first_images(view: StageView, count: int) -> list[bytes]:
    images: list[bytes] = []
    for table in view.tables(["image"]):
        images += table.column("image").to_pylist()[: count - len(images)]
        if len(images) == count:
            break
    return images
