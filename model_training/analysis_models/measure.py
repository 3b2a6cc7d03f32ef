"""Measure the trained models on people whom they were not trained on, by the way that a portrait takes: JPEG,
insightface, open_clip."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import open_clip
import torch
from insightface.app import FaceAnalysis
from PIL import Image
from sklearn.metrics import roc_auc_score

from salmu.data import keyed
from salmu.data.documents import read_yaml
from salmu.data.procedural.person import Person
from salmu.data.schemas import AGE_GROUPS
from salmu.model_training.analysis_models.clip import COUNTS, square_of_face, square_of_image
from salmu.model_training.analysis_models.detector import SIDE
from salmu.model_training.analysis_models.portraits import Portrait, darken, decode

LABELS = Path(__file__).parents[2] / "prompts" / "labels.yaml"
FACES = {"anchor": 1, "portrait": 1, "two_faces": 2, "no_face": 0}
SHARES = (0.01, 0.05, 0.5, 0.95, 0.99)


def measure(folder: Path, portraits: Sequence[Portrait], people: Sequence[Person], seed: int) -> dict[str, Any]:
    """All figures of the models in `folder` on the portraits: faces found, verification, gender and age, zero-shot
    labels."""
    found = _find_faces(folder / "faces", portraits)
    right = np.array([len(faces) == FACES[portrait.kind] for portrait, faces in zip(portraits, found, strict=True)])
    kinds = np.array([portrait.kind for portrait in portraits])
    single = [
        (portrait, faces[0])
        for portrait, faces in zip(portraits, found, strict=True)
        if FACES[portrait.kind] == 1 and faces
    ]
    errors = [
        np.linalg.norm(face.kps - portrait.landmarks[0], axis=1).mean() / np.ptp(portrait.boxes[0][1::2])
        for portrait, face in single
    ]
    years = [abs(face.age - people[portrait.identity].age) for portrait, face in single]
    gender = [face.sex == people[portrait.identity].gender[0].upper() for portrait, face in single]
    return _rounded(
        {
            "people": len(people),
            "portraits": len(portraits),
            "face_count_right": {"all": right.mean()} | {kind: right[kinds == kind].mean() for kind in FACES},
            "detection_score_of_single_faces": _quantiles([face.det_score for _, face in single]),
            "landmark_error_per_face_height": np.mean(errors),
            "verification": _verification(single, people),
            "genderage": {"gender_accuracy": np.mean(gender), "age_error_years": np.mean(years)},
            "zero_shot": _zero_shot(folder / "clip", portraits, single, people, seed),
        }
    )


def _find_faces(folder: Path, portraits: Sequence[Portrait]) -> list[list]:
    """insightface's faces on each portrait, the largest first."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    app = FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"], sess_options=options)
    app.prepare(ctx_id=-1, det_thresh=0.5, det_size=(SIDE, SIDE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-image's, of a call inside insightface
        return [
            sorted(
                app.get(np.ascontiguousarray(decode(portrait.image)[:, :, ::-1])),
                key=lambda face: np.prod(face.bbox[2:] - face.bbox[:2]),
                reverse=True,
            )
            for portrait in portraits
        ]


def _verification(single: list[tuple[Portrait, Any]], people: Sequence[Person]) -> dict[str, Any]:
    """Portraits against the anchors, and against the centres of the portraits (without the one judged), of all
    identities."""
    anchors = {portrait.identity: face.normed_embedding for portrait, face in single if portrait.kind == "anchor"}
    probes = [(portrait.identity, face.normed_embedding) for portrait, face in single if portrait.kind == "portrait"]
    embeddings = np.array([embedding for _, embedding in probes])
    own = np.array([[identity == other for other in anchors] for identity, _ in probes])
    alike = (
        np.array(
            [
                [
                    (people[identity].gender, people[identity].age_group)
                    == (people[other].gender, people[other].age_group)
                    for other in anchors
                ]
                for identity, _ in probes
            ]
        )
        & ~own
    )
    centres = own.T @ embeddings - own[:, :, None] * embeddings[:, None]
    cosines = {
        "anchor": embeddings @ np.array(list(anchors.values())).T,
        "centre": np.einsum("nd,nid->ni", embeddings, centres) / np.linalg.norm(centres, axis=2),
    }
    return {
        f"to_{name}": {
            "auc": roc_auc_score(own.ravel(), values.ravel()),
            "own": _quantiles(values[own]),
            "other": _quantiles(values[~own]),
            "other_of_same_gender_and_age": _quantiles(values[alike]),
            "portraits_lost_and_others_passed_at": _trade_off(values[own], values[alike]),
        }
        for name, values in cosines.items()
    }


def _trade_off(own: np.ndarray, others: np.ndarray) -> dict[str, list[float]]:
    """Threshold -> share of own below it, share of others (of the same gender and age group, as planted) not below
    it."""
    return {
        f"{threshold:.2f}": [float((own < threshold).mean()), float((others >= threshold).mean())]
        for threshold in np.arange(0.1, 0.61, 0.05)
    }


def _zero_shot(
    folder: Path, portraits: Sequence[Portrait], single: list[tuple[Portrait, Any]], people: Sequence[Person], seed: int
) -> dict[str, Any]:
    """Accuracy of each question of prompts/labels.yaml, with its prompt ensembles."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    questions = read_yaml(LABELS)

    @torch.no_grad()
    def answers(name: str, images: list[np.ndarray]) -> np.ndarray:
        labels = questions[name]["labels"]
        classifier = open_clip.build_zero_shot_classifier(
            model, tokenizer, list(labels.values()), questions[name]["templates"]
        )
        features = model.encode_image(
            torch.stack([preprocess(Image.fromarray(image)) for image in images]), normalize=True
        )
        return np.array(list(labels))[(features @ classifier).argmax(dim=1)]

    faces = [square_of_face(decode(portrait.image), face.bbox) for portrait, face in single]
    who = [people[portrait.identity] for portrait, _ in single]
    gender, age = answers("gender", faces), answers("age_group", faces)
    steps = np.abs(
        [AGE_GROUPS.index(group) - AGE_GROUPS.index(person.age_group) for group, person in zip(age, who, strict=True)]
    )
    counted = [portrait for portrait in portraits if portrait.kind in COUNTS]
    people_right = answers("people", [square_of_image(decode(portrait.image)) for portrait in counted]) == [
        COUNTS[portrait.kind] for portrait in counted
    ]
    rng = keyed.generator(seed, "darkened")
    light = [square_of_image(decode(portrait.image)) for portrait in counted]
    dark = [darken(image, rng) for image in light]
    brightness = [cv2.cvtColor(decode(portrait.image), cv2.COLOR_RGB2GRAY).mean() / 255 for portrait in counted]
    return {
        "gender_accuracy": float(np.mean(gender == [person.gender for person in who])),
        "age_group_accuracy": float(np.mean(steps == 0)),
        "age_group_within_one": float(np.mean(steps <= 1)),
        "age_group_three_or_more_off": float(np.mean(steps >= 3)),
        "people_accuracy": float(np.mean(people_right)),
        "light_accuracy": float(np.mean([*(answers("light", light) == "normal"), *(answers("light", dark) == "dark")])),
        "brightness_of_portraits": _quantiles(brightness),
    }


def _quantiles(values) -> dict[str, float]:
    return {f"{share:.0%}": float(value) for share, value in zip(SHARES, np.quantile(values, SHARES), strict=True)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return value if isinstance(value, int) else round(float(value), 4)
