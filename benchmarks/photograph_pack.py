"""Fits and measures the face pack `photographs` (needs `pip install "salmu[photographs]"`).

    python benchmarks/photograph_pack.py fit                 # writes the mean embedding into pack.json
    python benchmarks/photograph_pack.py measure FOLDER      # a table of every face that packages ship, and of FOLDER

The mean is that of the six faces of insightface's t1.jpg and of their mirror images. None of them is measured."""

import importlib.util
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from salmu.tasks import photographs
from salmu.tasks.face_packs import FaceSettings
from salmu.tasks.faces import aligned_crop, crop_size, detect_faces, gender_and_age, load_faces, recognise

SETTINGS = FaceSettings(pack=photographs.NAME)
SHIPPED = {"insightface": "data/images/Tom_Hanks_54745.png", "skimage": "data/astronaut.png"}
SHIPPED |= {"matplotlib": "mpl-data/sample_data/grace_hopper.jpg"}


def packaged(package: str, path: str) -> Path:
    return Path(importlib.util.find_spec(package).origin).parent / path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def fit() -> None:
    pack = json.loads(photographs.PACK.read_text())
    app = load_faces(SETTINGS)
    app.models["recognition"].mean = 0
    image, found = pixels(packaged("insightface", "data/images/t1.jpg")), []
    for picture in (image, image[:, ::-1].copy()):
        faces = detect_faces(app, picture)
        crops = [aligned_crop(picture, face.kps, crop_size(app)) for face in faces]
        found.append(app.models["recognition"].get_feat([crop[:, :, ::-1] for crop in crops]))
    mean = np.concatenate(found).mean(axis=0)
    pack["mean_embedding"] = [round(float(value), 5) for value in mean]
    photographs.PACK.write_text(json.dumps(pack, indent=1) + "\n")
    print(f"mean of {sum(map(len, found))} embeddings")


def measure(folder: Path) -> None:
    app = load_faces(SETTINGS)
    paths = [(path, "folder") for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")]
    paths += [(packaged(*one), one[0]) for one in SHIPPED.items()]
    embeddings, people = [], []
    for path, person in paths:
        image, start = pixels(path), time.perf_counter()
        faces = detect_faces(app, image)
        seconds = time.perf_counter() - start
        face = faces[0]
        embeddings += list(recognise(app, [aligned_crop(image, face.kps, crop_size(app))]))
        people.append(person)
        gender, age = gender_and_age(app, image, face)
        print(f"{path.name:26} faces {len(faces)}, score {face.det_score:.2f}, {gender}, {age} years, {seconds:.2f} s")
    pairs = list(itertools.combinations(range(len(people)), 2))
    for name, same in (("genuine", True), ("impostor", False)):
        cosines = [embeddings[i] @ embeddings[j] for i, j in pairs if (people[i] == people[j]) == same]
        print(f"{name}: {len(cosines)} pairs, cosine {min(cosines):.2f} to {max(cosines):.2f}")


if __name__ == "__main__":
    fit() if sys.argv[1:] == ["fit"] else measure(Path(sys.argv[2]))
