"""Every engine that the settings name, loaded as a run loads it, and the work that it is tried with.

Each function of ENGINES loads and gives a Trial. The inputs are made here: a drawn face, or the photograph of a face
that comes with matplotlib; made-up people; noise to train on."""

import importlib.util
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.identities import identity_id
from salmu.data.schemas import AGE_GROUPS, CAPTIONS, GENDERS, REGIONS
from salmu.data.store import Store
from salmu.flows.settings import RunSettings
from salmu.tasks.analysis import stage as analysis
from salmu.tasks.candidates import procedural as drawn_candidates
from salmu.tasks.candidates import stage as candidates
from salmu.tasks.candidates.sources import list_pictures
from salmu.tasks.captions import stage as captions
from salmu.tasks.personas import stage as personas
from salmu.tasks.pictures import jpeg_file
from salmu.tasks.portraits import procedural as drawn_portraits
from salmu.tasks.portraits import stage as portraits

LANDMARKS = (0.39, 0.42, 0.61, 0.42, 0.50, 0.54, 0.41, 0.66, 0.59, 0.66)  # of a face, in shares of the picture
MOST = 64  # items at once, where the settings name no batch
WISHES = 101  # portraits whose sizes are looked at, for the middle one


class Made(NamedTuple):
    """What came of some items."""

    detail: str
    seconds: float | None = None  # of the items, where it is not all the time that it took


class Trial(NamedTuple):
    """An engine that is loaded: what makes so many items, how many at most at once, and what can be asked of a language
    model beside that."""

    make: Callable[[int], Made]
    most: int
    forms: Callable[[], Iterator[str]] | None = None


def try_candidates(settings: RunSettings, folder: Path) -> Trial:
    own = settings.candidates
    if own.source == "images":
        try:
            there = len(list_pictures(own.images))
        except UserError:  # said among the settings
            there = 0
        if not there:
            own = own.model_copy(update={"images": (str(_photographs(folder / "faces")),), "attributes": None})
    engine = candidates.load_engine(own)

    def make(count: int) -> Made:
        some = own.model_copy(update={"count": count, "shard_size": count})
        result = candidates.run(candidates.plan(some, {})[0], some, {}, engine)
        return Made(f"a face in {len(result.rows)} of {count} pictures")

    return Trial(make, MOST if own.source == "procedural" else min(there or MOST, MOST))


