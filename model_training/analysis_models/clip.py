"""Train the small CLIP that answers zero-shot questions about portraits, and save it in open_clip's layout.

Images: the surroundings of a face for gender and age, whole pictures for the number of people and the light. Texts:
captions put together from many words for the same thing, so that prompts in other words than these are understood too.
The loss is CLIP's, with one caption for each class of a question in the place of one for each image, since a batch
holds every class many times."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from salmu.data import keyed
from salmu.data.files import write_atomic
from salmu.data.procedural.person import Person
from salmu.data.schemas import AGE_GROUPS, GENDERS
from salmu.model_training.analysis_models.networks import optimise, seeded
from salmu.model_training.analysis_models.portraits import Portrait, darken, decode, shade
from salmu.model_training.tokenizer import train_tokenizer

SIDE, CONTEXT = 64, 24
DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies or older")
GENDER_WORDS = {
    "female": ("woman", "lady", "female person", "female"),
    "male": ("man", "gentleman", "male person", "male"),
}
PRONOUNS = {"female": "her", "male": "his", "person": "their"}
FORMS = (
    "a photo of {}",
    "a portrait of {}",
    "a picture of {}",
    "the face of {}",
    "a close-up of {}",
    "{}",
    "a photograph showing {}",
    "an image of {}",
    "a studio portrait of {}",
    "a snapshot of {}",
    "this is {}",
    "here we see {}",
)
PEOPLE = {
    "none": (
        "nobody",
        "no person",
        "no people at all",
        "an empty place without people",
        "a background without anybody",
        "no face",
    ),
    "one": ("one person", "a single person", "one face", "somebody alone", "exactly one person", "a person alone"),
    "several": ("two people", "several people", "two faces", "a couple of people side by side", "more than one person"),
}
LIGHT = {
    "normal": ("a clear photo", "a well-lit photo", "a bright picture", "a photo in good light", "a normal photograph"),
    "dark": (
        "an almost black photo",
        "a nearly black picture",
        "a photo too dark to see anything",
        "a dark, underexposed photo",
    ),
}
COUNTS = {"portrait": "one", "two_faces": "several", "no_face": "none"}  # what each kind of picture answers
DARK_SHARE = 0.15
QUESTIONS = ("gender", "age", "both", "people", "light")


def captions(question: str, rng: np.random.Generator) -> list[str]:
    """One caption, drawn anew, for each class of a question of QUESTIONS; both: gender x age."""
    form = FORMS[rng.integers(len(FORMS))]
    if question == "light":
        return [str(rng.choice(words)) for words in LIGHT.values()]
    if question == "people":
        return [form.format(rng.choice(words)) for words in PEOPLE.values()]
    if question == "gender":
        return [form.format("a " + rng.choice(GENDER_WORDS[gender])) for gender in GENDERS]
    whom = ["person"] if question == "age" else GENDERS
    return [form.format(_aged(gender, group, rng)) for gender in whom for group in AGE_GROUPS]


def _aged(gender: str, group: str, rng: np.random.Generator) -> str:
    noun = rng.choice(GENDER_WORDS[gender]) if gender in GENDERS else rng.choice(("person", "adult", "human being"))
    oldest = group == AGE_GROUPS[-1]
    young = int(group[:2])
    return str(
        rng.choice(
            (
                f"a {noun} in {PRONOUNS[gender]} {DECADES[AGE_GROUPS.index(group)]}",
                f"a {noun} aged {'70 or more' if oldest else group.replace('-', ' to ')}",
                f"a {noun} of {young + int(rng.integers(0, 10))} years",
                f"a {noun} {'over 70' if oldest else f'between {young} and {young + 9}'} years old",
            )
        )
    )


def square_of_face(
    image: np.ndarray, box: np.ndarray, grow: float = 2.0, shift: np.ndarray | float = 0.0
) -> np.ndarray:
    """A face's box in the middle of a square, `grow` times as large, grey where the picture ends; `shift` in pixels of
    the result."""
    left, top, right, bottom = box
    scale = SIDE / (max(right - left, bottom - top) * grow)
    corner = SIDE / 2 - scale * np.array([left + right, top + bottom]) / 2 + shift
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), borderValue=(128, 128, 128))


def square_of_image(image: np.ndarray) -> np.ndarray:
    """The whole picture in the middle of a grey square."""
    height, width = image.shape[:2]
    extent = max(height, width)
    square = np.full((extent, extent, 3), 128, np.uint8)
    top, left = (extent - height) // 2, (extent - width) // 2
    square[top : top + height, left : left + width] = image
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def configuration(vocabulary: int) -> dict:
    """open_clip's model_cfg: timm's smallest ResNet and a text transformer of two layers."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": SIDE, "timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear"},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": vocabulary,
            "width": 96,
            "heads": 3,
            "layers": 2,
            "hf_tokenizer_name": "analysis-clip",
            "pool_type": "eos",
            "eos_id": 2,
            "pad_id": 0,
        },
    }


