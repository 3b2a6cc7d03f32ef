"""The targets of a model: what must be gone, and what must be kept.

The reference is Retrained, the exact answer, or the mean of several: a method should leave neither more nor less than a
model that was trained without the forget pairs. Where there is no Retrained (datasets and models of others), Clean is
the reference of what must be gone, and Compromised of what must be kept. A target is met if a test for equivalence says
so (equivalence.py); the p-values of all methods are adjusted for their number. The two groups are counted apart.

Beside them, `TRACES` are compared with the reference in the same way, but are no targets: they say whether it can be
told who was deleted.

Every page says "met", "above", "below", "open", "erased", "traceable", "hidden" and "not forgotten" by these
functions."""

from collections.abc import Iterable
from statistics import mean
from typing import Any, NamedTuple

from salmu.evaluation.attacks.words import KINDS, kind
from salmu.evaluation.encoding.settings import Margins
from salmu.evaluation.metrics.score import DEFINITIONS, KEPT, target
from salmu.evaluation.verdicts.equivalence import ALPHA, Comparison, compare, holm
from salmu.model_training.settings import RETRAINED

Record = dict[str, Any]
GONE = ("RetFail", "AssocStr", "ACS_mean", "CoreAssoc", "IdZSC", "ParaMRR", "ValueMRR", "NameMRR", "ImgRes")
HOLDOUTS = {  # metric -> whom it is about; what Clean does not have
    "InterIdSim": "people",
    "IntraIdSim": "facts",
    "InterIdMRR": "people",
    "IntraIdMRR": "facts",
}
GROUPS = {"gone": GONE, "kept": KEPT}
TRACES = ("DeletionTrace", "Membership")
STATES = {
    "met": "The data rule out a difference from the reference of more than the margin.",
    "above": "The value lies above the reference by more than the margin.",
    "below": "The value lies below the reference by more than the margin.",
    "open": "The value lies within the margin, but there are too few people to be sure.",
}
NOT_FORGOTTEN, HIDDEN, TRACEABLE, ERASED = "not forgotten", "hidden", "traceable", "erased"
NOT_MEASURED = "not measured"
LEAK_PATHS = {  # metric -> what it means where it lies above its target
    "AssocStr": "the forgotten pairs are still close to each other",
    "ACS_mean": "a probe still separates forgotten pairs from shuffled ones",
    "CoreAssoc": "the bare words NAME VALUE are still close to the portraits",
    "IdZSC": "a portrait still reveals its person's name",
    "ParaMRR": "facts are found by wordings that the method never saw",
    "ValueMRR": "a portrait still finds its person's values",
    "NameMRR": "a portrait still finds its name",
    "ImgRes": "the image tower still distinguishes the wholly forgotten faces, and image-to-image search finds them",
    "Membership": "forgotten people still score higher than outsiders, whom no model met",
}
TRACE_PATHS = {  # metric, side -> what it tells about who was deleted
    ("DeletionTrace", "above"): "portraits lie further from captions of forgotten people than from those of outsiders",
    ("DeletionTrace", "below"): "portraits lie nearer to captions of forgotten people than to those of outsiders",
    ("Membership", "below"): "forgotten people score lower than outsiders, whom no model met",
}
NO_TRACE = 0.5  # LiRA of an exact answer
FARTHEST = 10  # margins from which on a distance counts no more


class Outcome(NamedTuple):
    metric: str
    state: str  # one of STATES
    low: float  # the value that meets the target lies between low and high
    high: float

    @property
    def met(self) -> bool:
        return self.state == "met"

    @property
    def wanted(self) -> str:
        return f"{self.low:.4f} to {self.high:.4f}"


def exact_of(names: Iterable[str]) -> list[str]:
    """The Retrained models of the first pair among the names of result files."""
    return [name for name in names if RETRAINED.fullmatch(name)]


def with_targets(rows: dict[str, Record], results: dict[str, dict], methods: list[str], margins: Margins) -> None:
    """Add to each flat record (by the name of its result file) how it stands to its reference: for each target
    NAME_goal, NAME_margin, NAME_apart with its 90 % interval (_low, _high), and NAME_target, one of STATES. `reference`
    names the reference. What must be gone is a target only where Compromised has more of it than the reference. The
    margins are those given, or narrower (see `_narrowed`).

    `results`: those of the first pair and the models that started from it. `methods`: names of the unlearned models."""
    exact = exact_of(results)
    for metric in (*GONE, *KEPT, *TRACES):
        margin, found = _narrowed(getattr(margins, metric), metric, rows, exact), {}
        if not margin:
            continue
        for name in results:
            beside = [results[other] for other in exact if other != name]
            if not exact and name != target(metric) and target(metric) in results:
                beside = [results[target(metric)]]
            if comparison := compare(results[name], beside, metric, margin):
                found[name] = comparison
        tested = [name for name in methods if name in found and found[name].p is not None]
        adjusted = dict(zip(tested, holm([found[name].p for name in tested]), strict=True))
        for name, comparison in found.items():
            rows[name] |= {
                f"{metric}_goal": rows[name][metric] - comparison.difference,
                f"{metric}_margin": margin,
                f"{metric}_apart": comparison.difference,
                f"{metric}_apart_low": comparison.low,
                f"{metric}_apart_high": comparison.high,
                f"{metric}_target": _state(comparison, adjusted.get(name, comparison.p), margin),
            }
    for name in results:
        rows[name]["reference"] = "retrained" if exact else "clean and compromised"


