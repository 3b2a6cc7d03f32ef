"""Does what Compromised learned travel into a generator that is built on it, and does unlearning reach it there?

One generator a way is trained on Compromised and stays as it is. Then the text tower is exchanged for that of every
other model of the run, the same captions are asked with the same noise, and a face recogniser says who was drawn.

The space of a model that was trained by itself (Clean, Retrained) need not be that of Compromised: where not even the
holdouts are drawn, a low number says nothing. So Retrained has generators of its own too, trained without the forget
pairs (EXACT): what should be left."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.data.readers import open_dataset
from salmu.evaluation.attacks.outcome import Outcome, document
from salmu.evaluation.encoding.run_models import START, pair_of, unlearned_of
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.propagation.generator import draw, require_diffusers
from salmu.evaluation.propagation.heads import (
    SIDE,
    Gallery,
    Heads,
    Seen,
    embedded,
    gallery_of,
    read_heads,
    seen,
    seen_portraits,
)
from salmu.evaluation.propagation.questions import Asked, ask
from salmu.evaluation.propagation.results import EXACT, FOLDER, PICTURES, QUESTIONS, read_propagation, write_propagation
from salmu.evaluation.propagation.training import Built, generator_of
from salmu.evaluation.propagation.ways import caption_states
from salmu.model_training.loading.clip import ClipModel, load_model
from salmu.model_training.loop import reproducible
from salmu.tasks.face_packs import FaceSettings, face_revision
from salmu.tasks.faces import load_faces

VERSION = 2  # raised by hand when the same settings, weights and data give other numbers
SHOWN = 12  # pictures of each question that are kept
Progress = Callable[[int, int], None]


class Setup(NamedTuple):
    """All that does not depend on a tower."""

    settings: EvaluationSettings
    run_folder: Path
    app: Any  # the face recogniser
    heads: Heads
    gallery: Gallery
    asked: Asked
    tick: Callable[[], None]


def propagate(
    run_folder: Path, settings: EvaluationSettings, faces: FaceSettings, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Bring propagation/ of a run up to date with its models; returns the results (see `Propagation`). Finished
    generators and towers are kept. `progress` counts steps of training.

    Raises UserError where the package diffusers or the run's dataset or models are missing, or no faces are found."""
    require_diffusers()
    dataset, chosen = open_dataset(run_folder / "dataset"), settings.propagation
    towers = towers_of(run_folder, chosen.exact)
    with reproducible(settings.threads):
        digests = {name: load_model(folder, settings.device).weights_digest for name, folder in towers.items()}
        drawn_by = (settings.seed, settings.bootstrap_replicates, settings.threads, face_revision(faces))
        about = (VERSION, chosen.fingerprint(), *drawn_by, dataset.digest, digests[START])
        fingerprint, held = digest("propagation", *about), read_propagation(run_folder)
        results = held if held and held["fingerprint"] == fingerprint else None
        if results and digests == {name: one["model_digest"] for name, one in results["towers"].items()}:
            return results
        app = load_faces(faces)
        heads, faceless = read_heads(dataset, app, chosen.people, settings.seed)
        embeddings = embedded(app, heads.pictures)
        asked = ask(heads, dataset.identities, chosen.captions, settings.seed)
        tick = _counter(settings, EXACT in towers, progress)
        setup = Setup(settings, run_folder, app, heads, gallery_of(heads, embeddings), asked, tick)
        if results is None:
            results = {
                "version": VERSION,
                "fingerprint": fingerprint,
                "settings": chosen.fingerprint(),
                "seed": settings.seed,
                "dataset_digest": dataset.digest,
                "people": len(setup.gallery.people),
                "portraits": len(heads.text),
                "faceless": faceless,
                "asked": {name: int((asked.question == name).sum()) for name in QUESTIONS},
                "real": judged(setup, seen_portraits(heads, embeddings), heads.person, "real"),
                "generators": {},
                "towers": {},
            }
            keep_pictures(setup, "portraits", heads.pictures[asked.portrait])
        start, generators = load_model(towers[START], settings.device), {}
        for name, folder in towers.items():
            if results["towers"].get(name, {}).get("model_digest") != digests[name]:
                clip = load_model(folder, settings.device)
                ways = ask_tower(setup, results, generators, name, clip, start)
                results["towers"][name] = {"model_digest": digests[name], "ways": ways}
                write_propagation(results, run_folder)
        results["towers"] = {name: results["towers"][name] for name in towers}
        write_propagation(results, run_folder)
    return results


