"""Is a pair of reference models worth judging methods on?"""

from collections.abc import Sequence
from typing import Any

from salmu.evaluation.metrics.score import difference, headline, interval

TWICE = 2  # a RetFail below twice Clean's meets its target (see targets.py)
IMAGENET_CHANCE = 1 / 1000  # of GenKnow in result files of the published evaluator, which do not state it


def pair_problem(
    clean: dict[str, Any], compromised: dict[str, Any], retrained: Sequence[dict[str, Any]] = ()
) -> str | None:
    """Why a pair is worthless, in one line; None for a sound pair. Takes the result files of its models.

    A pair is worthless where Compromised does not leak more than Clean, or than one of the models `retrained` (the
    interval of the paired difference of RetFail reaches 0, or Compromised stays below twice the reference's value, so
    there is nothing to forget), or where the GenKnow of Clean or Compromised is at chance (its interval reaches chance,
    so there is no knowledge that a method could break). Where there are no intervals, the numbers themselves are
    compared; a GenKnow that was not measured is not held against the pair."""
    references = [("Clean", clean), *(("Retrained", exact) for exact in retrained)]
    leaks = [_no_leakage(name, reference, compromised) for name, reference in references]
    problems = [
        next(filter(None, leaks), None),
        *(_no_knowledge(name, results) for name, results in (("Clean", clean), ("Compromised", compromised))),
    ]
    return "; ".join(problem for problem in problems if problem) or None


def warning(records: list[dict[str, Any]]) -> str | None:
    """The line that every page, table and terminal shows where the pair of these records (of the leaderboard) is
    worthless; None for a sound pair."""
    problem = next((row["pair_problem"] for row in records if row.get("pair_problem")), None)
    return problem and f"Worthless pair: {problem}. No method is judged on it; train the pair longer or on more data."


def _no_leakage(name: str, reference: dict, compromised: dict) -> str | None:
    found = difference(compromised, reference, "RetFail")
    if found is None:
        return f"RetFail was not measured on both {name} and Compromised, so it is unknown whether there is a leak"
    least = found[0] if found[1] is None else found[1]
    bounds = interval(reference, "RetFail"), interval(compromised, "RetFail")
    if found[1] is None and all(bounds):
        least = bounds[1][0] - bounds[0][1]  # not paired: the intervals must not touch
    now, before = headline(compromised, "RetFail"), headline(reference, "RetFail")
    values = f"RetFail {now:.4f} against {before:.4f}"
    if least <= 0:
        if found[1] is not None:
            values += f", 95% interval of the difference {found[1]:.4f} to {found[2]:.4f}"
        return f"Compromised does not leak more than {name} ({values}), so there is nothing to forget"
    if now <= TWICE * before:
        return f"Compromised leaks less than twice what {name} does ({values}), which already counts as forgotten"
    return None


def _no_knowledge(name: str, results: dict) -> str | None:
    value, bounds = headline(results, "GenKnow"), interval(results, "GenKnow")
    chance = results.get("extended", {}).get("chance", {}).get("GenKnow", IMAGENET_CHANCE)
    if value is None or (bounds[0] if bounds else value) > chance:
        return None
    return f"the general knowledge of {name} is at chance (GenKnow {value:.4f}, chance {chance:.4f})"
