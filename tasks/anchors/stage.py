"""The stage anchors: who of the candidates is fit to be an anchor, which of them are the same person, and which are
chosen, in what order. It reads measurements only; no source picture is opened."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from salmu.data import schemas
from salmu.data.keyed import ranked
from salmu.data.store import Reject, Shard, ShardResult, StageView, chunks
from salmu.data.summary import Summary
from salmu.tasks.anchors.duplicates import Calibration, calibrate, near_duplicates, sample_size
from salmu.tasks.anchors.report import (
    balance,
    demographics,
    funnel,
    nearest_figure,
    nearest_similarities,
    percentiles,
    threshold_text,
)
from salmu.tasks.anchors.rules import MEASURES, NEAR_DUPLICATE, SURPLUS, Settings, broken_rule
from salmu.tasks.anchors.selection import select
from salmu.tasks.balance import CELL
from salmu.tasks.devices import may_use_gpu, torch_device
from salmu.tasks.pictures import contact_sheet

NAME, VERSION = "anchors", 2
UPSTREAM = ("candidates",)
SCHEMA, KEY = schemas.ANCHORS, "identity_id"

SHEET = 48  # pictures on the contact sheet
COPIED = [name for name in SCHEMA.names if name in schemas.CANDIDATES.names]  # columns that stay as they are


class Fit(NamedTuple):
    """The candidates that break no rule."""

    ids: list[str]
    cells: list[tuple]
    embeddings: np.ndarray  # half precision [n, d]
    best_first: np.ndarray  # places: by detection score, then by a hash of their ids


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """One shard: every candidate is compared with all others."""
    return [Shard(index=0, items=(NAME,), inputs=upstream["candidates"].manifest.digest)]


def uses_gpu(settings: Settings) -> bool:
    """Whether embeddings would be compared on a GPU here."""
    return may_use_gpu(settings.device)


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: None = None) -> ShardResult:
    """Drop who breaks a rule or is the same person as a better candidate, and choose among the others."""
    candidates, device = upstream["candidates"], torch_device(settings.device)
    fit, rejects = _fit(candidates, settings)
    place_of = {name: place for place, name in enumerate(fit.ids)}
    sample = [place_of[name] for name in _sample(fit.ids, settings)]
    threshold = _calibrated(fit.embeddings[sample], settings).threshold
    dropped = near_duplicates(fit.embeddings, fit.best_first, threshold, device)
    rejects += [
        Reject(fit.ids[one.place], NEAR_DUPLICATE, f"of {fit.ids[one.kept]}, cosine {one.similarity:.3f}")
        for one in dropped
    ]
    dropped_places = {one.place for one in dropped}
    cells: dict[tuple, list[int]] = {}
    for place in fit.best_first.tolist():
        if place not in dropped_places:
            cells.setdefault(fit.cells[place], []).append(place)
    cells = {cell: cells[cell] for cell in ranked(cells, settings.seed, NAME, "cell")}
    choices = select(fit.embeddings, cells, settings.count, device)
    ranks = {fit.ids[choice.place]: rank for rank, choice in enumerate(choices)}
    rejects += [
        Reject(fit.ids[place], SURPLUS, " ".join(value or "unknown" for value in cell))
        for cell, places in cells.items()
        for place in places
        if fit.ids[place] not in ranks
    ]
    rows = candidates.rows_of(ranks, [*COPIED, "detection_score"])
    for row in rows:
        rank = ranks[row[KEY]]
        row |= {"quality": row["detection_score"], "rank": rank, "nearest_similarity": choices[rank].nearest}
    return ShardResult(sorted(rows, key=lambda row: row["rank"]), rejects)


def _fit(candidates: StageView, settings: Settings) -> tuple[Fit, list[Reject]]:
    """Go through the candidates shard by shard: of those that are fit, little more than the embedding stays in
    memory."""
    ids, cells, scores, rejects = [], [], [], []
    embeddings = np.empty((0, 0), np.float16)
    names = list(dict.fromkeys([KEY, *CELL, "detection_score", *MEASURES]))
    for table in candidates.tables([*names, "face_embedding"]):
        if not table.num_rows:
            continue
        vectors = unit_vectors(table)
        if not ids:
            embeddings = np.empty((candidates.manifest.rows, vectors.shape[1]), np.float16)
        for row, vector in zip(table.select(names).to_pylist(), vectors, strict=True):
            if broken := broken_rule(row, settings):
                rejects.append(Reject(row[KEY], *broken))
            else:
                embeddings[len(ids)] = vector
                ids.append(row[KEY])
                cells.append(tuple(row[name] for name in CELL))
                scores.append(row["detection_score"])
    hashed = {name: place for place, name in enumerate(ranked(ids, settings.seed, NAME))}
    best_first = sorted(range(len(ids)), key=lambda place: (-scores[place], hashed[ids[place]]))
    return Fit(ids, cells, embeddings[: len(ids)], np.array(best_first, np.int64)), rejects


def unit_vectors(table: pa.Table) -> np.ndarray:
    """The column face_embedding [n, d]."""
    column = table.column("face_embedding").combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def _sample(ids: list[str], settings: Settings) -> list[str]:
    """The candidates among whom pairs of different people are looked at, in random order."""
    return ranked(ids, settings.seed, NAME, "pairs")[: sample_size(settings.false_match_rate)]


def _calibrated(embeddings: np.ndarray, settings: Settings) -> Calibration:
    return calibrate(
        embeddings, settings.false_match_rate, torch_device(settings.device), settings.duplicate_similarity
    )


def _embeddings_of(candidates: StageView, ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Embeddings of these candidates, as they were compared."""
    return {
        row[KEY]: np.array(row["face_embedding"], np.float16) for row in candidates.rows_of(ids, ["face_embedding"])
    }


