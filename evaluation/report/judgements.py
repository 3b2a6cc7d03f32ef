"""What every page says about a method: its targets, what it gives away, and its place."""

from typing import Any, NamedTuple

from salmu.evaluation.verdicts.leaderboard import reference_of
from salmu.evaluation.verdicts.soundness import warning
from salmu.evaluation.verdicts.targets import Outcome, leak_paths, met_of, nearest_first, outcomes, remains, trace_paths

Record = dict[str, Any]


class Judgement(NamedTuple):
    outcomes: dict[str, Outcome]  # by metric
    leak_paths: dict[str, str]  # metric -> what it still gives away
    trace_paths: dict[str, str]  # metric -> how it tells who was deleted
    remains: str  # erased, traceable, hidden, not forgotten or not measured
    gone: tuple[int, int]  # targets met, of how many
    kept: tuple[int, int]


def judgements(records: list[Record]) -> dict[str, Judgement]:
    """The judgement of each unlearned model, the nearest to the goal first, then of the reference models, beside which
    the counts are read; none where a reference model is missing or the pair is worthless."""
    if warning(records):
        return {}
    judged = [row for row in records if outcomes(row)]
    unlearned = nearest_first([row for row in judged if reference_of(row["model"]) is None])
    if not unlearned:
        return {}
    return {
        row["model"]: Judgement(
            outcomes(row), leak_paths(row), trace_paths(row), remains(row), met_of(row, "gone"), met_of(row, "kept")
        )
        for row in [*unlearned, *(row for row in judged if reference_of(row["model"]))]
    }


def in_order(records: list[Record], judged: dict[str, Judgement]) -> list[Record]:
    """The records as tables show them: reference models, judged models, all others."""
    places = {model: place for place, model in enumerate(judged)}
    return sorted(
        records,
        key=lambda row: (
            reference_of(row["model"]) is None,
            0 if reference_of(row["model"]) else places.get(row["model"], len(places)),
        ),
    )
