"""FairFace: who is on a face chip, by gender, age group and region, from a classifier that knows nothing of CLIP.

Two layouts are read: the published ResNet-34 (https://github.com/dchen236/FairFace,
res34_fair_align_multi_7_20190809.pt) and any transformers image classifier whose labels are FairFace's (one question
a checkpoint; several may be given)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from salmu.data.documents import MIB, read_json
from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.keyed import digest
from salmu.data.licences import Model, model
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.data.settings import Settings
from salmu.model_training.loading.folders import fetched, require_data_only
from salmu.tasks.devices import Device, in_parts_that_fit, torch_device
from salmu.tasks.labels import one_thread

if TYPE_CHECKING:
    import torch

AGES = ("0-2", "3-9", "10-19", *AGE_GROUPS)
LABELS = {"gender": GENDERS, "age_group": AGES, "region": REGIONS}
PUBLISHED = (("region", REGIONS), ("gender", ("male", "female")), ("age_group", AGES))  # the 18 outputs, in order
SYNONYMS = {"man": "male", "woman": "female", "m": "male", "f": "female", "more than 70": "70+", "latino": REGIONS[2]}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of the pixels in training
CHIP = 224
CONFIGURATION, PROCESSOR = "config.json", "preprocessor_config.json"
ELSEWHERE = ("backbone", "use_timm_backbone", "use_pretrained_backbone")  # keys of config.json
# dlib's mean face in its get_face_chip with padding 0.25, which made FairFace's training pictures: the middle of each
# eye and the base of the nose, in shares of the chip
TEMPLATE = (np.array([[0.2273, 0.2214], [0.7528, 0.2212], [0.4901, 0.6278]]) + 0.25) / 1.5
NOSE_BASE = 0.35  # where dlib's fifth point lies between insightface's nose tip (0) and the middle of the mouth (1)


class FairFaceSettings(Settings):
    """Which classifier votes on gender, age group and region, if any."""

    checkpoint: str | tuple[str, ...] | None = Field(
        None,
        description="FILE.pt of the published ResNet-34 (7 regions), or folder or hub id (ORG/NAME, ORG/NAME@REVISION) "
        "of a transformers image classifier; a list of several, where each answers one question.",
    )
    device: Device = Field("auto", description="Where it computes.")
    batch_size: int = Field(64, ge=1, description="Faces in a batch.")


class Network(NamedTuple):
    scores: Callable[[list[Image.Image]], torch.Tensor]  # pictures -> logits [n, outputs]
    outputs: dict[str, dict[str, int]]  # question -> label -> output


class FairFace(NamedTuple):
    networks: tuple[Network, ...]
    batch_size: int


def checkpoints(settings: FairFaceSettings) -> tuple[str, ...]:
    """The checkpoints that are set, none, one or several."""
    given = settings.checkpoint or ()
    return (given,) if isinstance(given, str) else given


def fairface_models(settings: FairFaceSettings) -> list[Model]:
    """The classifiers with their licences."""
    return [
        model(name.partition("@")[0], name.partition("@")[2], "gender, age and region of a face")
        for name in checkpoints(settings)
    ]


def fairface_revision(settings: FairFaceSettings) -> str:
    """Digest of the checkpoints' files where they are local, else of their names. Raises UserError if one is
    missing."""
    found = []
    for name in checkpoints(settings):
        path = local_path(name)
        files = [path] if path and path.is_file() else sorted(path.iterdir()) if path else []
        content = [[file.name, file_sha256(file)] for file in files if file.is_file()]
        found.append(content or name)
    return digest(found)


def require_checkpoints(settings: FairFaceSettings) -> None:
    """Raises UserError for a checkpoint that is neither there nor named as in the hub."""
    for name in checkpoints(settings):
        local_path(name)


def load_fairface(settings: FairFaceSettings) -> FairFace | None:
    """The classifiers, or None where none is set.

    Raises UserError if one is missing, is not what it should be, or two answer the same question."""
    device = torch_device(settings.device)
    networks = []
    for name in checkpoints(settings):
        path = local_path(name)
        network = _resnet(path, device) if path and path.is_file() else _transformer(name, path, device)
        for question in network.outputs:
            if any(question in other.outputs for other in networks):
                raise UserError(
                    f"fairface.checkpoint: {name} answers {question}, which one before it answers; drop one"
                )
        networks.append(network)
    return FairFace(tuple(networks), settings.batch_size) if networks else None


def classify(fairface: FairFace, chips: list[Image.Image]) -> list[dict[str, dict[str, float]]]:
    """For each face chip: question (gender, age_group, region) -> label -> probability (four decimals).

    The labels of age_group are FairFace's: those of the schema and 0-2, 3-9, 10-19 before them."""
    import torch

    answers: list[dict] = []
    with torch.no_grad(), one_thread():
        for start in range(0, len(chips), fairface.batch_size):
            batch = chips[start : start + fairface.batch_size]
            rows: list[dict] = [{} for _ in batch]
            for network in fairface.networks:
                scores = torch.cat(in_parts_that_fit(network.scores, batch, "fairface.batch_size"))
                for question, outputs in network.outputs.items():
                    labels = LABELS[question]
                    found = scores[:, [outputs[label] for label in labels]].float().softmax(dim=1).tolist()
                    for row, values in zip(rows, found, strict=True):
                        row[question] = {label: round(value, 4) for label, value in zip(labels, values, strict=True)}
            answers += rows
    return answers


