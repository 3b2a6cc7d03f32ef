"""The stage analysis: what can be measured on each portrait. It decides nothing; curation does."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from salmu.data import schemas
from salmu.data.keyed import digest
from salmu.data.licences import Model, model
from salmu.data.pictures import PictureError, decode
from salmu.data.settings import NOT_IN_FINGERPRINT, StageSettings
from salmu.data.store import Reject, Shard, ShardResult, StageView, chunks
from salmu.data.summary import Summary
from salmu.model_training.loading.pixels import sized
from salmu.tasks.devices import Device, may_use_gpu
from salmu.tasks.face_packs import FaceSettings, face_revision, pack_licence, uses_cuda
from salmu.tasks.faces import aligned_crop, crop_size, detect_faces, load_faces, recognise, sharpness
from salmu.tasks.fairface import (
    FairFace,
    FairFaceSettings,
    checkpoints,
    classify,
    face_chip,
    fairface_models,
    fairface_revision,
    load_fairface,
)
from salmu.tasks.labels import ZeroShot, answers_to, clip_revision, embed, face_square, load_zero_shot, whole_square

NAME, VERSION = "analysis", 2
UPSTREAM = ("anchors", "portraits")
SCHEMA, KEY = schemas.ANALYSIS, "file_name"
QUESTIONS = ("gender", "age_group", "region")  # whose winners have columns of their own


class Settings(StageSettings):
    """How portraits are measured."""

    faces: FaceSettings = Field(FaceSettings(), description="Face detection and recognition.")
    clip: str = Field(
        "embedded",
        description="Model for zero-shot labels: 'embedded', 'local-dir:FOLDER', 'hf-hub:ORG/NAME', or "
        "open_clip's 'MODEL/PRETRAINED'.",
    )
    questions: str = Field(
        "labels",
        pattern=r"^[\w-]+$",
        description="Questions to the zero-shot model: a file prompts/QUESTIONS.yaml. labels for the embedded model, "
        "labels_photographs for real ones.",
    )
    fairface: FairFaceSettings = Field(
        FairFaceSettings(),
        description="A further voter on gender, age group and region; none unless a checkpoint is set.",
    )
    second_faces: FaceSettings | None = Field(
        None,
        description="A second face pack, that judges too whether a portrait shows its anchor "
        "(curation.min_second_similarity): the pack that portraits are conditioned on should not be the only judge.",
    )
    device: Device = Field("auto", description="Where the zero-shot model computes.")
    batch_size: int = Field(64, ge=1, description="Pictures in a batch of the zero-shot model.")
    threads: int = Field(
        2,
        ge=1,
        description="Threads that decode pictures and detect faces ahead of the models.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    identities_per_shard: int = Field(12, ge=1, description="Identities whose portraits make a shard.")

    def fingerprint(self) -> dict[str, Any]:
        """Without a second pack, that of the runs before there was one."""
        values = super().fingerprint()
        if self.second_faces is None:
            del values["second_faces"]
        return values


class Engine(NamedTuple):
    faces: Any
    zero_shot: ZeroShot
    fairface: FairFace | None
    second: Any = None  # the second face pack


class Look(NamedTuple):
    """A decoded portrait: its row so far, and what the models still have to see."""

    row: dict[str, Any]
    whole: np.ndarray
    face: np.ndarray | None = None
    crop: np.ndarray | None = None
    chip: Image.Image | None = None
    second: np.ndarray | None = None  # the face as the second pack aligns it


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """The portraits of some identities a shard; all of an identity are in one."""
    portraits: dict[str, list[str]] = {}
    for row in upstream["portraits"].rows(["file_name", "identity_id"]):
        portraits.setdefault(row["identity_id"], []).append(row["file_name"])
    shards = []
    for index, identities in enumerate(chunks(list(portraits), settings.identities_per_shard)):
        items = tuple(name for identity in identities for name in portraits[identity])
        inputs = digest(upstream["anchors"].digest_of(identities), upstream["portraits"].digest_of(items))
        shards.append(Shard(index=index, items=items, inputs=inputs))
    return shards


def revisions(settings: Settings) -> dict[str, str]:
    """Digests of the face pack, of the zero-shot weights and questions, and of the classifiers if there are any."""
    found = {"faces": face_revision(settings.faces), "clip": clip_revision(settings.clip, settings.questions)}
    if settings.second_faces:
        found["second faces"] = face_revision(settings.second_faces)
    return found | ({"fairface": fairface_revision(settings.fairface)} if checkpoints(settings.fairface) else {})


def models(settings: Settings) -> list[Model]:
    """The weights that are used, with their licences."""
    return [
        pack_licence(settings.faces, "face detection and recognition"),
        model(settings.clip, "", "zero-shot labels and embeddings of portraits"),
        *fairface_models(settings.fairface),
        *([pack_licence(settings.second_faces, "a second opinion on faces")] if settings.second_faces else []),
    ]


def uses_gpu(settings: Settings) -> bool:
    """Whether a GPU here would be used."""
    classifies = bool(checkpoints(settings.fairface)) and may_use_gpu(settings.fairface.device)
    packs = [pack for pack in (settings.faces, settings.second_faces) if pack]
    return may_use_gpu(settings.device) or classifies or any(map(uses_cuda, packs))


def load_engine(settings: Settings) -> Engine:
    return Engine(
        load_faces(settings.faces),
        load_zero_shot(settings.clip, settings.device, settings.questions),
        load_fairface(settings.fairface),
        load_faces(settings.second_faces) if settings.second_faces else None,
    )


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Engine) -> ShardResult:
    """Measure each portrait once; a picture that cannot be decoded is rejected."""
    portraits = upstream["portraits"].rows_of(shard.items, ["identity_id", "image"])
    identities = {portrait["identity_id"] for portrait in portraits}
    anchors = {
        row["identity_id"]: np.array(row["face_embedding"]) / np.linalg.norm(row["face_embedding"])
        for row in upstream["anchors"].rows_of(identities, ["face_embedding"])
    }
    result = measure(portraits, settings, engine)
    for row in result.rows:
        if row["face_embedding"] is not None:
            row["anchor_similarity"] = float(np.dot(row["face_embedding"], anchors[row["identity_id"]]))
    if engine.second:
        _second_opinion(result.rows, upstream["anchors"].rows_of(identities, ["image"]), engine)
    return result


def _second_opinion(rows: list[dict[str, Any]], anchors: list[dict[str, Any]], engine: Engine) -> None:
    """Put the second pack's cosine to the anchor in the place of its embeddings; none where it finds no face."""
    seen = {row["identity_id"]: _second_crop(engine, np.asarray(decode(row["image"], upright=True))) for row in anchors}
    found = {identity: recognise(engine.second, [crop])[0] for identity, crop in seen.items() if crop is not None}
    for row in rows:
        embedding, anchor = row.pop("second_embedding", None), found.get(row["identity_id"])
        if embedding is not None and anchor is not None:
            row["second_similarity"] = float(np.dot(embedding, anchor))


