"""Make the embedded analysis models anew: python -m model_training.analysis_models --out data/models

Draws procedural people, renders their portraits, trains the face pack (detector, recogniser, gender and age) and the small CLIP,
measures them on further people, and writes faces/, clip/ and measured.json below --out. It computes on one thread, so on the same
kind of processor with the same releases of torch, onnx and tokenizers it gives the same files bit for bit; elsewhere the last digits
differ, and the measured figures agree to about 0.01. About 20 minutes on one core, a few less with --workers 2 (rendering only).
"""

import argparse
import json
import time
from pathlib import Path

import torch

from data.keyed import digest
from data.store import file_sha256, write_atomic
from model_training.analysis_models.clip import train_clip
from model_training.analysis_models.detector import train_detector
from model_training.analysis_models.measure import measure
from model_training.analysis_models.networks import write_onnx
from model_training.analysis_models.portraits import draw_people, draw_portraits, load, save
from model_training.analysis_models.recogniser import train_genderage, train_recogniser

TEST_PEOPLE, TEST_VIEWS = 20, 8


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_training.analysis_models", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for faces/, clip/ and measured.json")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--people", type=int, default=300, help="identities to train on")
    parser.add_argument("--views", type=int, default=8, help="portraits of each")
    parser.add_argument("--effort", type=float, default=1.0, help="factor on all numbers of training steps")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--cache", type=Path, help="folder that keeps the rendered portraits; remove it when data/procedural changes")
    arguments = parser.parse_args()
    make(**vars(arguments))


def make(out: Path, seed: int, people: int, views: int, effort: float, workers: int, cache: Path | None) -> None:
    """Render, train, measure and write everything."""
    torch.set_num_threads(1)
    start = time.monotonic()
    (out / "faces").mkdir(parents=True, exist_ok=True)
    (out / "clip").mkdir(exist_ok=True)
    persons = {"train": draw_people(seed, "train", people), "test": draw_people(seed, "test", TEST_PEOPLE)}
    portraits = {split: _portraits(persons[split], seed, split, count, workers, cache)
                 for split, count in (("train", views), ("test", TEST_VIEWS))}
    with_one_face = [portrait for portrait in portraits["train"] if portrait.kind in ("anchor", "portrait")]
    seconds = {"rendering": time.monotonic() - start}
    for name, train in {
        "detector": lambda: write_onnx(train_detector(portraits["train"], seed, int(1000 * effort)), out / "faces"),
        "recogniser": lambda: write_onnx(train_recogniser(with_one_face, seed, int(1400 * effort)), out / "faces"),
        "genderage": lambda: write_onnx(train_genderage(with_one_face, persons["train"], seed, int(500 * effort)), out / "faces"),
        "clip": lambda: train_clip(portraits["train"], persons["train"], out / "clip", seed, int(900 * effort)),
    }.items():
        begun = time.monotonic()
        train()
        seconds[name] = time.monotonic() - begun
    measured = {
        "seed": seed, "trained_on": {"people": people, "portraits": len(portraits["train"]), "effort": effort},
        "seconds": {name: round(value) for name, value in seconds.items()},
        **measure(out, portraits["test"], persons["test"], seed),
        "sha256": {str(path.relative_to(out)): file_sha256(path) for folder in ("faces", "clip")
                   for path in sorted((out / folder).iterdir())},
    }
    text = json.dumps(measured, indent=1)
    write_atomic(out / "measured.json", text.encode() + b"\n")
    print(text)


def _portraits(people, seed: int, split: str, views: int, workers: int, cache: Path | None):
    path = cache / f"{split}-{digest(seed, len(people), views)}.parquet" if cache else None
    if path and path.is_file():
        return load(path)
    portraits = draw_portraits(people, seed, split, views, workers)
    if path:
        save(portraits, path)
    return portraits


if __name__ == "__main__":
    main()
