"""Labelled image sets for GenKnow that lie on this machine: ImageNet-1k or any other, in the usual two layouts.

    WebDataset, as CLIP_benchmark publishes it      class folders
      classnames.txt, one line a class                <class>/*.jpg, or val/<class>/*.jpg, or test/<class>/*.jpg
      zeroshot_classification_templates.txt           classnames.txt             (else the folders' names)
      test/nshards.txt, test/0.tar, 1.tar …           zeroshot_classification_templates.txt   (else open_clip's)

In `classnames.txt` of class folders, line n names the n-th folder by name. ImageNet's folders (n01440764 …) need none.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.keyed import digest
from salmu.data.procedural import scenes
from salmu.evaluation.encoding.embeddings import decode

NAMES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
SYNSET = re.compile(r"n\d{8}")
IMAGENET_CLASSES, ALIKE = 1000, 900  # a set with so many classes, so many of them named as ImageNet's, is ImageNet-1k
PROCEDURAL = "procedural scenes"


class ZeroShotSet(NamedTuple):
    """Images with labels, and what to ask for. `images` opens them anew, in the order of the labels."""

    name: str
    digest: str
    imagenet: bool
    classes: tuple[str, ...]
    templates: tuple[str, ...]  # each with one {}
    labels: np.ndarray  # int64 [n]
    images: Iterable[Image.Image]


class Images:
    """Encoded images at places in files; iterating decodes one after the other."""

    def __init__(self, places: list[tuple[Path, int, int | None]]):
        self.places = places  # file, offset, bytes (None: to its end)

    def __iter__(self) -> Iterator[Image.Image]:
        return decode(self._contents())

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        path, file = None, io.BytesIO()
        try:
            for wanted, offset, size in self.places:
                if wanted != path:
                    file.close()
                    path, file = wanted, open(wanted, "rb")
                file.seek(offset)
                yield f"{path} at byte {offset}", file.read(-1 if size is None else size)
        finally:
            file.close()


def procedural(seed: int, side: int, per_class: int) -> ZeroShotSet:
    """The held-out set of this project's small world, drawn by `seed` in the size of the model's input."""
    pictures, labels, names, templates = scenes.zero_shot_set(seed, side, per_class)
    about = hashlib.blake2b(pictures.tobytes(), digest_size=16).hexdigest()
    images = [Image.fromarray(picture) for picture in pictures]
    return ZeroShotSet(PROCEDURAL, about, False, tuple(names), tuple(templates), labels, images)


def open_zero_shot(folder: Path) -> ZeroShotSet:
    """The set in a folder, in one of the two layouts above; its name is the folder's.

    The digest covers names and sizes of the files, class names and templates, not the pixels. Raises UserError for a
    folder that is neither, and for names, labels and files that do not fit."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; evaluation.zero_shot names a folder of labelled images")
    tars = folder / "test" / "nshards.txt"
    classes, places, labels = _webdataset(folder) if tars.is_file() else _class_folders(folder)
    imagenet = _is_imagenet(classes)
    templates = tuple(line.replace("{c}", "{}") for line in _lines(folder / TEMPLATES)) or _open_clips(imagenet)
    wrong = next((template for template in templates if template.count("{}") != 1), None)
    if wrong is not None:
        raise UserError(f"{folder / TEMPLATES}: {wrong!r} has not exactly one {{c}}")
    files = [(path.relative_to(folder).as_posix(), offset, size) for path, offset, size in places]
    about = digest("zero-shot", files, classes, templates, labels)
    return ZeroShotSet(folder.name, about, imagenet, classes, templates, np.array(labels, np.int64), Images(places))


def _webdataset(folder: Path) -> tuple[tuple[str, ...], list, list[int]]:
    classes = _lines(folder / NAMES)
    if not classes:
        raise UserError(f"{folder / NAMES}: missing or empty; the names of the classes, one a line, are needed")
    (count,) = _lines(folder / "test" / "nshards.txt")
    places, labels = [], []
    for path in (folder / "test" / f"{number}.tar" for number in range(int(count))):
        found: dict[str, dict[str, tarfile.TarInfo]] = {}
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    key, _, kind = member.name.partition(".")
                    found.setdefault(key, {})[f".{kind.lower()}"] = member
                for key, parts in found.items():
                    image = next((parts[kind] for kind in parts if kind in IMAGES), None)
                    if image is None or ".cls" not in parts:
                        raise UserError(f"{path}: sample {key} lacks its image or its .cls")
                    places.append((path, image.offset_data, image.size))
                    labels.append(int(tar.extractfile(parts[".cls"]).read()))
        except (OSError, tarfile.TarError, ValueError) as error:
            raise UserError(f"{path}: missing or damaged ({error}); fetch it again") from None
    if labels and not 0 <= min(labels) <= max(labels) < len(classes):
        raise UserError(f"{folder}: labels {min(labels)} to {max(labels)}, but {NAMES} has {len(classes)} lines")
    return classes, places, labels


def _class_folders(folder: Path) -> tuple[tuple[str, ...], list, list[int]]:
    root = next((folder / part for part in ("val", "test") if (folder / part).is_dir()), folder)
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    places, labels = [], []
    for label, path in enumerate(folders):
        for image in sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGES):
            places.append((image, 0, image.stat().st_size))
            labels.append(label)
    if not places:
        raise UserError(f"{folder}: neither test/nshards.txt (WebDataset) nor folders of images, one a class")
    classes = _lines(folder / NAMES)
    if not classes and len(folders) == IMAGENET_CLASSES and all(SYNSET.fullmatch(path.name) for path in folders):
        import open_clip

        classes = tuple(open_clip.IMAGENET_CLASSNAMES)
    classes = classes or tuple(path.name.replace("_", " ") for path in folders)
    if len(classes) != len(folders):
        raise UserError(f"{folder / NAMES}: {len(classes)} names for {len(folders)} folders in {root}")
    return classes, places, labels


def _is_imagenet(classes: tuple[str, ...]) -> bool:
    import open_clip

    alike = len(set(classes) & set(open_clip.IMAGENET_CLASSNAMES))
    return len(classes) == IMAGENET_CLASSES and alike >= ALIKE


def _open_clips(imagenet: bool) -> tuple[str, ...]:
    import open_clip

    chosen = open_clip.OPENAI_IMAGENET_TEMPLATES if imagenet else open_clip.SIMPLE_IMAGENET_TEMPLATES
    return tuple(template("{}") for template in chosen)


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except FileNotFoundError:
        return ()
