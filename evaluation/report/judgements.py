"""What every page says about a method: its targets, what it gives away, and its place."""

from typing import Any, NamedTuple

from salmu.evaluation.verdicts.leaderboard import reference_of
from salmu.evaluation.verdicts.soundness import warning
from salmu.evaluation.verdicts.targets import Outcome, goal_distance, leak_paths, nearest_first, outcomes, remains

Record = dict[str, Any]


class Judgement(NamedTuple):
    outcomes: dict[str, Outcome]  # by metric
    leak_paths: dict[str, str]  # metric -> what it still gives away
    remains: str  # erased, hidden, not forgotten or not measured
    distance: float | None  # from the goal

    @property
    def met(self) -> int:
        return sum(one.met for one in self.outcomes.values())


def judgements(records: list[Record]) -> dict[str, Judgement]:
    """The judgement of each unlearned model, the nearest to the goal first; none where a reference model is missing or
    the pair is worthless."""
    rows = {row["model"]: row for row in records}
    clean, compromised = rows.get("clean"), rows.get("compromised")
    if not (clean and compromised) or warning(records):
        return {}
    unlearned = [row for row in records if reference_of(row["model"]) is None]
    return {
        row["model"]: Judgement(
            {one.metric: one for one in outcomes(row, clean, compromised)},
            leak_paths(row, clean),
            remains(row, clean, compromised),
            goal_distance(row, clean, compromised),
        )
        for row in nearest_first(unlearned, clean, compromised)
    }


def in_order(records: list[Record], judged: dict[str, Judgement]) -> list[Record]:
    """The records as tables show them: reference models, judged models, all others."""
    places = {model: place for place, model in enumerate(judged)}
    return sorted(records, key=lambda row: (reference_of(row["model"]) is None, places.get(row["model"], len(places))))
