"""Requests in the benchmark: the forget set in parts of whole people, worked one after the other by a method, beside
the same method on all of it at once.

    runs/NAME/requests/<method>-<budget>x-s<seed>-o1/     a folder of requests (stream.py) in a first order
                                       …-o2/              the same requests in another order
                                          stream.json     what it was made from, and what failed
                                          results.json    the metrics of the model after the last request"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from salmu.data.documents import loaded
from salmu.data.errors import UserError
from salmu.data.files import remove, write_atomic
from salmu.data.keyed import digest, generator, ranked
from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.requests.ledger import read_ledger
from salmu.evaluation.requests.reading import Request, Row
from salmu.evaluation.requests.seen import open_pairs
from salmu.evaluation.requests.settings import ForgetSettings
from salmu.evaluation.requests.stream import Stream
from salmu.evaluation.scoring.evaluate import evaluate_once
from salmu.evaluation.unlearning.registry import Run, UnlearningSettings
from salmu.model_training.loading.clip import load_model

VERSION = 1  # raised by hand when the same settings give other streams
FOLDER, STREAM, RESULTS = "requests", "stream.json", "results.json"
ORDERS = (1, 2)
EVERY = 10**6  # pairs to be kept: all


class Streamed(BaseModel):
    """stream.json."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str  # the same method on all at once, by its name in the leaderboard
    order: int
    fingerprint: str
    failed: list[str]


def stream_folder(home: Path, run: Run, order: int) -> Path:
    return home / FOLDER / f"{run.folder}-o{order}"


def parts_of(home: Path, count: int, order: int, seed: int) -> list[Request]:
    """The forget set of a run's dataset as requests of whole people, the same in every order. Raises UserError where
    there are fewer people than requests."""
    table = open_dataset(home / "dataset").table("forget", ["identity_id", "file_name"]).to_pylist()
    people = ranked({row["identity_id"] for row in table}, seed, "requests", "parts")
    if len(people) < count:
        raise UserError(f"unlearning.requests: {count} requests of the {len(people)} people of forget; ask for fewer")
    requests = []
    for number, part in enumerate(np.array_split(np.array(people), count), 1):
        files = [row["file_name"] for row in table if row["identity_id"] in set(part.tolist())]
        requests.append(Request(f"R{number}", tuple(("forget", Row(file_name=name)) for name in files)))
    return [requests[place] for place in generator(seed, "requests", "order", order).permutation(count)]


def work_stream(
    home: Path,
    run: Run,
    order: int,
    unlearning: UnlearningSettings,
    evaluation: EvaluationSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Bring one stream of a method up to date, and the metrics of its last model. A request that the method cannot work
    is named in stream.json; the next one starts from the model before it."""
    folder, model = stream_folder(home, run, order), home / "models" / "compromised"
    inputs = (run.values, unlearning.requests, order, load_model(model).weights_digest)
    fingerprint = digest("requests", VERSION, *inputs, open_dataset(home / "dataset").digest)
    known = loaded(folder / STREAM, Streamed) if (folder / STREAM).is_file() else None
    if known is None or known.fingerprint != fingerprint:
        remove(folder)
        write(folder, Streamed(model=run.folder, order=order, fingerprint=fingerprint, failed=[]))
    settings = ForgetSettings(method=run.method, budget=run.values["budget"], seed=run.values["seed"], retain=EVERY)
    requests = parts_of(home, unlearning.requests, order, unlearning.seed)
    stream, failed = Stream(requests, model, open_pairs(home / "dataset"), folder, settings, unlearning), []
    groups = stream.groups
    for place, group in enumerate(groups):
        progress(place, len(groups))
        try:
            stream.work(group)
        except UserError as error:
            failed.append(f"{group[0].name}: {error}")
    write(folder, Streamed(model=run.folder, order=order, fingerprint=fingerprint, failed=failed))
    if stream.records:
        last = folder / stream.records[-1]["model"]
        evaluate_once(evaluation, last, home / "dataset", folder / RESULTS, home / "cache", start=model)


def write(folder: Path, streamed: Streamed) -> None:
    write_atomic(folder / STREAM, streamed.model_dump_json(indent=1).encode())


def streams(home: Path) -> list[tuple[Streamed, Path, list[dict[str, Any]]]]:
    """Every stream of a run, with its folder and its records, by model and order."""
    paths = sorted((home / FOLDER).glob(f"*/{STREAM}"))
    found = [(loaded(path, Streamed), path.parent, read_ledger(path.parent)) for path in paths]
    return sorted(found, key=lambda one: (one[0].model, one[0].order))
