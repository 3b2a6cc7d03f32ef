"""A request's budget: in multiples of its pairs, in pairs, or in seconds."""

import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from salmu.data.documents import loaded
from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.evaluation.requests.chosen import ChosenPairs
from salmu.evaluation.requests.settings import BUDGET, FOR_REQUESTS, ForgetSettings
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.registry import UnlearningSettings, get
from salmu.evaluation.unlearning.retain_scenes import scene_source
from salmu.evaluation.unlearning.runner import load, pools
from salmu.evaluation.unlearning.settings import MethodSettings
from salmu.evaluation.unlearning.training import spend
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.loop import reproducible

TRIAL = 16  # pairs of each kind
UNDER_WAY = "under-way.json"


class UnderWay(BaseModel):
    """The budget of the request that is being worked, where a trial decided it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    of: str
    pairs: int


def settings_of(
    wanted: ForgetSettings,
    unlearning: UnlearningSettings,
    start: ClipModel,
    before: Path,
    chosen: ChosenPairs,
    folder: Path,
) -> MethodSettings:
    """The method's settings for one request, with the budget that is asked for. Procedural scenes are added only to
    what a model is given that was trained on them, unless the method's own settings ask for some.

    Raises UserError for seconds that are too few."""
    count = len(chosen.table("forget", "file_name"))
    own = unlearning.methods.get(wanted.method, {})
    values = FOR_REQUESTS.get(wanted.method, {}) | own
    budget = wanted.pairs / count if wanted.pairs else wanted.budget or values.pop("budget", BUDGET)
    unlearning = unlearning.model_copy(update={"methods": {wanted.method: values | {"budget": budget}}})
    settings = unlearning.run(wanted.method, budget, wanted.seed).settings
    asked = "retain_scenes" in own
    if not asked and scene_source(start, wanted.seed).scenes is None:
        settings = settings.model_copy(update={"retain_scenes": 0})
    if wanted.seconds:
        pairs = _kept_pairs(wanted, settings, before, chosen, folder)
        settings = settings.model_copy(update={"budget": pairs / count})
    return settings


def _kept_pairs(
    wanted: ForgetSettings, settings: MethodSettings, before: Path, chosen: ChosenPairs, folder: Path
) -> int:
    """What the trial of this very request found; made first where there was none."""
    of = digest("seconds", wanted.method, settings.fingerprint(), wanted.seconds, before.name, chosen.digest)
    path = folder / UNDER_WAY
    known = loaded(path, UnderWay) if path.is_file() else None
    if known is None or known.of != of:
        known = UnderWay(of=of, pairs=_pairs_in(wanted.seconds, wanted.method, settings, before, chosen))
        write_atomic(path, known.model_dump_json().encode())
    return known.pairs


def _pairs_in(seconds: float, method: str, settings: MethodSettings, before: Path, chosen: ChosenPairs) -> int:
    """How many pairs of each kind the seconds allow, from a few steps that are thrown away."""
    one, began = get(method), time.monotonic()
    if not one.loss:
        raise UserError(f"{method}: takes no steps, so seconds say nothing about its pairs; give --budget or --pairs")
    with reproducible(settings.threads):
        clip = load(before, settings.device)
        work = Work(one, settings, clip, pools(one.sees, settings, clip, chosen), TRIAL)
        if one.prepare:
            work.prepared  # noqa: B018  what is made once
        ready = time.monotonic()
        spend(work)
    done = time.monotonic()
    pairs = int((seconds - (ready - began)) / (done - ready) * TRIAL)
    if pairs < 1:
        raise UserError(
            f"{method}: {seconds:g} s are too few: making ready alone takes {ready - began:.0f} s; allow more, or make "
            "less ready (for as_retrained: fewer strangers, others and scenes)"
        )
    return pairs
