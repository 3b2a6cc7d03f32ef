"""The page about granularity: what each model knows exactly, by its kind, and in coarse words."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from salmu.evaluation.granularity.coarse import KINDS
from salmu.evaluation.granularity.results import COARSE, MEASURES, read_granularity
from salmu.evaluation.report.plots import looks, rows_of_points
from salmu.evaluation.report.rendering import page
from salmu.evaluation.report.tradeoff import short_names
from salmu.evaluation.verdicts.leaderboard import in_words, reference_of

PAGE = "granularity.html"
TITLES = {"fine": "exact value", "kind": "kind, in its sentence", "coarse": "kind, in words"}


def granularity_page(run_folder: Path, name: str) -> bytes | None:
    """report/granularity.html; None where `salmu granularity` was not run."""
    results = read_granularity(run_folder)
    if results is None:
        return None
    models = [{"title": title(model), "measures": found["measures"]} for model, found in results["models"].items()]
    return page(
        PAGE,
        name=name,
        results=results,
        models=models,
        measures=MEASURES,
        titles=TITLES,
        kinds=KINDS,
        fields=list(models[0]["measures"]["fine"]["fields"]),
        coarse_model=COARSE in results["models"],
        told=told(results),
        plot=looks(ranks, results),
        narrow_plot=looks(functools.partial(ranks, narrow=True), results),
    )


def told(results: dict[str, Any]) -> list[str]:
    """One sentence a measure: whether Compromised knows more than Clean, and which methods know less than it."""
    start, lines = results["models"]["compromised"]["measures"], []
    methods = [name for name in results["models"] if reference_of(name) is None and name != COARSE]
    for measure, words in TITLES.items():
        above = start[measure]["minus"]["clean"]["interval"]
        if above is None or above[0] <= 0:
            lines.append(f"{words}: Compromised does not surely know more than Clean, so there is nothing to keep.")
            continue
        lost = [name for name in methods if _below(results, name, measure, "compromised")]
        kept = [name for name in methods if name not in lost]
        parts = [
            f"{_named(names, methods)} {how} less" for names, how in ((lost, "surely"), (kept, "not surely")) if names
        ]
        if "retrained" in results["models"] and (
            under := [name for name in lost if _below(results, name, measure, "retrained")]
        ):
            parts.append(f"{_named(under, methods)} less than Retrained, who was never told")
        lines.append("; ".join([f"{words}: Compromised knows more than Clean", *parts]) + ".")
    return lines


def title(model: str) -> str:
    """A model as tables name it."""
    return "Retrained with coarse captions" if model == COARSE else in_words(model)


def ranks(results: dict[str, Any], dark: bool = False, narrow: bool = False) -> bytes:
    """How far each model's mean reciprocal rank lies above chance by each measure, as PNG."""
    models = results["models"]
    found = {
        TITLES[measure]: [_above_chance(model["measures"][measure]["own"]) for model in models.values()]
        for measure in MEASURES
    }
    names = [title(model) for model in models]
    return rows_of_points(names, found, "rank (MRR), above chance", 0, dark, narrow)


def _above_chance(rank: dict[str, Any]) -> dict[str, Any]:
    drawn = rank["interval"]
    return {
        "value": rank["value"] - rank["chance"],
        "interval": [end - rank["chance"] for end in drawn] if drawn else None,
    }


def _below(results: dict[str, Any], name: str, measure: str, reference: str) -> bool:
    """Whether the interval of a model's difference from a reference lies below 0."""
    drawn = results["models"][name]["measures"][measure]["minus"][reference]["interval"]
    return drawn is not None and drawn[1] < 0


def _named(names: list[str], every: Iterable[str]) -> str:
    short = short_names(every)
    return ", ".join(short[name] for name in names)