def try_portraits(settings: RunSettings, folder: Path) -> Trial:
    own, numbers = settings.portraits, itertools.count(1)
    engine = portraits.load_engine(own)
    if own.engine == "procedural":
        person = drawn_candidates.draw(own.seed, 0, identity_id(own.seed, 0), 96).person

        def draw(count: int) -> Made:
            made = [drawn_portraits.portrait(person, seed, own.short_side, 0.0) for seed in range(count)]
            return Made(f"drawn, {made[-1]['width']} x {made[-1]['height']} pixels")

        return Trial(draw, MOST)
    from salmu.tasks.portraits import generate, prompts

    grammar, anchor = prompts.load(), _anchor(own.short_side)
    seeds = [keyed.integer(own.seed, "check", number) for number in range(WISHES)]
    wishes = [prompts.draw_wish(grammar, seed, anchor) for seed in seeds]
    sizes = [portraits.size_of(wish.aspect_ratio, own) for wish in wishes]
    width, height = sorted(sizes, key=np.prod)[WISHES // 2]

    def make(count: int) -> Made:
        orders = [
            generate.Order(f"{number}.jpg", anchor["identity_id"], number, seed, width, height, wish)
            for number, seed, wish in zip(itertools.islice(numbers, count), seeds, wishes, strict=False)
        ]
        result = generate.make(engine, own.faceid, grammar, orders, {anchor["identity_id"]: anchor}, None)
        dtype = str(engine.dtype).removeprefix("torch.")
        flagged = f", {len(result.rejects)} flagged as unsafe" if result.rejects else ""
        return Made(f"{width} x {height} pixels, {own.faceid.steps} steps, {dtype} on {engine.device.type}{flagged}")

    return Trial(make, min(own.faceid.batch_size, WISHES))


def try_analysis(settings: RunSettings, folder: Path) -> Trial:
    own = settings.analysis
    engine = analysis.load_engine(own)
    picture = jpeg_file(_face(own.faces.pack == "embedded", settings.portraits.short_side), 92)

    def make(count: int) -> Made:
        shown = [{"file_name": f"{n}.jpg", "identity_id": "00000000", "image": picture} for n in range(count)]
        rows = analysis.measure(shown, own, engine).rows
        for name in ("face_embedding", "clip_embedding"):
            found = [row[name] for row in rows if row.get(name) is not None]
            if not np.isfinite(found).all():
                raise UserError(f"analysis: {name} is not finite (NaN or infinite); a model is broken")
        row = rows[0]
        said = f"{row['gender']}, {row['age_group']}" if row["faces"] else "no face"
        return Made(f"faces in the sample picture: {row['faces']}; {said}")

    return Trial(make, own.batch_size)


def try_captions(settings: RunSettings, folder: Path) -> Trial:
    own = settings.captions
    engine, told = captions.load_engine(own), _facts(settings)
    if engine.paraphraser is None:

        def word(count: int) -> Made:
            made = [engine.grammar.captions(next(told), own.seed, own.attempts) for _ in range(count)]
            return Made(f"grammar: {made[-1][0].text!r}")

        return Trial(word, 8 * MOST)

    def make(count: int) -> Made:
        facts = list(itertools.islice(told, count))
        work = Store(folder).work("captions", CAPTIONS, 0, keyed.digest(facts[0]))
        made = engine.paraphraser.captions(facts, own.seed, own.attempts, own.retries, work)
        every = [caption for group in made for caption in group]
        accepted = [caption.text for caption in every if caption.generator == own.engine]
        detail = f"{len(accepted)} of {len(every)} captions are the model's, the others the grammar's"
        failing = len(every) - len(accepted) > own.max_fallback_share * len(every)
        return Made(detail + (f"; above captions.max_fallback_share {own.max_fallback_share:.0%}" if failing else ""))

    def forms() -> Iterator[str]:
        from salmu.tasks.captions.placeholders import FORMS, compared

        for form in FORMS:
            (found,) = compared(engine.paraphraser.model, engine.paraphraser.prompts, own.seed, forms=(form,))
            yield (
                f"{form.name} {form.value}: both kept in {found.both} of {found.asked} sentences, {found.accepted} "
                f"accepted, {found.seconds:.0f} s"
            )

    return Trial(make, 4 * MOST, forms)


def try_training(settings: RunSettings, folder: Path) -> Trial:
    from salmu.model_training import trial

    pair = settings.pair
    prepared = trial.prepare(pair)

    def make(count: int) -> Made:
        seconds = trial.seconds_a_step(prepared, count)
        accumulated = f" x {pair.accumulate}" if pair.accumulate > 1 else ""
        return Made(f"{pair.model}, steps of {count}{accumulated} pairs, {pair.precision} on {pair.device}", seconds)

    return Trial(make, max(pair.batch_size // (pair.processes * pair.accumulate), 1))


def try_metrics(settings: RunSettings, folder: Path) -> Trial:
    from salmu.evaluation.encoding.embeddings import Encoder
    from salmu.evaluation.scoring.monitor import preprocess_of
    from salmu.model_training import trial
    from salmu.model_training.loading.clip import ClipModel
    from salmu.model_training.loop import reproducible
    from salmu.tasks.devices import torch_device

    own, texts = settings.evaluation, itertools.count()
    device = torch_device(own.device)
    prepared = trial.prepare(settings.pair.model_copy(update={"device": device.type}))
    network = prepared.clip.eval().to(device)
    clip = ClipModel("check", network, preprocess_of(network), prepared.tokenizer, str(device))
    encoder = Encoder(clip, own.batch_size, "check", precision=own.precision)
    picture = Image.fromarray(_face(True, settings.portraits.short_side))

    def make(count: int) -> Made:
        with reproducible(own.threads):
            images = encoder.images("check", itertools.repeat(picture, count), count)
            found = images @ encoder.texts(f"caption {next(texts)}" for _ in range(count)).T
        if not np.isfinite(found).all():
            raise UserError("evaluation: embeddings are not finite (NaN or infinite) in evaluation.precision")
        return Made(f"{settings.pair.model}, pictures with captions, {own.precision} on {device.type}")

    return Trial(make, own.batch_size)


ENGINES: dict[str, Callable[[RunSettings, Path], Trial]] = {
    "candidates": try_candidates,
    "portraits": try_portraits,
    "analysis": try_analysis,
    "captions": try_captions,
    "training": try_training,
    "metrics": try_metrics,
}


def _photographs(folder: Path) -> Path:
    """A folder with copies of a photograph of a face."""
    folder.mkdir(parents=True)
    for number in range(MOST):
        shutil.copyfile(_photograph(), folder / f"{number:08}.jpg")
    return folder


def _photograph() -> Path:
    """Grace Hopper, a picture of the US Navy that is in the public domain, among matplotlib's sample data."""
    home = Path(importlib.util.find_spec("matplotlib").origin).parent
    return home / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def _face(drawn: bool, side: int) -> np.ndarray:
    """A square picture with a face, uint8 RGB [side, side, 3]."""
    if drawn:
        return drawn_candidates.draw(0, 0, identity_id(0, 0), side).image
    picture = Image.open(_photograph()).convert("RGB")
    return np.asarray(picture.crop((0, 0, picture.width, picture.width)).resize((side, side)))


def _anchor(side: int) -> dict:
    """What a FaceID engine needs of an anchor; its embedding belongs to nobody."""
    embedding = keyed.generator("check", "anchor").normal(size=512)
    return {
        "identity_id": "00000000",
        "image": jpeg_file(_face(False, side), 92),
        "landmarks": [share * side for share in LANDMARKS],
        "face_embedding": (embedding / np.linalg.norm(embedding)).tolist(),
        "gender": "female",
        "age_group": "50-59",
        "region": "White",
    }


def _facts(settings: RunSettings):
    """Facts of made-up people, without end; each person has one of each field."""
    fake = personas.load_engine(settings.personas)
    for number in itertools.count():
        one = {
            "identity_id": identity_id(settings.seed, number),
            "gender": GENDERS[number % len(GENDERS)],
            "age_group": AGE_GROUPS[number % len(AGE_GROUPS)],
            "region": REGIONS[number % len(REGIONS)],
        }
        yield from captions.facts(personas.persona(one, settings.personas, fake))