def face_chip(picture: Image.Image, landmarks) -> Image.Image:
    """The aligned face as FairFace saw it in training: dlib's chip with a margin of 0.25, 224 x 224, black outside.

    landmarks: insightface's five points x, y (10 numbers or [5, 2]) in pixels. The chip is found from the eyes and
    the nose's base, which is taken on the line from the nose's tip to the middle of the mouth."""
    points = np.asarray(landmarks, float).reshape(5, 2)
    base = points[2] + NOSE_BASE * (points[3:].mean(axis=0) - points[2])
    # the least-squares similarity chip -> picture, with points as complex numbers: z -> turn * z + shift
    target = (TEMPLATE * CHIP) @ [1, 1j]
    source = np.array([*points[:2], base]) @ [1, 1j]
    middle = target - target.mean()
    turn = (middle.conj() @ (source - source.mean())) / (middle.conj() @ middle)
    shift = source.mean() - turn * target.mean()
    shrink = max(1, int(abs(turn)))  # a large face is averaged first, so that sampling skips no pixel
    if shrink > 1:
        picture, turn, shift = picture.reduce(shrink), turn / shrink, shift / shrink
    rows = (turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag)
    return picture.transform((CHIP, CHIP), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)


def _resnet(path: Path, device: torch.device) -> Network:
    import torch
    from torchvision.models import resnet34
    from torchvision.transforms.functional import normalize, to_tensor

    from salmu.model_training.loading.weights import read_weights

    if "_4_" in path.name:  # it has 18 outputs too, of which three mean nothing
        raise UserError(
            f"{path}: FairFace with 4 regions, whose classes are not those of this project; use "
            "res34_fair_align_multi_7_20190809.pt"
        )
    weights = read_weights(path)
    network = resnet34(weights=None)
    outputs = {}
    for question, labels in PUBLISHED:
        first = sum(map(len, outputs.values()))
        outputs[question] = {label: first + number for number, label in enumerate(labels)}
    network.fc = torch.nn.Linear(network.fc.in_features, sum(map(len, outputs.values())))
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        head = weights.get("fc.weight")
        shape = "it has no layer fc" if head is None else f"its last layer is {tuple(head.shape)}"
        raise UserError(
            f"{path}: not FairFace's published ResNet-34 (last layer (18, 512); {shape}); use "
            "res34_fair_align_multi_7_20190809.pt"
        ) from None
    network.eval().to(device)

    def scores(pictures: list[Image.Image]) -> torch.Tensor:
        pixels = [to_tensor(picture.resize((CHIP, CHIP), Image.Resampling.BILINEAR)) for picture in pictures]
        return network(normalize(torch.stack(pixels), *IMAGENET).to(device))

    return Network(scores, outputs)


def _transformer(name: str, folder: Path | None, device: torch.device) -> Network:
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification
    except ImportError:
        raise UserError(
            f"fairface.checkpoint: {name} needs transformers: pip install transformers; or give the published .pt file"
        ) from None
    if folder is None:
        hub, _, revision = name.partition("@")
        folder = fetched(hub, [CONFIGURATION, PROCESSOR, "model.safetensors"], revision or None)
    require_data_only(folder)
    _require_own_network(folder / CONFIGURATION)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        # one backend, since torchvision's and PIL's pixels differ
        prepare = AutoImageProcessor.from_pretrained(str(folder), backend="pil", **local)
        network = AutoModelForImageClassification.from_pretrained(str(folder), use_safetensors=True, **local)
    except Exception as error:  # each kind of file has errors of its own
        raise UserError(f"fairface.checkpoint: {name} cannot be loaded: {str(error).splitlines()[0]}") from None
    network = network.eval().to(device)
    for key, weight in network.named_parameters():
        if not weight.isfinite().all():
            raise UserError(f"fairface.checkpoint: {name}: weight {key} is not finite (NaN or infinite); it is broken")
    labels = [network.config.id2label[number] for number in range(network.config.num_labels)]
    outputs = _question(labels)
    if outputs is None:
        raise UserError(
            f"fairface.checkpoint: {name} has the labels {', '.join(labels)[:150]}; wanted FairFace's "
            "of gender, of age group or of region"
        )

    def scores(pictures: list[Image.Image]) -> torch.Tensor:
        return network(**prepare(pictures, return_tensors="pt").to(device)).logits

    return Network(scores, outputs)


def _require_own_network(path: Path) -> None:
    """Raises UserError where a part of the network would be fetched from elsewhere."""
    document = read_json(path, MIB) if path.is_file() else None
    named = [key for key in ELSEWHERE if isinstance(document, dict) and document.get(key)]
    if named:
        raise UserError(f"{path}: {named[0]} names a network of another repository, which is never fetched or run")


def _question(labels: list[str]) -> dict[str, dict[str, int]] | None:
    """The question that has just these labels, with the output of each; None if there is none."""
    plain = {re.sub(r"[\s_]+", " ", label).strip().lower(): number for number, label in enumerate(labels)}
    plain = {SYNONYMS.get(label, label): number for label, number in plain.items()}
    for question, known in LABELS.items():
        names = {re.sub(r"[\s_]+", " ", label).lower(): label for label in known}
        found = {names.get(label, label): number for label, number in plain.items()}
        if set(found) == set(known):
            return {question: found}
    return None


def local_path(name: str) -> Path | None:
    """The file or folder that is meant, or None for a hub id. Raises UserError if it is a path where nothing lies."""
    path = Path(name).expanduser()
    if path.exists():
        return path
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(@[\w.-]+)?", name) and not name.endswith((".pt", ".pth", ".bin")):
        return None
    raise UserError(f"fairface.checkpoint: {name}: no such file or folder; give its path, or the hub id ORG/NAME")
