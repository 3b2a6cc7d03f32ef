"""The picture that a report opens with: what each method left of the forget set, and what it left of other people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from salmu.data.text import printable
from salmu.evaluation.report.plots import COLOURS, NARROW, WIDE, figure_as_png
from salmu.evaluation.verdicts.leaderboard import REFERENCES, in_words, reference_of
from salmu.evaluation.verdicts.targets import exact_of, outcomes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

Record = dict[str, Any]
METHOD, REFERENCE, GOAL = COLOURS[0], COLOURS[7], COLOURS[2]
LOG_FROM = 20  # ratio of the largest to the smallest value from which on an axis is logarithmic
MARK, NEAR, STEP = 8, 9, 6  # pixels: half a point's mark, from a point to its label, between rings of places
DIRECTIONS = 24  # places on a ring
LONGEST = 36  # characters of a label's line
GROWTH, TRIES = 1.3, 5  # a picture that its labels do not fit grows taller


def trade_off(records: list[Record], dark: bool = False, narrow: bool = False) -> bytes:
    """RetFail (what is left of the forget set) against InterIdSim (what is left of other people), with 95 % intervals,
    as PNG. Every point has its label; lines show the values of Clean, Compromised and Retrained, a green field where
    both targets are met.

    `records`: rows of the leaderboard."""
    with figure_as_png(dark, NARROW if narrow else WIDE) as (figure, png):
        draw(figure, records, narrow)
    return png.getvalue()


def draw(figure: Figure, records: list[Record], narrow: bool) -> tuple[Axes, list[Annotation]]:
    """Draw the picture into an empty figure; returns its axes and the labels of the points."""
    points = [row for row in records if row["RetFail"] is not None and row["InterIdSim"] is not None]
    rows = {row["model"]: row for row in points}
    references = [rows.get(name) for name in REFERENCES]
    axes = figure.add_subplot(
        xlabel="RetFail: how often forgotten facts are found", ylabel="InterIdSim: how well other people are known"
    )
    values = [row["RetFail"] for row in points if row["RetFail"] > 0]
    if values and max(values) > LOG_FROM * min(values):
        axes.set_xscale("log")
    for row in points:
        reference = reference_of(row["model"]) is not None
        axes.errorbar(
            row["RetFail"],
            row["InterIdSim"],
            _error(row, "InterIdSim"),
            _error(row, "RetFail"),
            fmt="D" if reference else "o",
            color=REFERENCE if reference else METHOD,
            markersize=7,
            elinewidth=1,
            capsize=2,
        )
    axes.margins(0.16 if narrow else 0.1)
    axes.autoscale_view()
    if references[0] and references[1]:
        method = next((row for row in points if reference_of(row["model"]) is None), {})
        shown = [None, None, references[2]] if narrow and references[2] else references  # lines take the labels' place
        _levels(axes, *shown, method)
    named = [row for row in points if not (narrow and row["model"] in exact_of(rows)[1:])]  # one Retrained says it
    return axes, _labelled(figure, axes, list(_names(named)))


def _levels(
    axes: Axes, clean: Record | None, compromised: Record | None, retrained: Record | None, method: Record
) -> None:
    """Lines at the values of the references, and the field where the targets of both metrics are met."""
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    for row, style in ((clean, ":"), (compromised, "--"), (retrained, "-")):
        if row:
            axes.axvline(row["RetFail"], color=REFERENCE, linestyle=style, linewidth=1, gid="level")
            axes.axhline(row["InterIdSim"], color=REFERENCE, linestyle=style, linewidth=1, gid="level")
    wanted = outcomes(method)
    if not {"RetFail", "InterIdSim"} <= wanted.keys():
        return
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = (
        (max(least, wanted[metric].low), min(most, wanted[metric].high))
        for metric, least, most in (("RetFail", left, right), ("InterIdSim", bottom, top))
    )
    if x[0] < x[1] and y[0] < y[1]:
        axes.fill_between(x, *y, color=GOAL, alpha=0.22, lw=0)
        axes.annotate("goal", (x[0], y[1]), (4, -4), textcoords="offset points", color=GOAL, weight="bold", va="top")


def shared_by_methods(records: list[Record]) -> list[str]:
    """What the names of all unlearned models say alike after the method's: ["budget 5", "seed 0"]."""
    rests = [in_words(row["model"]).split(", ")[1:] for row in records if reference_of(row["model"]) is None]
    return [part for part in rests[0] if all(part in rest for rest in rests)] if rests else []


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Each model's name in words, without what those of all methods share."""
    models = list(models)
    shared = shared_by_methods([{"model": model} for model in models])
    return {model: ", ".join(part for part in in_words(model).split(", ") if part not in shared) for model in models}