def _second_crop(engine: Engine, pixels: np.ndarray) -> np.ndarray | None:
    """The largest face of an image [h, w, 3] as the second pack finds and aligns it."""
    faces = detect_faces(engine.second, pixels) if engine.second else []
    return aligned_crop(pixels, faces[0].kps, crop_size(engine.second)) if faces else None


def measure(portraits: Iterable[dict[str, Any]], settings: Settings, engine: Engine) -> ShardResult:
    """The rows of portraits (file_name, identity_id and image, a picture file), but for the similarity to the anchor.

    Threads decode and detect ahead while the models, in batches, see what is ready. Of `settings` only threads and
    batch_size are used."""
    rows, rejects, batch = [], [], []
    for look in ahead(partial(decode_and_detect, engine), portraits, settings.threads, settings.batch_size):
        if isinstance(look, Reject):
            rejects.append(look)
            continue
        batch.append(look)
        if len(batch) == settings.batch_size:
            rows += recognised(batch, engine)
            batch = []
    return ShardResult(rows + recognised(batch, engine), rejects)


def ahead(function: Callable, items: Iterable, threads: int, window: int) -> Iterator:
    """function(item) for each item in order, computed by threads up to `window` items ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def decode_and_detect(engine: Engine, portrait: dict[str, Any]) -> Look | Reject:
    """Decode a picture, find its faces and cut out what the models want to see."""
    try:
        picture = decode(portrait["image"], upright=True)
    except PictureError as error:
        return Reject(portrait["file_name"], "picture is damaged", str(error))
    pixels = np.asarray(picture)
    faces = detect_faces(engine.faces, pixels)
    row = {
        "file_name": portrait["file_name"],
        "identity_id": portrait["identity_id"],
        "brightness": float(np.asarray(picture.convert("L")).mean() / 255),
        "faces": len(faces),
        "face_embedding": None,
    }
    whole = sized(engine.zero_shot.preprocess, whole_square(picture))
    if not faces:
        return Look(row, whole)
    box, landmarks = faces[0].bbox.tolist(), faces[0].kps
    crop = aligned_crop(pixels, landmarks, crop_size(engine.faces))
    row |= {
        "detection_score": float(faces[0].det_score),
        "box": box,
        "landmarks": landmarks.reshape(-1).tolist(),
        "sharpness": sharpness(crop),
    }
    face = sized(engine.zero_shot.preprocess, face_square(picture, box))
    chip = face_chip(picture, landmarks) if engine.fairface else None
    return Look(row, whole, face, crop, chip, _second_crop(engine, pixels))


def recognised(looks: list[Look], engine: Engine) -> list[dict[str, Any]]:
    """The rows of a batch with what the models say."""
    if not looks:
        return []
    embeddings = embed(engine.zero_shot, [look.whole for look in looks])
    labels = answers_to(engine.zero_shot, embeddings, "image")
    for look, embedding in zip(looks, embeddings.tolist(), strict=True):
        look.row["clip_embedding"] = embedding
    with_face = [index for index, look in enumerate(looks) if look.face is not None]
    if with_face:
        about_faces = answers_to(engine.zero_shot, embed(engine.zero_shot, [looks[i].face for i in with_face]), "face")
        found = recognise(engine.faces, [looks[index].crop for index in with_face])
        for index, answers, embedding in zip(with_face, about_faces, found, strict=True):
            labels[index] |= answers
            looks[index].row.update({"face_embedding": embedding.tolist()} | _winners(answers, ""))
    twice = [look for look in looks if look.second is not None]
    if twice:
        found = recognise(engine.second, [look.second for look in twice])
        for look, embedding in zip(twice, found, strict=True):
            look.row["second_embedding"] = embedding
    if engine.fairface and with_face:
        found = classify(engine.fairface, [looks[index].chip for index in with_face])
        for index, answers in zip(with_face, found, strict=True):
            looks[index].row.update({"fairface": json.dumps(answers)} | _winners(answers, "fairface_"))
    return [look.row | {"labels": json.dumps(answers)} for look, answers in zip(looks, labels, strict=True)]


def _winners(answers: dict[str, dict[str, float]], prefix: str) -> dict[str, Any]:
    """The columns of the most probable labels."""
    found = {}
    for name in QUESTIONS:
        if name in answers:
            winner = max(answers[name], key=answers[name].get)
            found |= {f"{prefix}{name}": winner, f"{prefix}{name}_score": answers[name][winner]}
    return found


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """How many faces were found, and what the voters say, over all portraits."""
    names = ["faces", *(prefix + name for name in QUESTIONS for prefix in ("", "fairface_"))]
    counts: dict[str, Counter] = {name: Counter() for name in names}
    agree: dict[str, list[bool]] = {name: [] for name in QUESTIONS}
    similarities = []
    for table in view.tables([*counts, "anchor_similarity"]):
        columns = {name: table.column(name).to_pylist() for name in counts}
        for name, counter in counts.items():
            counter.update(columns[name])
        for name in QUESTIONS:
            pairs = zip(columns[name], columns[f"fairface_{name}"], strict=True)
            agree[name] += [one == other for one, other in pairs if one is not None and other is not None]
        similarities += table.column("anchor_similarity").drop_null().to_pylist()
    total = sum(counts["faces"].values())
    text = f"{total} portraits measured, {len(view.rejects())} damaged; a face in {len(similarities)} of them"
    if similarities:
        low, middle, high = np.percentile(similarities, (5, 50, 95))
        text += f"; similarity to the anchor {middle:.2f} (5 % below {low:.2f}, 5 % above {high:.2f})"
    text += "".join(
        f"; zero-shot and FairFace agree on {name} for {np.mean(same):.0%}" for name, same in agree.items() if same
    )
    rows = [
        {"measured": name, "value": str(value), "portraits": count}
        for name, counter in counts.items()
        for value, count in sorted(counter.items(), key=lambda item: (item[0] is None, item[0]))
        if value is not None
    ]
    return Summary(text + ".", {"What was found": rows})
