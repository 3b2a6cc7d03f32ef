"""Labelled image sets for GenKnow that lie on this machine: ImageNet-1k or any other, in the usual two layouts.

    WebDataset, as CLIP_benchmark publishes it      class folders
      classnames.txt, one line a class                <class>/*.jpg, or val/<class>/*.jpg, or test/<class>/*.jpg
      zeroshot_classification_templates.txt           classnames.txt             (else the folders' names)
      test/nshards.txt, test/0.tar, 1.tar …           zeroshot_classification_templates.txt   (else open_clip's)

In `classnames.txt` of class folders, line n names the n-th folder by name. ImageNet's folders (n01440764 …) need none.
A folder without pictures, or one that a system adds (.ipynb_checkpoints, @eaDir, lost+found), is no class.
"""

import hashlib
import io
import os
import re
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.foreign_names import is_content, is_utf8, printable
from salmu.data.keyed import digest
from salmu.data.pictures import LARGEST_FILE, decode_files
from salmu.data.procedural import scenes
from salmu.data.tars import members

NAMES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
OTHER_IMAGES = {".avif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".ppm", ".svg", ".tga"}  # not read
LABEL_BYTES = 32
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

    def __init__(self, places: list[tuple[Path, int, int]]):
        self.places = places  # file, offset, bytes

    def __iter__(self) -> Iterator[Image.Image]:
        return decode_files(self._contents())

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        path, file = None, io.BytesIO()
        try:
            for wanted, offset, size in self.places:
                if wanted != path:
                    file.close()
                    path, file = wanted, open(wanted, "rb")
                file.seek(offset)
                yield f"{path} at byte {offset}", file.read(min(size, LARGEST_FILE + 1))
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
    places, labels = [], []
    for number in range(_count(folder / "test" / "nshards.txt")):
        path = folder / "test" / f"{number}.tar"
        try:
            for key, (image, label) in _samples(path).items():
                if image is None or label is None:
                    raise UserError(f"{path}: sample {printable(key)} lacks its image or its .cls")
                places.append((path, *image))
                labels.append(label)
        except (OSError, tarfile.TarError, ValueError) as error:
            raise UserError(f"{path}: missing or damaged ({error}); fetch it again") from None
    if not labels:
        raise UserError(f"{folder / 'test'}: no images in the tars that nshards.txt counts; fetch the set again")
    if not 0 <= min(labels) <= max(labels) < len(classes):
        raise UserError(f"{folder}: labels {min(labels)} to {max(labels)}, but {NAMES} has {len(classes)} lines")
    return classes, places, labels


def _count(path: Path) -> int:
    lines = _lines(path)
    if len(lines) != 1 or not re.fullmatch(r"[0-9]{1,9}", lines[0].strip()):
        raise UserError(f"{path}: it must hold the number of tars and nothing else; fetch the set again")
    return int(lines[0])


def _samples(path: Path) -> dict[str, tuple[tuple[int, int] | None, int | None]]:
    """Key of each sample of a tar -> offset and bytes of its image, and its label. Raises what a damaged tar raises."""
    found: dict[str, tuple] = {}
    for member, content in members(path):
        key, _, kind = member.name.partition(".")
        if not member.isfile() or not is_content(member.name):
            continue
        image, label = found.get(key, (None, None))
        if f".{kind.lower()}" in IMAGES and image is None:
            image = (member.offset_data, member.size)
        elif kind.lower() == "cls":
            if member.size > LABEL_BYTES:
                raise ValueError(f"the label of {printable(key)} has {member.size} bytes")
            label = int(content())
        found[key] = (image, label)
    return found


def _class_folders(folder: Path) -> tuple[tuple[str, ...], list, list[int]]:
    root = next((folder / part for part in ("val", "test") if (folder / part).is_dir()), folder)
    folders = {path: _images(path) for path in sorted(root.iterdir()) if path.is_dir() and is_content(path.name)}
    for path in folders:
        _require_read(path)
    empty = [path.name for path, images in folders.items() if not images]
    folders = {path: images for path, images in folders.items() if images}
    if not folders:
        raise UserError(f"{folder}: neither test/nshards.txt (WebDataset) nor folders of images, one a class")
    places = [(image, 0, image.stat().st_size) for images in folders.values() for image in images]
    labels = [label for label, images in enumerate(folders.values()) for _ in images]
    if odd := next((path for path, *_ in places if not is_utf8(str(path))), None):
        raise UserError(f"{printable(str(odd))}: its name is not UTF-8; rename it")
    classes = _lines(folder / NAMES)
    if not classes and (lost := next((name for name in empty if SYNSET.fullmatch(name)), None)):
        raise UserError(f"{root / lost}: a class without images; fetch the set again, or remove the folder")
    if not classes and len(folders) == IMAGENET_CLASSES and all(SYNSET.fullmatch(path.name) for path in folders):
        import open_clip

        classes = tuple(open_clip.IMAGENET_CLASSNAMES)
    classes = classes or _names(list(folders))
    if len(classes) != len(folders):
        without = f" ({len(empty)} more hold none, such as {empty[0]})" if empty else ""
        raise UserError(
            f"{folder / NAMES}: {len(classes)} names for {len(folders)} folders of images{without} in {root}"
        )
    return classes, places, labels


def _names(folders: list[Path]) -> tuple[str, ...]:
    """The folders' names as a prompt says them. Raises UserError for two that a model cannot tell apart."""
    known: dict[str, Path] = {}
    for path in folders:
        same = " ".join(unicodedata.normalize("NFC", path.name).replace("_", " ").lower().split())
        if same in known:
            raise UserError(f"{path}: the same class name as {known[same].name}; rename or merge the folders")
        known[same] = path
    return tuple(path.name.replace("_", " ") for path in folders)


def _require_read(folder: Path) -> None:
    """Raises UserError if a class has pictures that are not read."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if is_content(name))
        deeper = Path(place) != folder
        for name in sorted(filter(is_content, files)):
            path, kind = Path(place, name), Path(name).suffix.lower()
            if kind in OTHER_IMAGES:
                raise UserError(f"{printable(str(path))}: such files are not read; convert it to PNG, or remove it")
            if deeper and kind in IMAGES:
                raise UserError(
                    f"{printable(str(path))}: a picture in a folder of a class's folder is not read; move it one level "
                    "up, or name the folder whose subfolders are the classes"
                )


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES and is_content(file.name))


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
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a text in UTF-8 ({error})") from None