def _narrowed(margin: float, metric: str, rows: dict[str, Record], exact: list[str]) -> float | None:
    """The margin, or half of what can be gone or kept, if that is less. With few people a margin can be wider than
    that, and then the untouched model would meet a target of forgetting, or an empty one a target of keeping.

    What can be gone is what Compromised has above the reference; what can be kept of the holdouts, what the reference
    has above Clean. None where Compromised has no more than the reference: nothing is there to go."""
    if metric in GONE:
        less, more = exact or ["clean"], ["compromised"]
    elif metric in HOLDOUTS:
        less, more = ["clean"], exact or ["compromised"]
    else:
        return margin
    values = [[rows[name].get(metric) for name in names] for names in (less, more)]
    if any(None in group for group in values):
        return margin  # not measured
    half = (mean(values[1]) - mean(values[0])) / 2
    if half > 0:
        return min(margin, half)
    return None if metric in GONE else margin


def _state(comparison: Comparison, p: float | None, margin: float) -> str:
    apart = comparison.difference
    if abs(apart) <= margin if p is None else p <= ALPHA:
        return "met"
    return "above" if apart > margin else "below" if apart < -margin else "open"


def outcomes(row: Record, group: str | None = None) -> dict[str, Outcome]:
    """The targets of a model by metric; those that were not measured are left out. `group`: gone or kept."""
    return {
        metric: Outcome(
            metric,
            row[f"{metric}_target"],
            max(row[f"{metric}_goal"] - row[f"{metric}_margin"], DEFINITIONS[metric].least),
            min(row[f"{metric}_goal"] + row[f"{metric}_margin"], DEFINITIONS[metric].most),
        )
        for metric in (GROUPS[group] if group else (*GONE, *KEPT))
        if row.get(f"{metric}_target")
    }


def met_of(row: Record, group: str) -> tuple[int, int]:
    """How many targets of a group are met, of how many that were measured."""
    found = outcomes(row, group).values()
    return sum(one.met for one in found), len(found)


def certain(row: Record, metric: str, side: str) -> bool:
    """Whether the metric lies beyond its margin, "above" or "below", with its whole 90 % interval."""
    if row.get(f"{metric}_target") != side:
        return False
    low, high, margin = (row[f"{metric}_{name}"] for name in ("apart_low", "apart_high", "margin"))
    return low is None or (low > margin if side == "above" else high < -margin)


def leak_paths(row: Record) -> dict[str, str]:
    """Metric -> what it still gives away: those above their target, LiRA where forgotten people score higher than in
    models that never saw their pairs, and the attacks that bring back more than from the reference."""
    found = {metric: words for metric, words in LEAK_PATHS.items() if row.get(f"{metric}_target") == "above"}
    if (row.get("LiRA_low") or 0) > NO_TRACE:
        found["LiRA"] = "set against models that never saw their pairs, forgotten people score higher than others"
    return found | {key: KINDS[kind(key.removeprefix("attack_"))].above for key in _attacks(row, "above")}


def trace_paths(row: Record) -> dict[str, str]:
    """Metric -> how it tells who was deleted: what must be gone and lies below its reference, attacks that find less
    there, and the metrics of TRACES, where they lie off theirs."""
    below = [metric for metric in GONE if row.get(f"{metric}_target") == "below"]
    found = {metric: "lower than in any exact answer, so more was removed than was asked for" for metric in below}
    found |= {metric: words for (metric, side), words in TRACE_PATHS.items() if row.get(f"{metric}_target") == side}
    if row.get("LiRA_high") is not None and row["LiRA_high"] < NO_TRACE:
        found["LiRA"] = "set against models that never saw their pairs, forgotten people score lower than others"
    return found | {key: "the attack finds less than in any exact answer" for key in _attacks(row, "below")}


def _attacks(row: Record, side: str) -> list[str]:
    """The attacks, as attack_NAME, that lie above or below the reference."""
    states = [key for key, state in row.items() if key.startswith("attack_") and state == side]
    return [key.removesuffix("_state") for key in states]


def remains(row: Record) -> str:
    """What became of the forgotten pairs. NOT_FORGOTTEN: RetFail finds them more often than in the reference. HIDDEN:
    RetFail does not, but another probe does. TRACEABLE: no probe finds more, but it can be told who was deleted.
    ERASED: neither, as far as it was measured."""
    if not row.get("RetFail_target"):
        return NOT_MEASURED
    if row["RetFail_target"] == "above":
        return NOT_FORGOTTEN
    return HIDDEN if leak_paths(row) else TRACEABLE if trace_paths(row) else ERASED


def goal_distance(row: Record) -> float | None:
    """How far a model is from the goal, in margins: the mean distance of what must be gone, or of what must be kept,
    whichever is larger. None where RetFail was not measured."""
    if not row.get("RetFail_target"):
        return None
    means = []
    for group in GROUPS:
        found = [abs(row[f"{metric}_apart"]) / row[f"{metric}_margin"] for metric in outcomes(row, group)]
        means += [sum(min(one, FARTHEST) for one in found) / len(found)] if found else []
    return max(means)


def nearest_first(rows: list[Record]) -> list[Record]:
    """Models, the nearest to the goal first: those with the fewest failures, then by `goal_distance`. That a model did
    not forget counts as one."""

    def rank(row: Record) -> tuple[int, float, str]:
        failures = set(row["failures"].split(", ")) if row.get("failures") else set()
        if remains(row) == NOT_FORGOTTEN and "ineffective" not in failures:
            failures.add(NOT_FORGOTTEN)
        distance = goal_distance(row)
        return len(failures), float("inf") if distance is None else distance, row["model"]

    return sorted(rows, key=rank)
