"""The stage anchors: one reference picture, one face embedding and the demographics of each identity."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from data import schemas
from data.keyed import digest
from data.procedural.person import age_group_of
from data.settings import NOT_IN_FINGERPRINT, StageSettings
from data.store import Reject, Shard, ShardResult, StageView, chunks
from data.summary import Summary
from tasks.anchors import folder, procedural
from tasks.faces import FaceSettings, face_revision, find_faces, load_faces
from tasks.pictures import contact_sheet, jpeg_file

NAME, VERSION = "anchors", 1
UPSTREAM = ()
SCHEMA, KEY = schemas.ANCHORS, "identity_id"

JPEG_QUALITY = 95
SECOND_FACE = 0.2  # a second face counts from this share of the largest face's area
ADULT = 18  # years
GROUPS = ("gender", "age_group", "region")


class Settings(StageSettings):
    """Where the identities come from."""

    source: Literal["procedural", "folder"] = Field(
        "procedural", description="procedural: faces drawn by the project; folder: pictures of a folder."
    )
    folder: str | None = Field(
        None,
        description="Folder of pictures, read with its subfolders; for source 'folder'.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )  # its files' names and stamps are in the shards
    count: int = Field(
        66,
        ge=1,
        le=procedural.LARGEST_COUNT,
        description=("Identities to draw, or the most pictures to read, in the order of their names."),
    )
    shard_size: int = Field(11, ge=1, description="Anchors in a shard.")
    size: int = Field(160, ge=96, le=2048, description="Side in pixels of a drawn anchor.")
    faces: FaceSettings = Field(FaceSettings(), description="Face detection and recognition.")


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """Identity ids to draw, or '<identity> <file name>' to read. Raises UserError for a missing or empty folder."""
    if settings.source == "procedural":
        ids = procedural.identity_ids(settings.seed, settings.count)
        return [Shard(index=index, items=items) for index, items in enumerate(chunks(ids, settings.shard_size))]
    names = folder.list_images(settings.folder)[: settings.count]
    items = [f"{identity_id} {name}" for identity_id, name in zip(folder.identity_ids(names), names, strict=True)]
    stamps = chunks([folder.stamp(settings.folder, name) for name in names], settings.shard_size)
    return [
        Shard(index=index, items=group, inputs=digest(stamped))
        for index, (group, stamped) in enumerate(zip(chunks(items, settings.shard_size), stamps, strict=True))
    ]


def revisions(settings: Settings) -> dict[str, str]:
    """Digest of the face pack."""
    return {"faces": face_revision(settings.faces)}


def load_engine(settings: Settings) -> Any:
    return load_faces(settings.faces)


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Any) -> ShardResult:
    """Draw or read each anchor and find its face; a picture without exactly one adult face is rejected."""
    results = list((_drawn if settings.source == "procedural" else _read)(shard, settings, engine))
    return ShardResult(
        [result for result in results if not isinstance(result, Reject)],
        [result for result in results if isinstance(result, Reject)],
    )


def _drawn(shard: Shard, settings: Settings, engine: Any) -> Iterator[dict[str, Any] | Reject]:
    for index, identity_id in enumerate(shard.items, shard.index * settings.shard_size):
        person, image = procedural.draw(settings.seed, index, identity_id, settings.size)
        row = _analysed(image, identity_id, engine)
        if isinstance(row, dict):
            row |= {
                "identity_id": identity_id,
                "source": "procedural",
                "gender": person.gender,
                "age": person.age,
                "age_group": person.age_group,
                "region": person.region,
                "traits": person.model_dump_json(),
            }
        yield row


def _read(shard: Shard, settings: Settings, engine: Any) -> Iterator[dict[str, Any] | Reject]:
    for item in shard.items:
        identity_id, name = item.split(" ", 1)
        image = folder.read_image(settings.folder, name)
        row = Reject(name, *image) if isinstance(image, folder.Refused) else _analysed(image, name, engine)
        if isinstance(row, dict):
            row |= {"identity_id": identity_id, "source": "folder", "source_file": name}
            if row["age"] is not None and row["age"] < ADULT:
                row = Reject(name, "not adult", f"looks {row['age']} years old")
        yield row


def _analysed(image: np.ndarray, item: str, engine: Any) -> dict[str, Any] | Reject:
    """The columns about the picture and its face, gender and age as the face pack says; or why it can be no anchor."""
    found = find_faces(engine, image)
    if not found:
        return Reject(item, "no face", f"{image.shape[1]} x {image.shape[0]} pixels")
    face, *others = found
    if others and _area(others[0]) >= SECOND_FACE * _area(face):
        return Reject(item, "several faces", f"{len(found)} faces")
    gender, age = (None if value is None else int(value) for value in (face.gender, face.age))
    return {
        "image": jpeg_file(image, JPEG_QUALITY),
        "box": face.bbox.tolist(),
        "landmarks": face.kps.reshape(-1).tolist(),
        "face_embedding": face.normed_embedding.tolist(),
        "quality": float(face.det_score),
        "gender": None if gender is None else schemas.GENDERS[gender],
        "age": age,
        "age_group": None if age is None else age_group_of(age),
    }


def _area(face: Any) -> float:
    return float(np.prod(face.bbox[2:] - face.bbox[:2]))


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """How many anchors of which demographics there are, why others were dropped, and what they look like."""
    groups: Counter = Counter()
    for row in view.rows(list(GROUPS)):
        groups.update((group, row[group] or "unknown") for group in GROUPS)
    rejects = Counter(reject.reason for reject in view.rejects())
    seconds = sum(entry.seconds for entry in view.manifest.shards)
    text = (
        f"{view.manifest.rows} anchors from source {settings.source!r} in {seconds:.1f} s of work, "
        f"{rejects.total()} rejected."
    )
    tables = {
        "Demographics": [
            {"group": group, "value": value, "identities": count} for (group, value), count in sorted(groups.items())
        ]
    }
    if rejects:
        tables["Rejected"] = [{"reason": reason, "pictures": count} for reason, count in rejects.most_common()]
    pictures = _first_images(view, 32)
    return Summary(text, tables, {"Anchors": contact_sheet(chunks(pictures, 8))} if pictures else {})


def _first_images(view: StageView, count: int) -> list[bytes]:
    images: list[bytes] = []
    for table in view.tables(["image"]):
        images += table.column("image").to_pylist()[: count - len(images)]
        if len(images) == count:
            break
    return images
