"""Zero-shot labels: the questions of a file in prompts/ (labels.yaml unless told otherwise), answered by any open_clip
model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field, RootModel, model_validator

from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.keyed import digest
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.data.settings import Settings
from salmu.model_training.loading.folders import CONFIGURATION, local_folder, require_data_only
from salmu.model_training.loading.pixels import normalised, sized
from salmu.prompts.loader import load
from salmu.tasks.devices import Device, in_parts_that_fit, torch_device

if TYPE_CHECKING:
    import torch

    from salmu.model_training.loading.clip import ClipModel

EMBEDDED_CLIP = Path(__file__).parents[1] / "data" / "models" / "clip"
GREY = (128, 128, 128)
FIXED = {"gender": GENDERS, "age_group": AGE_GROUPS, "region": REGIONS}  # labels of the schema
# the label of these questions that means that all is well; curation judges by its probability
WELL = {"people": "one", "medium": "photo", "occlusion": "clear", "quality": "sharp", "unsafe": "safe"}


class Question(Settings):
    """A zero-shot question: each label stands for the mean of its texts, every template with the label's phrases."""

    view: Literal["face", "image"] = Field(
        description="What is shown to the model: the surroundings of the largest face, or everything."
    )
    templates: list[str] = Field(min_length=1, description="Texts with {} in the place of the phrase.")
    labels: dict[str, str | list[str]] = Field(min_length=2, description="Label -> phrase, or several.")

    def phrases(self) -> list[list[str]]:
        """The phrases of each label."""
        return [[given] if isinstance(given, str) else given for given in self.labels.values()]


class Questions(RootModel[dict[str, Question]]):
    """All questions by name: gender and age_group at least. Those that curation knows have the labels that it knows."""

    @model_validator(mode="after")
    def _has_fixed_labels(self):
        for name, labels in FIXED.items():
            if name != "region" and name not in self.root or name in self.root and labels != (*self.root[name].labels,):
                raise ValueError(
                    f"the question {name!r} must be there, with the labels {', '.join(labels)} in this order"
                )
        for name, label in WELL.items():
            if name in self.root and label not in self.root[name].labels:
                raise ValueError(f"the question {name!r} must have the label {label!r}, which means that all is well")
        return self


class ZeroShot(NamedTuple):
    """A CLIP model with the questions' classifiers: name -> [embedding, labels], scaled to give logits."""

    model: Any
    preprocess: Any
    questions: dict[str, Question]
    classifiers: dict[str, torch.Tensor]
    device: torch.device


def model_folder(name: str) -> Path | None:
    """The folder of the model, None for one of the hub. Raises UserError for a folder that holds no model, or one
    that names code."""
    folder = EMBEDDED_CLIP if name == "embedded" else local_folder(name)
    if folder and not (folder / CONFIGURATION).is_file():
        raise UserError(f"model {folder}: no {CONFIGURATION} here; set clip to another folder, or to 'embedded'")
    if folder:
        require_data_only(folder)
    return folder


def clip_revision(name: str, questions: str = "labels") -> str:
    """Digest of the weights and questions: of the files where they are local, else of the name. Raises UserError for a
    folder that holds no model."""
    folder = model_folder(name)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder else []
    content = [[path.name, file_sha256(path)] for path in files]
    return digest(content or name, load(questions, Questions).model_dump())


def load_zero_shot(name: str, device: Device, questions: str = "labels") -> ZeroShot:
    """Load a model ('embedded', or any name that `load_model` takes) and encode the questions' texts.

    Raises UserError if the model is not there or cannot be loaded."""
    import torch

    from salmu.model_training.loading.clip import load_model

    target = torch_device(device)
    clip = load_model(EMBEDDED_CLIP if name == "embedded" else name, target)
    asked = load(questions, Questions).root
    with torch.no_grad(), one_thread():
        scale = clip.network.logit_scale.exp()
        classifiers = {key: scale * _classifier(clip, question) for key, question in asked.items()}
    return ZeroShot(clip.network, clip.preprocess, asked, classifiers, target)


def _classifier(clip: ClipModel, question: Question) -> torch.Tensor:
    """A unit vector a label [embedding, labels]: the mean over its phrases, each the mean over the templates."""
    import open_clip
    import torch

    phrases = question.phrases()
    every = open_clip.build_zero_shot_classifier(
        clip.network, clip.tokenizer, sum(phrases, []), question.templates, device=clip.device
    )
    if every.shape[1] == len(phrases):
        return every
    parts = every.split([len(some) for some in phrases], dim=1)
    return torch.nn.functional.normalize(torch.stack([part.mean(dim=1) for part in parts], dim=1), dim=0)


def answer(
    zero_shot: ZeroShot, pictures: list[Image.Image], view: str, batch_size: int
) -> list[dict[str, dict[str, float]]]:
    """For each picture: question -> label -> probability (four decimals), of the questions with this view."""
    answers = []
    for start in range(0, len(pictures), batch_size):
        pixels = [sized(zero_shot.preprocess, picture) for picture in pictures[start : start + batch_size]]
        answers += answers_to(zero_shot, embed(zero_shot, pixels), view)
    return answers


def embed(zero_shot: ZeroShot, pictures: list[np.ndarray]) -> torch.Tensor:
    """L2-normalised embeddings [n, embedding] of a batch of pictures in the size of the model's input (`sized`)."""
    import torch

    def encode(part: list[np.ndarray]) -> torch.Tensor:
        return zero_shot.model.encode_image(normalised(zero_shot.preprocess, part).to(zero_shot.device), normalize=True)

    with torch.no_grad(), one_thread():
        return torch.cat(in_parts_that_fit(encode, pictures, "analysis.batch_size"))


def answers_to(zero_shot: ZeroShot, embeddings: torch.Tensor, view: str) -> list[dict[str, dict[str, float]]]:
    """For each embedding: question -> label -> probability (four decimals), of the questions with this view."""
    import torch

    answers: list[dict] = [{} for _ in embeddings]
    with torch.no_grad(), one_thread():
        for name, question in zero_shot.questions.items():
            if question.view == view:
                scores = (embeddings @ zero_shot.classifiers[name]).softmax(dim=1).tolist()
                for row, values in zip(answers, scores, strict=True):
                    row[name] = {label: round(value, 4) for label, value in zip(question.labels, values, strict=True)}
    return answers


def face_square(picture: Image.Image, box) -> Image.Image:
    """The face's box (x1, y1, x2, y2) in the middle of a square of twice its size, grey where the picture ends."""
    return _square(picture, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 2 * max(box[2] - box[0], box[3] - box[1], 8))


def whole_square(picture: Image.Image) -> Image.Image:
    """The whole picture in the middle of a grey square, so that no preprocessing cuts anything off."""
    if picture.width == picture.height:
        return picture
    return _square(picture, picture.width / 2, picture.height / 2, max(picture.size))


def _square(picture: Image.Image, x: float, y: float, side: float) -> Image.Image:
    side = round(side)
    square = Image.new("RGB", (side, side), GREY)
    square.paste(picture, (round(side / 2 - x), round(side / 2 - y)))
    return square


@contextmanager
def one_thread() -> Iterator[None]:
    """torch's sums on one thread, so that results do not depend on the number of cores or workers."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
