"""What is measured of a picture: its largest face, the face's pose and sharpness, and who it shows."""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from salmu.tasks.candidates.demographics import Facts, of_fairface, of_pack, of_zero_shot, settle
from salmu.tasks.candidates.images import Opened
from salmu.tasks.faces import (
    aligned_crop,
    crop_size,
    detect_faces,
    face_area,
    gender_and_age,
    pose,
    recognise,
    sharpness,
)
from salmu.tasks.fairface import FairFace, classify, face_chip
from salmu.tasks.labels import ZeroShot, answer, face_square

ZERO_SHOT_BATCH = 64


class Engine(NamedTuple):
    faces: Any  # insightface's FaceAnalysis
    fairface: FairFace | None
    zero_shot: ZeroShot | None


def measure(engine: Engine, pictures: list[Opened], known: list[dict[str, Facts]]) -> list[dict[str, Any] | None]:
    """The columns of each picture that come from looking at it; None where there is no face.

    known: for each picture, who already says what of gender, age and region; what the models say counts after that."""
    found = [detect_faces(engine.faces, picture.image) for picture in pictures]
    seen = [place for place, faces in enumerate(found) if faces]
    crops = [aligned_crop(pictures[place].image, found[place][0].kps, crop_size(engine.faces)) for place in seen]
    voices = _voices(engine, [(pictures[place].image, found[place][0]) for place in seen])
    rows: list[dict | None] = [None] * len(pictures)
    embeddings = recognise(engine.faces, crops) if crops else []
    for place, crop, embedding, said in zip(seen, crops, embeddings, voices, strict=True):
        rows[place] = (
            _of_picture(pictures[place], found[place])
            | {"face_embedding": embedding.tolist(), "sharpness": sharpness(crop)}
            | settle(known[place] | said)
        )
    return rows


def _of_picture(picture: Opened, faces: list) -> dict[str, Any]:
    face, *others = faces
    scale = max(picture.width, picture.height) / max(picture.image.shape[:2])
    yaw, pitch, roll = pose(face.kps)
    return {
        "image": picture.file,
        "width": picture.width,
        "height": picture.height,
        "faces": len(faces),
        "second_face": face_area(others[0]) / face_area(face) if others else 0.0,
        "detection_score": float(face.det_score),
        "box": face.bbox.tolist(),
        "landmarks": face.kps.reshape(-1).tolist(),
        "face_size": float(np.min(face.bbox[2:] - face.bbox[:2])) * scale,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
    }


def _voices(engine: Engine, faces: list[tuple[np.ndarray, Any]]) -> list[dict[str, Facts]]:
    """What each model says of each face, in the order in which they count."""
    voices: list[dict[str, Facts]] = [{} for _ in faces]
    pictures = [Image.fromarray(image) for image, _ in faces] if engine.fairface or engine.zero_shot else []
    if engine.fairface:
        chips = [face_chip(picture, face.kps) for picture, (_, face) in zip(pictures, faces, strict=True)]
        for said, answers in zip(voices, classify(engine.fairface, chips), strict=True):
            said["fairface"] = of_fairface(answers)
    if engine.zero_shot:
        squares = [face_square(picture, face.bbox) for picture, (_, face) in zip(pictures, faces, strict=True)]
        for said, answers in zip(voices, answer(engine.zero_shot, squares, "face", ZERO_SHOT_BATCH), strict=True):
            said["zero-shot"] = of_zero_shot(answers)
    for said, (image, face) in zip(voices, faces, strict=True):
        said["pack"] = of_pack(*gender_and_age(engine.faces, image, face))
    return voices