def _pixels(images: list[np.ndarray], rng: np.random.Generator) -> Tensor:
    mirrored = [image[:, ::-1] if rng.random() < 0.5 else image for image in images]
    batch = torch.from_numpy(np.stack(mirrored)).permute(0, 3, 1, 2).float().div(255)
    mean, deviation = (
        torch.tensor(values)[:, None, None] for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    return batch.sub(mean).div(deviation).contiguous(memory_format=torch.channels_last)


def _tokenizer(folder: Path, seed: int) -> HFTokenizer:
    rng = keyed.generator(seed, "clip tokenizer")
    corpus = [text for _ in range(200) for question in QUESTIONS for text in captions(question, rng)]
    train_tokenizer(corpus, seed, vocabulary=512, context_length=CONTEXT).save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=CONTEXT)


def _face_batch(portraits: Sequence[Portrait], people: Sequence[Person], size: int, rng: np.random.Generator):
    """Surroundings of faces, and the classes of gender, age and both."""
    chosen = [portraits[index] for index in rng.integers(0, len(portraits), size)]
    images = [
        shade(
            square_of_face(
                decode(portrait.image), portrait.boxes[0], rng.uniform(1.8, 2.3), rng.normal(scale=2, size=2)
            ),
            rng,
        )
        for portrait in chosen
    ]
    who = [people[portrait.identity] for portrait in chosen]
    gender = np.array([GENDERS.index(person.gender) for person in who])
    age = np.array([AGE_GROUPS.index(person.age_group) for person in who])
    return images, {"gender": gender, "age": age, "both": gender * len(AGE_GROUPS) + age}


def _whole_batch(groups: dict[str, Sequence[Portrait]], size: int, rng: np.random.Generator):
    """Whole pictures, and the classes of people (-1 where it is too dark to tell) and light."""
    images, classes = [], {"people": [], "light": []}
    for kind in rng.choice(list(COUNTS), size, p=(0.5, 0.3, 0.2)):
        image = square_of_image(decode(groups[kind][rng.integers(len(groups[kind]))].image))
        dark = rng.random() < DARK_SHARE
        images.append(darken(image, rng) if dark else shade(image, rng))
        classes["light"].append(int(dark))
        classes["people"].append(-1 if dark else list(PEOPLE).index(COUNTS[kind]))
    return images, {question: np.array(values) for question, values in classes.items()}


def train_clip(
    portraits: Sequence[Portrait],
    people: Sequence[Person],
    folder: Path,
    seed: int,
    steps: int,
    batch: int = 32,
    rate: float = 3e-3,
) -> None:
    """Train on all kinds of pictures and write the model and its tokenizer to `folder`, for open_clip's
    `local-dir:`."""
    tokenize = _tokenizer(folder, seed)
    model_cfg = configuration(len(tokenize.tokenizer))
    groups = {kind: [portrait for portrait in portraits if portrait.kind == kind] for kind in COUNTS}
    with seeded(seed, "clip"):
        model = open_clip.CLIP(**model_cfg).to(memory_format=torch.channels_last)

        def batch_loss(step: int) -> Tensor:
            rng = keyed.generator(seed, "clip", step)
            faces, about_faces = _face_batch(groups["portrait"], people, batch, rng)
            wholes, about_wholes = _whole_batch(groups, batch, rng)
            face_features, whole_features = model.encode_image(_pixels(faces + wholes, rng), normalize=True).split(
                batch
            )
            losses = []
            for features, classes in ((face_features, about_faces), (whole_features, about_wholes)):
                for question, values in classes.items():
                    texts = model.encode_text(tokenize(captions(question, rng)), normalize=True)
                    logits = model.logit_scale.exp().clamp(max=100) * features @ texts.T
                    losses.append(F.cross_entropy(logits, torch.from_numpy(values), ignore_index=-1))
            return torch.stack(losses).sum()

        optimise([model], batch_loss, steps, rate, "clip", decay=0.05)
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}, indent=2) + "\n"
    )
    weights = save({name: value.contiguous() for name, value in model.state_dict().items()})
    write_atomic(folder / "open_clip_model.safetensors", weights)