def towers_of(run_folder: Path, exact: bool) -> dict[str, Path]:
    """Name -> folder of the run's models; EXACT is Retrained once more."""
    pair = pair_of(run_folder)
    again = {EXACT: pair["retrained"]} if exact and "retrained" in pair else {}
    return pair | again | unlearned_of(run_folder)


def ask_tower(
    setup: Setup, results: dict, generators: dict[str, Built], name: str, clip: ClipModel, start: ClipModel
) -> dict[str, Any]:
    """What the generators draw with a text tower: for each way and question, how it is recognised."""
    ways = {}
    for way in setup.settings.propagation.ways:
        own = f"{way}-{EXACT}" if name == EXACT else way
        if own not in generators:
            about = (setup.settings, setup.run_folder, own, way)
            heads = setup.heads.rows(setup.heads.split != "forget") if name == EXACT else setup.heads
            generators[own] = generator_of(*about, clip if name == EXACT else start, heads, results, setup.tick)
            write_propagation(results, setup.run_folder)
        generator, tokens = generators[own]
        states = caption_states(way, clip, setup.asked.text, tokens)
        key = (setup.settings.seed, "propagation", way)
        pictures = draw(generator, states, setup.settings.propagation.draw_steps, *key)
        keep_pictures(setup, f"{way}-{name}", pictures)
        found = seen(embedded(setup.app, pictures), setup.asked.person, setup.gallery)
        ways[way] = {
            question: judged(setup, Seen(*(part[rows] for part in found)), setup.asked.person[rows], way, question)
            for question in QUESTIONS
            if (rows := setup.asked.question == question).any()
        }
    return ways


def judged(setup: Setup, found: Seen, people: np.ndarray, *key) -> dict[str, Any]:
    """Shares and mean reciprocal rank of pictures that should show these people, with intervals over people."""
    count = len(setup.gallery.people)
    values = {
        "recognised": (found.rank == 1, 1 / count),
        "reciprocal_rank": (1 / found.rank, float((1 / np.arange(1, count + 1)).sum() / count)),
    }
    if not any(gender is None for gender in setup.gallery.gender):
        values["same_gender"] = found.same_gender, None
    settings, told = setup.settings, {}
    for name, (rows, chance) in values.items():
        outcome = Outcome(np.asarray(rows, float), people, chance, {})
        drawn_by = (settings.seed, "propagation", *key, name)
        told[name] = document(outcome, *drawn_by, replicates=settings.bootstrap_replicates, share=True)
    return told


def keep_pictures(setup: Setup, name: str, pictures: np.ndarray) -> None:
    """Keep the first pictures of each question as propagation/pictures/NAME.png, one line a question."""
    sheet = Image.new("RGB", (SIDE * SHOWN, SIDE * len(QUESTIONS)), "white")
    for line, question in enumerate(QUESTIONS):
        for place, picture in enumerate(
            pictures[setup.asked.question == question][:: setup.settings.propagation.captions][:SHOWN]
        ):
            sheet.paste(Image.fromarray(picture), (SIDE * place, SIDE * line))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomic(setup.run_folder / FOLDER / PICTURES / f"{name}.png", content.getvalue())


def _counter(settings: EvaluationSettings, exact: bool, progress: Progress) -> Callable[[], None]:
    """A function that counts steps of training and reports them with their total."""
    total, done = len(settings.propagation.ways) * (1 + exact) * settings.propagation.steps, 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return tick