def _names(points: list[Record]) -> Iterator[tuple[Record, str]]:
    """Each point's label: its name in words, without what all methods share."""
    shared = shared_by_methods(points)
    for row in points:
        name, *rest = in_words(row["model"]).split(", ")
        lines = [name, ", ".join(part for part in rest if part not in shared)]
        yield row, "\n".join(textwrap.shorten(printable(line), LONGEST, placeholder="…") for line in lines if line)


def _labelled(figure: Figure, axes: Axes, points: list[tuple[Record, str]]) -> list[Annotation]:
    """Put each label at the free place nearest to its point, with a line to it; the figure grows until all find one."""
    from matplotlib.text import Text

    labels = [
        axes.annotate(
            words,
            (row["RetFail"], row["InterIdSim"]),
            (0, 0),
            textcoords="offset pixels",
            ha="center",
            va="center",
            fontsize=8.5,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": REFERENCE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4},
        )
        for row, words in points
    ]
    for label in labels:
        label.set_in_layout(False)  # or the axes would make room for it
    for _ in range(TRIES):
        figure.draw_without_rendering()
        centres = [axes.transData.transform(label.xy) for label in labels]
        taken = [[x - MARK, y - MARK, x + MARK, y + MARK] for x, y in centres]
        taken += [axes.transData.transform(bar).ravel() + [-3, -3, 3, 3] for row, _ in points for bar in _bars(row)]
        taken += [line.get_window_extent().extents for line in axes.lines if line.get_gid() == "level"]
        taken += [text.get_window_extent().extents for text in axes.texts if text not in labels]  # the word "goal"
        placed, missed = [], 0
        for label, centre in zip(labels, centres, strict=True):
            box = Text.get_window_extent(label)
            size = np.array([box.width + 6, box.height + 2])
            place = _free_place(centre, size, axes.bbox.extents, np.array(taken), np.array(placed).reshape(-1, 4))
            missed += place is None
            if place is not None:
                label.set_position((place[:2] + place[2:]) / 2 - centre)
                placed.append(place)
                taken += [place, *(np.concatenate([dot, dot]) for dot in _dots(centre, (place[:2] + place[2:]) / 2))]
        if not missed:
            break
        figure.set_figheight(figure.get_figheight() * GROWTH)
    return labels


def _free_place(
    centre: np.ndarray, size: np.ndarray, inside: np.ndarray, taken: np.ndarray, labels: np.ndarray
) -> np.ndarray | None:
    """The place [x0, y0, x1, y1] for a label that is nearest to a point, lies in the axes, touches nothing `taken`
    [n, 4], and whose line to the point crosses none of `labels` [m, 4]; None if there is none. Places lie on growing
    ellipses around the point, on each the right one first."""
    half, angle = size / 2, np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    for away in np.arange(NEAR, np.ptp(inside.reshape(2, 2), axis=0).max(), STEP):
        middle = centre + (away + half) * np.stack([np.cos(angle), np.sin(angle)], 1)
        low, high = middle - half, middle + half
        free = (low > inside[:2]).all(1) & (high < inside[2:]).all(1)
        free &= ~((low[:, None] < taken[:, 2:]) & (high[:, None] > taken[:, :2])).all(2).any(1)
        dots = _dots(centre, middle)[:, :, None]
        free &= ~((dots < labels[:, 2:]) & (dots > labels[:, :2])).all(3).any((0, 2))
        if free.any():
            return np.concatenate([low, high], 1)[free.argmax()]
    return None


def _dots(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Places along the lines from one point to others [..., 2]: [dots, ..., 2]."""
    return start + np.linspace(0.1, 1, 12).reshape(-1, *[1] * np.ndim(end)) * (end - start)


def _bars(row: Record) -> Iterator[list[tuple[float, float]]]:
    """Both ends of each error bar, as points of the picture."""
    x, y = row["RetFail"], row["InterIdSim"]
    if row["RetFail_low"] is not None:
        yield [(max(row["RetFail_low"], x / LOG_FROM), y), (row["RetFail_high"], y)]  # 0 has no place on a log axis
    if row["InterIdSim_low"] is not None:
        yield [(x, row["InterIdSim_low"]), (x, row["InterIdSim_high"])]


def _error(row: Record, metric: str) -> list[list[float]] | None:
    low, high, value = row[f"{metric}_low"], row[f"{metric}_high"], row[metric]
    return None if low is None or math.isnan(value) else [[max(value - low, 0)], [max(high - value, 0)]]
