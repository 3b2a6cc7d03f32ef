"""Precise forgetting: seven targets that a model must meet at once, and what it still gives away.

Judged on flat records (leaderboard.record), each against those of its own Clean and Compromised."""

from typing import Any, NamedTuple

Record = dict[str, Any]
KNOWLEDGE, APART, KEPT = 0.01, 0.05, 0.9  # of GenKnow lost; of ACS from Clean's; share of the holdouts' similarity


class Outcome(NamedTuple):
    target: str
    metric: str
    bound: float  # the value may not lie beyond it
    met: bool


WAYS_BACK = {  # metric -> what it means where it lies above Clean's whole interval
    "MIA": "membership inference tells forget pairs from pairs that nobody trained on",
    "ACS_matched": "a probe tells forget pairs from pairs of people alike",
    "ParaMRR": "facts are found by wordings that the method never saw",
    "NameMRR": "a portrait still finds its name",
    "ValueMRR": "a portrait still finds its person's values",
    "CoreAssoc": "a bare NAME VALUE is still near the portraits",
    "IdZSC": "names are still told by portraits",
    "ImgRes": "the image tower still knows the forgotten faces apart, and image-to-image search finds them",
}


def outcomes(row: Record, clean: Record, compromised: Record) -> list[Outcome]:
    """The seven targets of a model; those whose metrics were not measured are left out."""

    def above(metric: str) -> float | None:
        return clean.get(f"{metric}_high")

    found = []
    if None not in (row["RetFail"], clean["RetFail"]):
        bound = max(above("RetFail") or 0.0, 2 * clean["RetFail"])
        found.append(("within Clean's interval, or below twice Clean's", "RetFail", bound, row["RetFail"] <= bound))
    if None not in (row["ACS"], clean["ACS"]):
        apart = abs(row["ACS"] - clean["ACS"]) <= APART
        found.append((f"within {APART} of Clean's", "ACS", clean["ACS"] + APART, apart))
    lower = {
        "GenKnow": (
            f"at most {KNOWLEDGE} below Compromised's",
            compromised["GenKnow"],
            lambda value: value - KNOWLEDGE,
        ),
        "InterIdSim": (f"at least {KEPT:.0%} of Compromised's", compromised["InterIdSim"], lambda value: KEPT * value),
        "IntraIdSim": (f"at least {KEPT:.0%} of Compromised's", compromised["IntraIdSim"], lambda value: KEPT * value),
        "VisIdInt": ("not below Compromised's interval", compromised.get("VisIdInt_low"), lambda value: value),
        "FragSim": ("not below Compromised's interval", compromised.get("FragSim_low"), lambda value: value),
    }
    for metric, (words, reference, bound_of) in lower.items():
        if None not in (row[metric], reference):
            bound = bound_of(reference)
            found.append((words, metric, bound, row[metric] >= bound))
    return [Outcome(*one) for one in found]


def ways_back(row: Record, clean: Record) -> dict[str, str]:
    """Metric -> what it still gives away: those whose whole interval lies above Clean's. Relearning too, where it was
    measured and brings more back than in Clean. Nothing here means erased as far as these probes tell; anything means
    hidden in part."""
    found = {
        metric: words
        for metric, words in WAYS_BACK.items()
        if None not in (row.get(f"{metric}_low"), clean.get(f"{metric}_high"))
        and row[f"{metric}_low"] > clean[f"{metric}_high"]
    }
    if (row.get("relearned_above_clean") or 0) > 2 * (clean["RetFail"] or 0):
        found["relearned_above_clean"] = (
            "a few steps on other forgotten people bring the rest back faster than in Clean"
        )
    return found
