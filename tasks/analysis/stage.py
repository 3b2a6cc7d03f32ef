"""The stage analysis: what can be measured on each portrait. It decides nothing; curation does."""

import io
import json
from collections import Counter
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from data import schemas
from data.keyed import digest
from data.settings import StageSettings
from data.store import Reject, Shard, ShardResult, StageView, chunks
from data.summary import Summary
from tasks.analysis.labels import ZeroShot, answer, clip_revision, face_square, load_zero_shot, whole_square
from tasks.faces import FaceSettings, face_revision, find_faces, load_faces

NAME, VERSION = "analysis", 1
UPSTREAM = ("anchors", "portraits")
SCHEMA, KEY = schemas.ANALYSIS, "file_name"


class Settings(StageSettings):
    """How portraits are measured."""

    faces: FaceSettings = Field(FaceSettings(), description="Face detection and recognition.")
    clip: str = Field(
        "embedded",
        description="Model for zero-shot labels: 'embedded', 'local-dir:FOLDER', 'hf-hub:ORG/NAME', or "
        "open_clip's 'MODEL/PRETRAINED'.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the zero-shot model computes.")
    batch_size: int = Field(64, ge=1, description="Pictures in a batch of the zero-shot model.")
    identities_per_shard: int = Field(12, ge=1, description="Identities whose portraits make a shard.")


class Engine(NamedTuple):
    faces: Any
    zero_shot: ZeroShot


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """The portraits of some identities a shard."""
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
    """Digests of the face pack, and of the zero-shot weights and questions."""
    return {"faces": face_revision(settings.faces), "clip": clip_revision(settings.clip)}


def load_engine(settings: Settings) -> Engine:
    return Engine(load_faces(settings.faces), load_zero_shot(settings.clip, settings.device))


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Engine) -> ShardResult:
    """Measure each portrait once; a picture that cannot be decoded is rejected."""
    portraits = upstream["portraits"].rows_of(shard.items, ["identity_id", "image"])
    identities = {portrait["identity_id"] for portrait in portraits}
    anchors = {
        row["identity_id"]: np.array(row["face_embedding"])
        for row in upstream["anchors"].rows_of(identities, ["face_embedding"])
    }
    rows, rejects, wholes, faces = [], [], [], {}
    for portrait in portraits:
        try:
            picture = Image.open(io.BytesIO(portrait["image"])).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            rejects.append(Reject(portrait["file_name"], "picture is damaged", str(error)))
            continue
        row = {
            "file_name": portrait["file_name"],
            "identity_id": portrait["identity_id"],
            "brightness": float(np.asarray(picture.convert("L")).mean() / 255),
        }
        found = find_faces(engine.faces, np.asarray(picture))
        row["faces"] = len(found)
        if found:
            row |= _measured(found[0], anchors[portrait["identity_id"]])
            faces[len(rows)] = face_square(picture, row["box"])
        rows.append(row)
        wholes.append(whole_square(picture))
    about_faces = dict(
        zip(faces, answer(engine.zero_shot, list(faces.values()), "face", settings.batch_size), strict=True)
    )
    for index, (row, labels) in enumerate(
        zip(rows, answer(engine.zero_shot, wholes, "image", settings.batch_size), strict=True)
    ):
        labels |= about_faces.get(index, {})
        for name in ("gender", "age_group"):
            if name in labels:
                row[name] = max(labels[name], key=labels[name].get)
                row[f"{name}_score"] = labels[name][row[name]]
        row["labels"] = json.dumps(labels)
    return ShardResult(rows, rejects)


def _measured(face, anchor: np.ndarray) -> dict[str, Any]:
    """The columns about the largest face."""
    embedding = face.normed_embedding
    return {
        "detection_score": float(face.det_score),
        "box": face.bbox.tolist(),
        "landmarks": face.kps.reshape(-1).tolist(),
        "face_embedding": embedding.tolist(),
        "anchor_similarity": float(embedding @ anchor / np.linalg.norm(anchor)),
    }


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """How many faces were found, and what the zero-shot model says, over all portraits."""
    counts: dict[str, Counter] = {"faces": Counter(), "gender": Counter(), "age_group": Counter()}
    similarities = []
    for table in view.tables([*counts, "anchor_similarity"]):
        for name, counter in counts.items():
            counter.update(table.column(name).to_pylist())
        similarities += table.column("anchor_similarity").drop_null().to_pylist()
    total = sum(counts["faces"].values())
    text = f"{total} portraits measured, {len(view.rejects())} damaged; a face in {len(similarities)} of them"
    if similarities:
        low, middle, high = np.percentile(similarities, (5, 50, 95))
        text += f"; similarity to the anchor {middle:.2f} (5 % below {low:.2f}, 5 % above {high:.2f})"
    rows = [
        {"measured": name, "value": str(value), "portraits": count}
        for name, counter in counts.items()
        for value, count in sorted(counter.items(), key=lambda item: (item[0] is None, item[0]))
        if value is not None
    ]
    return Summary(text + ".", {"What was found": rows})