def _stacked(embeddings: dict[str, np.ndarray], ids: list[str]) -> np.ndarray:
    """In this order [n, d]."""
    return np.array([embeddings[name] for name in ids])


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """The funnel, the threshold of near duplicates and where it comes from, the balance, how far apart the chosen are,
    and what they look like."""
    candidates, rejects = upstream["candidates"], view.rejects()
    rows = list(view.rows([KEY, *CELL]))
    chosen = [row[KEY] for row in rows]
    surplus = [reject.item for reject in rejects if reject.reason == SURPLUS]
    fit = chosen + [reject.item for reject in rejects if reject.reason in (SURPLUS, NEAR_DUPLICATE)]
    wanted = "" if settings.count in (None, len(rows)) else f" ({settings.count} wanted: all that are fit were taken)"
    sampled = _sample(fit, settings)
    drawn = ranked(chosen + surplus, settings.seed, NAME, "random draw")[: len(chosen)]
    seen = _embeddings_of(candidates, {*sampled, *chosen, *drawn})
    calibration = _calibrated(_stacked(seen, sampled), settings)
    text = f"{len(rows)} anchors{wanted} of {candidates.manifest.rows} candidates."
    tables = {
        "Funnel": funnel(candidates, rejects, len(rows)),
        "Demographics": demographics(rows),
        "Balance": balance(rows, candidates.rows_of(surplus, CELL)),
    }
    figures = {}
    if len(chosen) > 1:
        sets = {"anchors": chosen} | ({"random draw": drawn} if surplus else {})
        nearest = {name: nearest_similarities(_stacked(seen, ids)) for name, ids in sets.items()}
        tables["Similarity to the nearest other"] = percentiles(nearest)
        figures["Similarity to the nearest other"] = nearest_figure(nearest, calibration.threshold)
    if chosen:
        figures["Anchors"] = contact_sheet(chunks(_first_images(view), 8))
    return Summary(f"{text} {threshold_text(calibration, settings)}", tables, figures)


def _first_images(view: StageView) -> list[bytes]:
    return next(view.tables(["image"])).column("image").to_pylist()[:SHEET]
