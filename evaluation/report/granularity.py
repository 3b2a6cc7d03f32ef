"""The page about granularity: what each model knows exactly, by its kind, and in coarse words."""

import functools
from pathlib import Path
from typing import Any

from salmu.evaluation.granularity.coarse import KINDS
from salmu.evaluation.granularity.results import COARSE, MEASURES, read_granularity
from salmu.evaluation.report.plots import COLOURS, MARKERS, NARROW, WIDE, figure_as_png, looks
from salmu.evaluation.report.rendering import page
from salmu.evaluation.verdicts.leaderboard import in_words, reference_of

PAGE = "granularity.html"
TITLES = {"fine": "exact value", "kind": "kind, in the sentence of the fact", "coarse": "kind, in words"}


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
    """One sentence a measure on what Compromised knows, and on which methods know less."""
    start, lines = results["models"]["compromised"]["measures"], []
    methods = [name for name in results["models"] if reference_of(name) is None and name != COARSE]
    for measure, words in TITLES.items():
        own = start[measure]["own"]
        if own["interval"] is None or own["interval"][0] <= own["chance"]:
            lines.append(
                f"{words}: Compromised itself is not surely above chance, so there is nothing to keep or to lose."
            )
            continue
        lost = [name for name in methods if _below(results, name, measure, "compromised")]
        kept = [name for name in methods if name not in lost]
        sides = (f"{_listed(lost)} surely less" if lost else "", f"{_listed(kept)} not surely less" if kept else "")
        lines.append(f"{words}: Compromised knows it; {', '.join(filter(None, sides)) or 'no method was asked'}.")
    return lines


def title(model: str) -> str:
    """A model as tables name it."""
    return "Retrained with coarse captions" if model == COARSE else in_words(model)


def ranks(results: dict[str, Any], dark: bool = False, narrow: bool = False) -> bytes:
    """How far each model's mean reciprocal rank lies above chance by each measure, with 95 % intervals, as PNG."""
    models = results["models"]
    size = ((NARROW if narrow else WIDE)[0], 1.4 + 0.5 * len(models))
    with figure_as_png(dark, size) as (figure, png):
        axes = figure.add_subplot(xlabel="mean reciprocal rank, above chance")
        for number, measure in enumerate(MEASURES):
            found = [model["measures"][measure]["own"] for model in models.values()]
            values = [one["value"] - one["chance"] for one in found]
            ends = [one["interval"] or (one["value"], one["value"]) for one in found]
            below = [max(0, one["value"] - low) for one, (low, _) in zip(found, ends, strict=True)]
            above = [max(0, high - one["value"]) for one, (_, high) in zip(found, ends, strict=True)]
            places = [place + 0.22 * (number - 1) for place in range(len(models))]
            style = {"color": COLOURS[number], "fmt": MARKERS[number], "markersize": 5, "elinewidth": 1, "capsize": 2}
            axes.errorbar(values, places, xerr=(below, above), label=TITLES[measure], **style)
        axes.axvline(0, color=COLOURS[-1], linewidth=1)
        names = [title(model) for model in models]
        axes.set_yticks(range(len(models)), [name.replace(", ", ",\n", 1) if narrow else name for name in names])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        figure.legend(
            *axes.get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=1 if narrow else 3
        )
    return png.getvalue()


def _below(results: dict[str, Any], name: str, measure: str, reference: str) -> bool:
    """Whether the interval of a model's difference from a reference lies below 0."""
    drawn = results["models"][name]["measures"][measure]["minus"][reference]["interval"]
    return drawn is not None and drawn[1] < 0


def _listed(names: list[str]) -> str:
    return ", ".join(in_words(name).partition(",")[0] for name in names) + (" knows" if len(names) == 1 else " know")
