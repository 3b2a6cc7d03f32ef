"""Choose a method's settings without any holdout: on a cut of the forget set (internal_holdouts.py), the same number of
trials for every method, every trial logged.

The first trial has the method's defaults; the next ones are a Latin hypercube over its search space; the last third
goes on from the best so far, one step at a time. Where a setting of the best lies at an end of its space, the space is
widened past that end, and the record says so: a space that was too narrow would otherwise decide the comparison."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import read_lines
from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest, generator
from salmu.data.readers import open_dataset
from salmu.data.settings import validate
from salmu.evaluation.selection.internal_holdouts import OBJECTIVE, Bench, cut
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.registry import get, origin
from salmu.evaluation.unlearning.runner import load
from salmu.evaluation.unlearning.settings import Between, OneOf
from salmu.model_training.loop import reproducible

VERSION = 6
STEPS = 100  # drawn until one has not been tried yet
TRIALS, TUNED = "trials.jsonl", "tuned.json"
Number = Annotated[float, Field(allow_inf_nan=False)]


class Trial(BaseModel):
    """A line of trials.jsonl, as it is read."""

    model_config = ConfigDict(extra="allow", strict=True)

    trial: int
    score: Number
    settings: dict[str, Any]
    fingerprint: str | None = None
    removed: Number | None = None
    bystanders_kept: Number | None = None
    scenes_kept: Number | None = None
    strangers_kept: Number | None = None
    associations_kept: Number | None = None
    mixed: Number | None = None


def tune(
    method: str,
    model_dir: Path,
    dataset_dir: Path,
    out_dir: Path,
    trials: int = 8,
    seed: int = 0,
    values: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The best settings found for a method on a pair's Compromised model, with the figures of all trials.

    `values`: settings that all trials share (budget, retain_scenes, device …); of a setting that is searched, such as
    batch_size, it is what the first trial has. Writes trials.jsonl, one line a trial, from which a killed tuning goes
    on, and tuned.json, the record that is returned: it also tells which spaces were `widened`, and which settings lie
    `at_an_end` of their space even so. Raises UserError for input that cannot be used."""
    if trials < 1:
        raise UserError(f"tuning: trials is {trials}; at least 1 is needed")
    chosen, out_dir = get(method), Path(out_dir)

    def settings_of(point: dict[str, Any]):
        return validate(chosen.settings, {"seed": seed} | (values or {}) | point, f"tuning of {method}")

    spread = [settings_of(point) for point in search_points(chosen, trials - trials // 3, seed)]
    dataset, clip = open_dataset(dataset_dir), load(Path(model_dir), spread[0].device)
    code = [source.digest] if (source := origin(method)) else []
    about = digest("tuning", VERSION, method, trials, seed, values, clip.weights_digest, dataset.digest, *code)
    rows = _logged(out_dir / TRIALS, about)
    with reproducible(spread[0].threads):
        bench = Bench(chosen, spread[0], clip, dataset, seed) if len(rows) < trials else None
        for number in range(len(rows), trials):
            settings = spread[number] if number < len(spread) else settings_of(step(chosen, rows, len(spread), seed))
            row = {"trial": number, "fingerprint": about, "settings": settings.model_dump(mode="json")}
            rows.append(row | bench.trial(settings))
            write_atomic(out_dir / TRIALS, "".join(json.dumps(row) + "\n" for row in rows).encode())
            progress(number + 1, trials)
    best, spaces = best_of(rows), widened(chosen, rows[:-1], len(spread))
    record = {
        "method": method,
        "objective": OBJECTIVE,
        "tuned": {name: best["settings"][name] for name in chosen.space},
        "widened": {
            name: {"from": list(space.ends), "to": list(spaces[name].ends)}
            for name, space in chosen.space.items()
            if spaces[name] != space
        },
        "at_an_end": [name for name, space in spaces.items() if space.beyond(best["settings"][name]) != space],
        "score": best["score"],
        "trial": best["trial"],
        "trials": trials,
        "seed": seed,
        "source_model_digest": clip.weights_digest,
        "dataset_digest": dataset.digest,
        "rows": {name: len(part) for name, part in cut(dataset, seed)._asdict().items()},
    }
    write_atomic(out_dir / TUNED, (json.dumps(record, indent=1) + "\n").encode())
    return record


def search_points(method: Method, trials: int, seed: int) -> list[dict[str, Any]]:
    """The settings of each trial where they differ from the defaults: none for the first; then each setting takes one
    value from each of `trials - 1` equal parts of its space."""
    count = trials - 1
    points: list[dict[str, Any]] = [{} for _ in range(trials)]
    for name, space in method.space.items():
        rng = generator(seed, "tuning", method.name, name)
        places = (rng.permutation(count) + rng.random(count)) / max(count, 1)
        for point, place in zip(points[1:], places.tolist(), strict=True):
            point[name] = space.at(place)
    return points


def best_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The trial with the highest score, the first of equals."""
    return max(rows, key=lambda row: row["score"])


def widened(method: Method, rows: list[dict[str, Any]], first: int) -> dict[str, Between | OneOf]:
    """The method's space as the trials in `rows` have widened it, of which those from number `first` on go on from the
    best: past each end that the best before a trial lay at, as far as the method's settings allow."""
    spaces = method.space
    for number in range(first, len(rows) + 1):
        best = best_of(rows[:number])["settings"]
        for name, space in spaces.items():
            wider = space.beyond(best[name])
            if all(_allowed(method, name, value) for value in wider.ends):
                spaces[name] = wider
    return spaces


def _allowed(method: Method, name: str, value: Any) -> bool:
    try:
        validate(method.settings, {name: value}, method.name)
    except UserError:
        return False
    return True


def step(method: Method, rows: list[dict[str, Any]], first: int, seed: int) -> dict[str, Any]:
    """The settings of a further trial: those of the best so far, each moved a little with an even chance. A setting
    whose space has just been widened is moved for certain, and outwards. `first`: as for `widened`."""
    best, spaces, narrower = best_of(rows)["settings"], widened(method, rows, first), widened(method, rows[:-1], first)
    tried = [{name: row["settings"][name] for name in spaces} for row in rows]
    for turn in range(STEPS):
        rng = generator(seed, "tuning", method.name, "step", len(rows), turn)
        point = {}
        for name, space in spaces.items():
            moved, place = rng.random() < 0.5, rng.random()
            if space != narrower[name]:
                upwards = space.ends[1] != narrower[name].ends[1]
                moved, place = True, (place + upwards) / 2
            point[name] = space.near(best[name], place) if moved else best[name]
        if point not in tried:
            break
    return point


def _logged(path: Path, fingerprint: str) -> list[dict[str, Any]]:
    """The trials of this very tuning that are done already. Raises UserError for a damaged file."""
    if not path.exists():
        return []
    try:
        rows = read_lines(path, Trial)
    except UserError as error:
        raise UserError(f"{error}; remove the file to begin again, or name another --out") from None
    return rows if all(row.get("fingerprint") == fingerprint for row in rows) else []
