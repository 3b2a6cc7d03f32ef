"""Does forgetting in a model survive a captioner that sits on top of its image tower?

A small captioner (decoder.py) learns to answer questions about portraits from the frozen image tower: what is the phone
number of this person? Two ways (WAYS). Built: it learned everything on Compromised's tower, the forgotten facts too,
and stays as it is; then the tower is exchanged. What it still says, the exchanged tower still leads to. Fresh: it
learns on each tower anew, without the forgotten facts. What it says of them can come from the tower alone.

Facts are asked on portraits whose own caption is about something else, and once more on their own. Two captioners
without a picture are the controls: BLIND knows what is frequent, NAMED is told who is on the portrait."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from salmu.data.keyed import digest
from salmu.data.pictures import decode_files
from salmu.data.readers import SPLITS, Dataset, open_dataset
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.attacks.outcome import Outcome, document
from salmu.evaluation.captioner.decoder import Captioner, answer, train
from salmu.evaluation.captioner.questions import NUMBERS, Asked, Learned, ask, digits_right, learned
from salmu.evaluation.captioner.results import BLIND, GROUPS, NAMED, WAYS, read_captions, write_captions
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.run_models import START, models_of
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loop import reproducible

VERSION = 1  # raised by hand when the same settings, weights and data give other numbers
Progress = Callable[[int, int], None]


class Setup(NamedTuple):
    """All that does not depend on a tower."""

    settings: EvaluationSettings
    pairs: Learned
    asked: Asked


def caption(
    run_folder: Path, settings: EvaluationSettings, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Bring captioner/ of a run up to date with its models; returns the results (see `Captions`). Finished towers are
    kept. `progress` counts towers.

    Raises UserError where the run's dataset or models are missing, or there is no fact to ask about."""
    dataset, chosen, towers = open_dataset(run_folder / "dataset"), settings.captioner, models_of(run_folder)
    with reproducible(settings.threads):
        digests = {name: load_model(folder, settings.device).weights_digest for name, folder in towers.items()}
        drawn_by = (settings.seed, settings.bootstrap_replicates, settings.batch_size, settings.threads)
        about = (VERSION, chosen.fingerprint(), *drawn_by, dataset.digest, digests[START])
        fingerprint, held = digest("captioner", *about), read_captions(run_folder)
        results = held if held and held["fingerprint"] == fingerprint else None
        if results and digests == {name: one["model_digest"] for name, one in results["towers"].items()}:
            return results
        pairs = learned(dataset)
        setup = Setup(settings, pairs, ask(pairs, chosen.portraits, settings.seed))
        results = results or {
            "version": VERSION,
            "fingerprint": fingerprint,
            "seed": settings.seed,
            "asked": {group: int((setup.asked.group == group).sum()) for group in GROUPS},
            "people": {group: len(set(setup.asked.person[setup.asked.group == group])) for group in GROUPS},
            "controls": controls(setup),
            "towers": {},
        }
        seen, built = partial(pictures_of, dataset, settings, run_folder / "cache"), None
        for done, (name, folder) in enumerate(towers.items()):
            progress(done, len(towers))
            if results["towers"].get(name, {}).get("model_digest") == digests[name]:
                continue
            pictures = seen(folder)
            own = hashlib.sha256(pictures.tobytes()).hexdigest()
            same = next((one for one in results["towers"].values() if one["pictures_digest"] == own), None)
            if same is None and built is None:
                built = trained(setup, seen(towers[START]), np.ones(len(pictures), bool))
            ways = same["ways"] if same else both_ways(setup, built, pictures)
            results["towers"][name] = {"model_digest": digests[name], "pictures_digest": own, "ways": ways}
            write_captions(results, run_folder)
        progress(len(towers), len(towers))
        results["towers"] = {name: results["towers"][name] for name in towers}
        write_captions(results, run_folder)
    return results


def both_ways(setup: Setup, built: Captioner, pictures: np.ndarray) -> dict[str, dict[str, Any]]:
    """What the captioner that was built on Compromised, and one of the tower's own, say of these pictures."""
    fresh = trained(setup, pictures, setup.pairs.split != "forget")
    return {way: said(setup, network, pictures, way) for way, network in zip(WAYS, (built, fresh), strict=True)}


def pictures_of(dataset: Dataset, settings: EvaluationSettings, cache: Path, folder: Path) -> np.ndarray:
    """The image tower's embeddings of all pairs, split by split as `learned` has them: [n, width], of length 1."""
    clip = load_model(folder, settings.device)
    encoder = Encoder(clip, settings.batch_size, dataset.digest, cache, precision=settings.precision)
    found = []
    for split in SPLITS:
        table = dataset.table(split, ["file_name", "image"])
        files = zip(
            table.column("file_name").to_pylist(),
            (image["bytes"].as_py() for image in table.column("image")),
            strict=True,
        )
        found.append(encoder.images(split, decode_files(files), len(table)))
    return np.concatenate([part for part in found if len(part)])


def controls(setup: Setup) -> dict[str, dict[str, Any]]:
    """What captioners say that see no picture."""
    people, member = np.unique(setup.pairs.person.astype(str), return_inverse=True)
    named = np.eye(len(people), dtype=np.float32)[member]
    shown = {BLIND: np.zeros((len(member), 1), np.float32), NAMED: named}
    everything = np.ones(len(member), bool)
    return {name: said(setup, trained(setup, pictures, everything), pictures, name) for name, pictures in shown.items()}


def trained(setup: Setup, pictures: np.ndarray, rows: np.ndarray) -> Captioner:
    """A captioner of these pairs (a mask), on these embeddings of all pairs."""
    pairs, key = setup.pairs, (setup.settings.seed, "captioner")
    return train(setup.settings.captioner, pictures[rows], pairs.question[rows], pairs.answer[rows].tolist(), *key)


def said(setup: Setup, network: Captioner, pictures: np.ndarray, *key) -> dict[str, dict[str, Any]]:
    """How right a captioner's answers are in each group. `pictures`: embeddings of all pairs."""
    asked, settings = setup.asked, setup.settings
    answers = np.array(answer(network, pictures[asked.portrait], asked.question), object)
    numbers = np.isin(asked.question, [DATA_FIELDS.index(field) for field in NUMBERS])
    told = {}
    for group in GROUPS:
        rows = asked.group == group
        digits = rows & numbers & np.array([any(map(str.isdigit, wanted)) for wanted in asked.answer])
        right = [digits_right(*both) for both in zip(asked.answer[digits], answers[digits], strict=True)]
        outcomes = {
            "digits": Outcome(np.array(right), asked.person[digits], None, {}),
            "values": Outcome((answers[rows] == asked.answer[rows]).astype(float), asked.person[rows], None, {}),
        }
        about = (settings.seed, "captioner", *key, group)
        told[group] = {
            name: document(one, *about, name, replicates=settings.bootstrap_replicates, share=True)
            for name, one in outcomes.items()
        }
    return told
