"""From people to files: render, train the four models, each in a process of its own, measure, write."""

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from salmu.data.files import file_sha256, write_atomic
from salmu.data.keyed import digest
from salmu.data.procedural.person import Person
from salmu.model_training.analysis_models.clip import train_clip
from salmu.model_training.analysis_models.detector import train_detector
from salmu.model_training.analysis_models.measure import measure
from salmu.model_training.analysis_models.networks import write_onnx
from salmu.model_training.analysis_models.portraits import Portrait, draw_people, draw_portraits, load, save
from salmu.model_training.analysis_models.recogniser import train_genderage, train_recogniser

TEST_PEOPLE, TEST_VIEWS = 40, 4
STEPS = {"detector": 1600, "recogniser": 900, "clip": 650, "genderage": 450}  # the longest first

CALIBRATION = (
    "min_anchor_similarity and min_centre_similarity (tasks/curation/rules.py): read off "
    "portraits_lost_and_others_passed_at below, between the portraits lost and the people of the same gender and age "
    "group let through; the two rules work one after the other, and a run has more portraits for its centres, so both "
    "lie lower than either would alone. min_brightness: between nearly black pictures (0.03) and the darkest 1 % of "
    "portraits. "
    "min_gender_support: low, since the label is the second line after the anchor."
)


def make(out: Path, seed: int, people: int, views: int, effort: float, workers: int, cache: Path | None) -> None:
    """Render, train, measure and write everything."""
    torch.set_num_threads(1)
    start = time.monotonic()
    (out / "faces").mkdir(parents=True, exist_ok=True)
    (out / "clip").mkdir(exist_ok=True)
    persons = {"train": draw_people(seed, "train", people), "test": draw_people(seed, "test", TEST_PEOPLE)}
    portraits = {
        split: _portraits(persons[split], seed, split, count, every, workers, cache)
        for split, count, every in (("train", views, 4), ("test", TEST_VIEWS, 1))
    }
    seconds = {"rendering": time.monotonic() - start}
    train = partial(train_part, out, portraits["train"], persons["train"], seed, effort)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        seconds |= dict(zip(STEPS, pool.map(train, STEPS), strict=True))
    measured = {
        "seed": seed,
        "trained_on": {"people": people, "portraits": len(portraits["train"]), "effort": effort},
        "seconds": {name: round(value) for name, value in seconds.items()},
        "calibration": CALIBRATION,
        **measure(out, portraits["test"], persons["test"], seed),
        "sha256": {
            str(path.relative_to(out)): file_sha256(path)
            for folder in ("faces", "clip")
            for path in sorted((out / folder).iterdir())
        },
    }
    text = json.dumps(measured, indent=1)
    write_atomic(out / "measured.json", text.encode() + b"\n")
    print(text)


def train_part(
    out: Path, portraits: list[Portrait], people: list[Person], seed: int, effort: float, part: str
) -> float:
    """Train one of the models of STEPS and write its files; returns the seconds it took."""
    torch.set_num_threads(1)
    start = time.monotonic()
    steps = int(STEPS[part] * effort)
    with_one_face = [portrait for portrait in portraits if portrait.kind in ("anchor", "portrait")]
    if part == "detector":
        write_onnx(train_detector(portraits, seed, steps), out / "faces")
    elif part == "recogniser":
        write_onnx(train_recogniser(with_one_face, seed, steps), out / "faces")
    elif part == "genderage":
        write_onnx(train_genderage(with_one_face, people, seed, steps), out / "faces")
    else:
        train_clip(portraits, people, out / "clip", seed, steps)
    return time.monotonic() - start


def _portraits(
    people, seed: int, split: str, views: int, every: int, workers: int, cache: Path | None
) -> list[Portrait]:
    path = cache / f"{split}-{digest(seed, len(people), views, every)}.parquet" if cache else None
    if path and path.is_file():
        return load(path)
    portraits = draw_portraits(people, seed, split, views, every, workers)
    if path:
        save(portraits, path)
    return portraits
