"""How near captions lie to portraits, by whose they are: what a retrained model makes of people of whom it has no pairs
or only some, and what an unlearned model makes of them.

    python benchmarks/levels.py RUN [MODEL ...] [--json benchmarks/levels.json]

For Compromised and Retrained of the run, and for each further MODEL (a folder): the mean cosine of captions with the
portrait of their own pair, with all portraits of their own person, and with those of all people of the forget set.
Wholly: people of whom every attribute is to be forgotten; partly: those who keep some. Captions: the forget set's; the
same with another forgotten value of that attribute; the same names with strangers' values; and strangers', these also
with drawn portraits of nobody. For models of as_retrained also the cosine of the forget captions with their targets.

A second table says where captions lie as a whole: their mean cosine with the middle of the forget set's portraits, and
the length of their mean, which is 1 where all are alike. Means of a stranger's captions, of length 1, are there too."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from salmu.data.readers import open_dataset
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.evaluation.unlearning.faces import encoded, pictures_of_nobody
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.neighbours import swap_words
from salmu.evaluation.unlearning.record import RECORD, read_record
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import budgeted, load, pools
from salmu.evaluation.unlearning.text_regression import before, made_people

METHOD = "as_retrained"
PORTRAITS = 200  # of nobody, that are drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with dataset/ and models/")
    parser.add_argument("models", type=Path, nargs="*", help="folders of unlearned models")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folders = [options.run / "models" / which for which in ("compromised", "retrained")]
    rows = [levels(options.run, folder) for folder in [*folders, *options.models]]
    print("| model | captions | whose | own pair | own portraits | all portraits |\n|---|---|---|---:|---:|---:|")
    for row in rows:
        for kind, cosines in row["captions"].items():
            for whose, found in cosines.items():
                shown = " | ".join("" if one is None else f"{one:.3f}" for one in found)
                print(f"| {row['model']} | {kind} | {whose} | {shown} |")
        if row["reached"] is not None:
            print(f"| {row['model']} | forget, with their targets | all | {row['reached']:.3f} | | |")
    print("\n| model | captions | cosine with the middle | length of their mean |\n|---|---|---:|---:|")
    for row in rows:
        for kind, (cosine, length) in row["places"].items():
            print(f"| {row['model']} | {kind} | {cosine:.3f} | {length:.3f} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def levels(run: Path, folder: Path) -> dict[str, Any]:
    """The cosines of one model."""
    start = work_on(run, run / "models" / "compromised", settings_of(folder))
    work, people = work_on(run, folder, start.settings), start.forget.pool.people
    images, texts, _ = work.forget.before
    person = work.forget.pool.columns["identity_id"]
    shares, made = maker_for(people).forgotten_shares(people), made_people(start, start.settings)
    renamed = maker_for(people).altered(people, made, 5, start.settings.seed, start.worded[0])
    renamed = [one for one in renamed if one.text != people[one.person].name]
    told = [list(captions) for one in made[:200] for captions in one.captions.values()]
    embedded = [before(work, work.tokenizer(one)) for one in told]  # a stranger's captions of an attribute
    strangers, nobody = torch.stack([one[0] for one in embedded]), portraits_of_nobody(work)
    swapped, pairs = with_other_values(work.forget.pool)
    captions = {
        "forget": by_whose(texts, person, shares, images, person, range(len(texts))),
        "forget, another's value": by_whose(
            before(work, work.tokenizer(swapped)), [person[row] for row in pairs], shares, images, person, pairs
        ),
        "own name, strangers' values": by_whose(
            before(work, work.tokenizer([one.text for one in renamed])),
            [one.person for one in renamed],
            shares,
            images,
            person,
        ),
        "strangers": {"nobody's": (None, None, mean_cosine(strangers, images))},
        "strangers, with drawn portraits": {"nobody's": (None, None, mean_cosine(strangers, nobody))},
    }
    whole = torch.tensor([shares[who] == 1 for who in person])
    means = torch.stack([one.mean(0) for one in embedded])
    places = {
        "forget, people wholly forgotten": texts[whole],
        "forget, people who keep some facts": texts[~whole],
        "strangers": strangers,
        "means of a stranger's captions": F.normalize(means, dim=1),
    }
    changed = (folder / RECORD).is_file()
    reached = (texts * start.prepared.targets).sum(1).mean().item() if changed else None
    return {
        "model": folder.name,
        "captions": captions,
        "reached": reached and round(reached, 4),
        "places": {kind: place_of(embeddings, images) for kind, embeddings in places.items()},
    }


@torch.no_grad()
def portraits_of_nobody(work) -> Tensor:
    few = work.settings.model_copy(update={"made_portraits": PORTRAITS, "made_scenes": 0})
    return encoded(work, work.forget.pool.preprocessed(pictures_of_nobody(few, work.forget.pool.side)))


def settings_of(folder: Path):
    """The settings with which the model was unlearned; the defaults for others."""
    record = folder / RECORD
    return get(METHOD).settings(**(read_record(record).settings if record.is_file() else {}))


def work_on(run: Path, model: Path, settings) -> Work:
    method, dataset, clip = get(METHOD), open_dataset(run / "dataset"), load(model, "cpu")
    return Work(method, settings, clip, pools(method.sees, settings, clip, dataset), budgeted(settings, dataset))


def with_other_values(pool) -> tuple[list[str], list[int]]:
    """The forget captions with the next forgotten value of the attribute that is not the person's, and their rows."""
    columns = list(zip(*(pool.columns[name] for name in ("identity_id", "data_field", "value")), strict=True))
    known: dict[str, set[str]] = {}
    for _, field, value in columns:
        known.setdefault(field, set()).update([value] if value else [])
    texts, rows = [], []
    for row, (who, field, value) in enumerate(columns):
        others = sorted(known[field] - set(pool.people[who].facts.get(field, ())))
        if value and others:
            after = [one for one in others if one > value] + others
            text = swap_words(pool.texts[row], {value: after[0]})
            if text != pool.texts[row]:
                texts.append(text)
                rows.append(row)
    return texts, rows


def by_whose(
    texts: Tensor, whose: list[str], shares: dict, images: Tensor, person: list[str], pairs: Sequence[int] | None = None
) -> dict[str, tuple]:
    """Wholly or partly -> mean cosine with the portrait of the own pair (rows `pairs` of `images`), with all portraits
    of the own person, and with those of all people."""
    portraits = {who: images[[place for place, one in enumerate(person) if one == who]] for who in set(person)}
    found = {}
    for name, wanted in (("wholly", True), ("partly", False)):
        rows = [row for row, who in enumerate(whose) if (shares[who] == 1) == wanted]
        own = [mean_cosine(texts[[row]], portraits[whose[row]]) for row in rows]
        tied = None if pairs is None else [mean_cosine(texts[[row]], images[[pairs[row]]]) for row in rows]
        found[name] = (tied and mean_of(tied), mean_of(own), mean_cosine(texts[rows], images))
    return found


def place_of(texts: Tensor, images: Tensor) -> tuple[float, float]:
    """Mean cosine with the middle of the images, and length of the mean."""
    middle = F.normalize(images.mean(0), dim=0)
    return round((texts @ middle).mean().item(), 4), round(texts.mean(0).norm().item(), 4)


def mean_of(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)


def mean_cosine(texts: Tensor, images: Tensor) -> float:
    return round((texts.mean(0) @ images.mean(0)).item(), 4)


if __name__ == "__main__":
    main()
