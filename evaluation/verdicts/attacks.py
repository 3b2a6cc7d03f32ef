"""How a model stands up to attacks, beside a model that has nothing to hide.

The control of each attack is the same attack on Retrained, or on the mean of several; on Clean where there is none. A
number above it says that the attack brings something back. A number below it is a fault as well: a model that was never
shown the pairs gives more away than that, so it tells who was removed."""

from typing import Any

import numpy as np

from salmu.evaluation.attacks.words import KINDS, kind
from salmu.evaluation.encoding.settings import Margins
from salmu.evaluation.metrics.bootstrap import Sums, interval
from salmu.evaluation.metrics.score import drawn_by
from salmu.evaluation.verdicts.equivalence import mean_in_pairs

Found = dict[str, Any]


def attacks_of(results: dict[str, Any]) -> dict[str, Found]:
    """The attacks of a result file that are known here and have a number, by name."""
    found = results.get("extended", {}).get("attacks", {})
    return {name: attack for name, attack in found.items() if kind(name) in KINDS and attack.get("value") is not None}


def attacked(results: dict[str, Any], controls: list[dict[str, Any]], margins: Margins) -> dict[str, Any]:
    """For the flat record of a model: each attack's number as attack_NAME, and where the controls have it too, how far
    it lies from their mean (_apart, with the paired 95 % interval: _apart_low, _apart_high), and _state.

    `above` and `below`: it lies beyond every control, farther from their mean than the margin, and the
    interval does not reach 0; `level`: all else."""
    row: dict[str, Any] = {}
    for name, own in attacks_of(results).items():
        key, theirs = f"attack_{name}", [attacks_of(file).get(name) for file in controls]
        row[key] = own["value"]
        if not theirs or None in theirs:
            continue
        levels = [one["value"] for one in theirs]
        apart = own["value"] - float(np.mean(levels))
        low, high = _bounds(name, results, own, controls, theirs) or (None, None)
        margin = getattr(margins.attacks, kind(name))
        state = "level"
        if apart > margin and own["value"] > max(levels) and (low is None or low > 0):
            state = "above"
        elif apart < -margin and own["value"] < min(levels) and (high is None or high < 0):
            state = "below"
        row |= {f"{key}_apart": apart, f"{key}_apart_low": low, f"{key}_apart_high": high, f"{key}_state": state}
    return row


def _bounds(name: str, results: dict, own: Found, controls: list[dict], theirs: list[Found]):
    """The paired 95 % interval of the difference from the mean of the controls; None where people cannot be paired."""
    clusters = [one.get("clusters") for one in (own, *theirs)]
    sums = [found and Sums.read(found) for found in clusters]
    mean, about = mean_in_pairs(sums, [results, *controls]), drawn_by(results)
    if mean is None:
        return None
    return interval(sums[0], about["seed"], "bootstrap", name, other=mean, replicates=about["replicates"])
