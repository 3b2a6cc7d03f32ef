"""How far an unlearned model moves what shall stay where it is: captions and pictures that as_retrained makes and
holds, others of the same kinds that it never saw, and the holdouts of the benchmark.

    python benchmarks/held.py RUN MODEL ... [--json benchmarks/held.json]

Mean squared distance of embeddings of length 1 from those of Compromised, so that 2 is what two unrelated ones have.
Where the first row of a kind is far below the second, the method holds its own captions or pictures too literally: more
of them are needed. The last lines say how far the portraits that shall move still are from where they shall be."""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import torch
from levels import METHOD, settings_of, work_on
from PIL import Image
from torch import Tensor

from salmu.data.readers import Dataset, open_dataset
from salmu.evaluation.unlearning import faces
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.pair_streams import Pool
from salmu.evaluation.unlearning.runner import load
from salmu.evaluation.unlearning.text_regression import before, made_people

PEOPLE, PICTURES = 150, 300  # of each kind that is made
OTHER = 77  # added to the method's seed, for what it never saw
HOLDOUTS = ("holdout_identity", "holdout_association")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with dataset/ and models/")
    parser.add_argument("models", type=Path, nargs="+", help="folders of models that as_retrained made")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measured(options.run, folder) for folder in options.models]
    print("| model | what | captions | pictures |\n|---|---|---:|---:|")
    for row in rows:
        for what, (captions, pictures) in row["moved"].items():
            print(f"| {row['model']} | {what} | {captions:.4f} | {pictures:.4f} |")
    for row in rows:
        if row["portraits_left"]:
            left = "before {:.4f}, after {:.4f}".format(*row["portraits_left"])
            print(f"{row['model']}: portraits that shall move, {left}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def measured(run: Path, folder: Path) -> dict[str, Any]:
    """What is known of one model."""
    settings = settings_of(folder)
    start, changed = work_on(run, run / "models" / "compromised", settings), work_on(run, folder, settings)
    return {
        "run": run.name,
        "model": folder.name,
        "moved": moved(start, changed, open_dataset(run / "dataset"), load(folder, "cpu").preprocess),
        "portraits_left": portraits_left(start, changed),
    }


def moved(start: Work, changed: Work, dataset: Dataset, preprocess) -> dict[str, tuple[float, float]]:
    """What is measured -> how far its captions and its pictures moved."""
    settings, pool = start.settings, start.forget.pool
    other = settings.model_copy(update={"seed": settings.seed + OTHER})
    found = {}
    for what, chosen in ((f"made and held by {METHOD}", settings), ("of the same kind, never seen", other)):
        found[what] = both(start, changed, strangers_captions(start, chosen), drawn_portraits(pool, chosen))
    for split in HOLDOUTS:
        rows = dataset.table(split, ["image", "text"]).to_pylist()
        pixels = torch.stack([preprocess(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows])
        found[split] = both(start, changed, [row["text"] for row in rows], pixels)
    return found


def portraits_left(start: Work, changed: Work) -> tuple[float, float] | None:
    """How far the portraits that shall move are from where they shall be: mean squared distance before and after. None
    where none shall."""
    there = faces.faces_of(start, start.settings.model_copy(update={"made_portraits": 1, "made_scenes": 0}))
    if there is None:
        return None
    rows = there.moved.nonzero()[:, 0]
    pixels = start.forget.pool.pixels(rows.numpy()).split(faces.CHUNK)
    found = [torch.cat([faces.encoded(work, part) for part in pixels]) for work in (start, changed)]
    return tuple(round((images - there.wanted[rows]).square().sum(1).mean().item(), 4) for images in found)


def strangers_captions(work: Work, settings) -> list[str]:
    """Two captions of each attribute of some strangers of the settings' seed."""
    people = work.forget.pool.people
    if settings.seed == work.settings.seed:
        made = made_people(work, settings)
    else:
        made = maker_for(people).strangers(people, PEOPLE, settings.seed, work.worded[0])
    return [text for one in made[:PEOPLE] for captions in one.captions.values() for text in captions[:2]]


def drawn_portraits(pool: Pool, settings) -> Tensor:
    few = settings.model_copy(update={"made_portraits": min(PICTURES, settings.made_portraits), "made_scenes": 0})
    return pool.preprocessed(faces.pictures_of_nobody(few, pool.side))


def both(start: Work, changed: Work, captions: list[str], pixels: Tensor) -> tuple[float, float]:
    tokens = start.tokenizer(captions)
    texts = [before(work, tokens, work.network) for work in (start, changed)]
    images = [torch.cat([faces.encoded(work, part) for part in pixels.split(faces.CHUNK)]) for work in (start, changed)]
    return tuple(round((now - then).square().sum(1).mean().item(), 4) for then, now in (texts, images))


if __name__ == "__main__":
    main()
