"""Zero-shot labels: the questions of prompts/labels.yaml, answered by any open_clip model."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image
from pydantic import Field, RootModel, model_validator

from data.errors import UserError
from data.keyed import digest
from data.schemas import AGE_GROUPS, GENDERS
from data.settings import Settings
from prompts.loader import load

EMBEDDED_CLIP = Path(__file__).parents[2] / "data" / "models" / "clip"
GREY = (128, 128, 128)


class Question(Settings):
    """A zero-shot question: each label stands for the mean of its texts, every template with the label's phrase."""

    view: Literal["face", "image"] = Field(
        description="What is shown to the model: the surroundings of the largest face, or everything."
    )
    templates: list[str] = Field(min_length=1, description="Texts with {} in the place of the phrase.")
    labels: dict[str, str] = Field(min_length=2, description="Label -> phrase.")


class Questions(RootModel[dict[str, Question]]):
    """All questions by name; gender and age_group must be among them, with the labels of the schema."""

    @model_validator(mode="after")
    def _has_fixed_labels(self):
        for name, labels in (("gender", GENDERS), ("age_group", AGE_GROUPS)):
            if name not in self.root or tuple(self.root[name].labels) != labels:
                raise ValueError(
                    f"the question {name!r} must be there, with the labels {', '.join(labels)} in this order"
                )
        return self


class ZeroShot(NamedTuple):
    """A CLIP model with the questions' classifiers: name -> [embedding, labels], scaled to give logits."""

    model: Any
    preprocess: Any
    questions: dict[str, Question]
    classifiers: dict[str, torch.Tensor]
    device: torch.device


def clip_revision(name: str) -> str:
    """Digest of the weights and questions: of the files where they are local, else of the name."""
    folder = _local_folder(name)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder else []
    content = [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files]
    return digest(content or name, load("labels", Questions).model_dump())


def load_zero_shot(name: str, device: str) -> ZeroShot:
    """Load a model ('embedded', 'local-dir:…', 'hf-hub:…' or open_clip's 'model/pretrained') and encode the questions'
    texts.

    Raises UserError if the model is not there or cannot be loaded."""
    import open_clip

    folder = _local_folder(name)
    model_name, pretrained = (f"local-dir:{folder}", None) if folder else (name, None)
    if ":" not in model_name:
        model_name, _, pretrained = name.partition("/")
    target = torch.device(
        "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    )
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            model_name, pretrained=pretrained or None, device=target
        )
        tokenizer = open_clip.get_tokenizer(model_name)
    except Exception as error:  # a hub, a folder or a list of names is asked, each with errors of its own
        raise UserError(f"analysis.clip: {name!r} cannot be loaded: {error}") from None
    model.eval()
    questions = load("labels", Questions).root
    with torch.no_grad(), one_thread():
        scale = model.logit_scale.exp()
        classifiers = {
            key: scale
            * open_clip.build_zero_shot_classifier(
                model, tokenizer, list(question.labels.values()), question.templates, device=target
            )
            for key, question in questions.items()
        }
    return ZeroShot(model, preprocess, questions, classifiers, target)


def answer(
    zero_shot: ZeroShot, pictures: list[Image.Image], view: str, batch_size: int
) -> list[dict[str, dict[str, float]]]:
    """For each picture: question -> label -> probability (four decimals), of the questions with this view."""
    names = [name for name, question in zero_shot.questions.items() if question.view == view]
    answers = []
    with torch.no_grad(), one_thread():
        for start in range(0, len(pictures), batch_size):
            pixels = torch.stack([zero_shot.preprocess(picture) for picture in pictures[start : start + batch_size]])
            features = zero_shot.model.encode_image(pixels.to(zero_shot.device), normalize=True)
            columns = {name: (features @ zero_shot.classifiers[name]).softmax(dim=1).tolist() for name in names}
            for row in range(len(pixels)):
                answers.append(
                    {
                        name: {
                            label: round(score, 4)
                            for label, score in zip(zero_shot.questions[name].labels, columns[name][row], strict=True)
                        }
                        for name in names
                    }
                )
    return answers


def face_square(picture: Image.Image, box) -> Image.Image:
    """The face's box (x1, y1, x2, y2) in the middle of a square of twice its size, grey where the picture ends."""
    return _square(picture, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 2 * max(box[2] - box[0], box[3] - box[1], 8))


def whole_square(picture: Image.Image) -> Image.Image:
    """The whole picture in the middle of a grey square, so that no preprocessing cuts anything off."""
    return _square(picture, picture.width / 2, picture.height / 2, max(picture.size))


def _square(picture: Image.Image, x: float, y: float, side: float) -> Image.Image:
    side = round(side)
    square = Image.new("RGB", (side, side), GREY)
    square.paste(picture, (round(side / 2 - x), round(side / 2 - y)))
    return square


def _local_folder(name: str) -> Path | None:
    if name != "embedded" and not name.startswith("local-dir:"):
        return None
    folder = EMBEDDED_CLIP if name == "embedded" else Path(name.removeprefix("local-dir:")).expanduser()
    if not (folder / "open_clip_config.json").is_file():
        raise UserError(
            f"{folder}: no open_clip model here (open_clip_config.json is missing); set analysis.clip to another "
            "folder, or to 'embedded'"
        )
    return folder


@contextmanager
def one_thread() -> Iterator[None]:
    """torch's sums on one thread, so that results do not depend on the number of cores or workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
