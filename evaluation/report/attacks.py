"""The attacks on a model, as rows of the table on its page."""

from typing import Any

import numpy as np

from salmu.evaluation.attacks.words import BELOW, KINDS, in_words, kind
from salmu.evaluation.verdicts.attacks import attacks_of
from salmu.evaluation.verdicts.targets import exact_of

Row = dict[str, Any]


def attack_rows(record: Row, results: dict[str, dict]) -> list[Row]:
    """One row an attack: the number of the model of this record, those of the references, and what it means. Empty
    where the model was not attacked."""
    groups = {"retrained": exact_of(results), "clean": ["clean"], "compromised": ["compromised"]}
    rows = []
    for name, found in results[record["model"]].get("extended", {}).get("attacks", {}).items():
        if kind(name) not in KINDS:
            continue
        key, words = f"attack_{name}", KINDS[kind(name)]
        state = record.get(f"{key}_state")
        means = {"above": words.above, "below": BELOW, "level": "as in the reference, as far as exact answers agree"}
        rows.append(
            {
                "attack": in_words(name),
                "value": found.get("value"),
                "chance": found.get("chance"),
                **{group: _mean(results, names, name) for group, names in groups.items()},
                **{end: record.get(f"{key}_{end}") for end in ("apart", "apart_low", "apart_high", "state")},
                "means": found.get("reason") or means.get(state) or "",
            }
        )
    return rows


def strongest_curves(results: dict[str, dict]) -> dict[str, Row]:
    """Model -> the training of the attack `relearning` that brought most back."""
    found = {name: file.get("extended", {}).get("attacks", {}).get("relearning", {}) for name, file in results.items()}
    return {
        name: one["curves"][one["strongest"]]
        for name, one in found.items()
        if one.get("strongest") is not None and one["strongest"] < len(one.get("curves", []))
    }


def _mean(results: dict[str, dict], names: list[str], attack: str) -> float | None:
    """The mean of the models that were attacked so; None where there are none."""
    found = [attacks_of(results[name]).get(attack) for name in names if name in results]
    values = [one["value"] for one in found if one]
    return float(np.mean(values)) if values else None
