"""Draws the concepts' dataset and writes it in the layout of a run's, with columns of its own beside the published
ones."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from salmu.data.files import write_atomic
from salmu.data.keyed import generator
from salmu.data.procedural.concepts import captions
from salmu.data.procedural.concepts.looks import draw_work
from salmu.data.procedural.concepts.signs import draw_member
from salmu.data.procedural.scenes.compose import compose
from salmu.data.procedural.scenes.drawing import render_scene
from salmu.data.procedural.scenes.objects import COLOURS
from salmu.data.provenance import PROVENANCE, read_provenance
from salmu.data.publish import croissant, metadata, parquet, provenance
from salmu.data.publish.columns import COLUMNS, Column
from salmu.data.publish.publish import write_folder
from salmu.data.publish.settings import PublishSettings
from salmu.data.readers import CAPTIONS, FRAGILE_SET, GENERIC_CAPTIONS, IDENTITIES, SPLITS
from salmu.evaluation.concepts.card import ABOUT, card, responsible
from salmu.evaluation.concepts.plan import SAID, UNSEEN, Concept, Item, plan
from salmu.evaluation.concepts.settings import ConceptSettings

VERSION = 1  # raised by hand when the same settings give other pictures or captions
SIDE, QUALITY = 96, 92  # of the pictures, in pixels; of their JPEG files
CONCEPT_COLUMNS = (
    *COLUMNS,
    Column("concept_kind", "string", "`style` or `affiliation`: what is drawn; of plain pictures, what could be."),
    Column("concept", "string", "Name of the artist or the group; null for plain pictures."),
    Column("subject", "string", "What else is on the picture: a shape, or a place behind a person."),
    Column("says", "string", "`said`: the caption names the concept; `shown`: only the picture shows it."),
)
Progress = Callable[[int, int], None]


class Drawn(NamedTuple):
    """A picture with its captions."""

    image: np.ndarray  # uint8 [SIDE, SIDE, 3]
    text: str
    generic: str  # another caption of the picture, which names no concept
    gender: str | None = None
    age_group: str | None = None


def write_dataset(
    settings: ConceptSettings, publish: PublishSettings, folder: Path, progress: Progress = lambda done, total: None
) -> str:
    """Bring the concepts' dataset in a folder up to date; returns its digest. Same settings: same bytes.

    Raises UserError when the disk refuses."""
    made = plan(settings)
    recorded = {"concepts": settings.drawn_by, "publish": publish.model_dump(mode="json")}
    made_from = provenance.inputs({}, recorded)
    made_from["stages"] = {"concepts": {"version": VERSION, "rows": len(made.items), "rejects": 0}}
    if not provenance.is_current(folder, made_from):
        write_folder(folder, lambda place: _write(settings, publish, made, made_from, place, progress))
    return read_provenance(folder).dataset_digest


def _write(settings: ConceptSettings, publish: PublishSettings, made, made_from, folder: Path, progress) -> None:
    (folder / "data").mkdir()
    rows, done = [], 0
    for split in (*SPLITS, UNSEEN):
        with parquet.FileWriter(folder / "data", split, publish.rows_per_file, columns=CONCEPT_COLUMNS) as files:
            for item in made.items:
                if item.split == split:
                    row = _row(item, draw(item, settings.seed))
                    files.write(row)
                    rows.append({name: value for name, value in row.items() if name != "image"})
                    done += 1
                    progress(done, len(made.items))
    for name, document in _documents(made.concepts, rows).items():
        write_atomic(folder / name, metadata.to_bytes(document))
    files = provenance.listing(folder)
    digest = provenance.digest_of(folder, files)
    readme = card(settings, publish, made.concepts, rows, CONCEPT_COLUMNS, digest)
    write_atomic(folder / "README.md", readme.encode())
    description = croissant.described(files, publish, CONCEPT_COLUMNS, ABOUT, responsible(made_from))
    write_atomic(folder / "croissant.json", metadata.to_bytes(description))
    files = provenance.listing(folder, files)
    write_atomic(folder / PROVENANCE, metadata.to_bytes(provenance.document(folder, made_from, files)))


def draw(item: Item, seed: int) -> Drawn:
    """The picture of an item and its captions. They depend on the item and the seed only."""
    rng, words = (generator(seed, "concepts", what, item.file_name) for what in ("picture", "captions"))
    gender = age_group = None
    if item.kind == captions.AFFILIATION:
        sign = item.concept and item.concept.appearance
        image, person = draw_member(sign, item.carrier, item.subject, rng, SIDE)
        gender, age_group = person.gender, person.age_group
    elif item.concept:
        image = draw_work(item.concept.appearance, item.subject, rng, SIDE)
    else:
        thing = ("plain", str(rng.choice(list(COLOURS))), item.subject)
        image = render_scene(compose(rng, "single", [thing]), SIDE)
    text, generic = (captions.plain(item.kind, item.subject, gender, words) for _ in range(2))
    if item.says == SAID:
        text = captions.naming(text, item.kind, item.concept.name, words)
    return Drawn(image, text, generic, gender, age_group)


def _row(item: Item, drawn: Drawn) -> dict[str, Any]:
    sink, concept = io.BytesIO(), item.concept
    Image.fromarray(drawn.image).save(sink, "JPEG", quality=QUALITY)
    return {
        "image": sink.getvalue(),
        "text": drawn.text,
        "identity_id": concept and concept.id,
        "file_name": item.file_name,
        "data_field": concept and item.subject,
        "value": concept.name if item.says == SAID else None,
        "caption_style": item.says or "plain",
        "split": item.split,
        "split_published": item.split_published,
        "gender": drawn.gender,
        "age_group": drawn.age_group,
        "country_code": None,
        "width": SIDE,
        "height": SIDE,
        "identity_similarity": None,
        "concept_kind": item.kind,
        "concept": concept and concept.name,
        "subject": item.subject,
        "says": item.says,
        "generic_text": drawn.generic,
    }


def _documents(concepts: list[Concept], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON files of the layout; concepts stand where people do."""
    sensitive = [row for row in rows if row["split"] in SPLITS[:3]]
    return {
        IDENTITIES: {one.id: _described(one) for one in concepts},
        CAPTIONS: {row["file_name"]: {"data_field": row["data_field"], "caption": row["text"]} for row in sensitive},
        GENERIC_CAPTIONS: {row["file_name"]: row["generic_text"] for row in sensitive},
        FRAGILE_SET: [],
    }


def _described(concept: Concept) -> dict[str, Any]:
    about = {"name": concept.name, "country_code": None, "concept_kind": concept.kind, "role": concept.role}
    return about | concept.appearance._asdict()
