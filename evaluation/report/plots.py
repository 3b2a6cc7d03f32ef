"""The report's own plots, as PNG files. Each can be drawn for a light or a dark page; the background is transparent."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmu.model_training.record import read_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Legible on a light and on a dark page.
COLOURS = ("#3b82c4", "#d1663a", "#3f9e63", "#a05fb5", "#b8912a", "#c2527a", "#2f9fa3", "#7c7f86")
MARKERS = "osD^vP*X"
DPI = 130
WIDE, NARROW, MEDIUM = (7.4, 4.4), (3.7, 4.4), (5.4, 3.6)  # inches: a desktop's page, a telephone's, either


def looks(draw: Callable[..., bytes], *what: Any) -> dict[str, bytes]:
    """A plot for a light page and for a dark one."""
    return {"light": draw(*what, dark=False), "dark": draw(*what, dark=True)}


def training_records(models: Path) -> dict[str, Path]:
    """The training.json of each model under runs/NAME/models/: clean, compromised, and s1/clean … of further pairs."""
    found = [*sorted(models.glob("*/training.json")), *sorted(models.glob("s*/*/training.json"))]
    return {path.parent.relative_to(models).as_posix(): path for path in found}


def training_curves(models: Path, dark: bool = False) -> bytes:
    """Training loss of each model under runs/NAME/models/ over the steps and, dotted, AssocStr where it was measured
    on a sample: how the forget set is memorised. Models without a curve are left out."""
    with figure_as_png(dark) as (figure, png):
        axes = figure.add_subplot(xlabel="step", ylabel="contrastive loss")
        memory = None
        for number, (name, path) in enumerate(training_records(models).items()):
            record, colour = read_training(path), COLOURS[number % len(COLOURS)]
            steps, losses = ([point[name] for point in record.get("curve", [])] for name in ("step", "loss"))
            axes.plot(steps, losses, color=colour, label=name)
            measured = [point for point in record.get("monitored", []) if point.get("AssocStr") is not None]
            if measured:
                memory = memory or axes.twinx()
                steps, strengths = ([point[name] for point in measured] for name in ("step", "AssocStr"))
                memory.plot(steps, strengths, color=colour, linestyle=":", marker=MARKERS[number % len(MARKERS)])
        axes.set_ylim(bottom=0)
        if memory:
            memory.set(ylabel="AssocStr on a sample (dotted)", ylim=(min(0, memory.get_ylim()[0]), 1))
        if axes.lines:
            axes.legend(frameon=False)
    return png.getvalue()


def unlearning_curve(curve: list[dict[str, Any]], dark: bool = False) -> bytes:
    """Mean cosines of the pairs of each step of a method, where they were encoded, and its loss (dotted)."""
    with figure_as_png(dark) as (figure, png):
        axes = figure.add_subplot(xlabel="step", ylabel="mean cosine")
        parts = sorted({key for point in curve for key in point if key.endswith("_cosine")})
        for number, key in enumerate(parts):
            points = [(point["step"], point[key]) for point in curve if key in point]
            axes.plot(*zip(*points, strict=True), color=COLOURS[number], label=key.replace("_cosine", " pairs"))
        loss = axes.twinx()
        steps, losses = ([point[name] for point in curve] for name in ("step", "loss"))
        loss.plot(steps, losses, color=COLOURS[-1], linestyle=":", label="loss")
        loss.set_ylabel("loss (dotted)")
        if parts:
            axes.legend(frameon=False)
    return png.getvalue()


def relearning_curves(curves: dict[str, list[dict[str, Any]]], dark: bool = False) -> bytes:
    """RetFail and AssocStr of the rest of the forget set over the steps of relearning, with 95 % intervals; one line a
    model."""
    with figure_as_png(dark) as (figure, png):
        for axes, metric in zip(figure.subplots(1, 2), ("RetFail", "AssocStr"), strict=True):
            axes.set(xlabel="step", ylabel=metric)
            for number, (name, points) in enumerate(curves.items()):
                steps, values = ([point[key] for point in points] for key in ("step", metric))
                style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
                axes.plot(steps, values, label=name, markersize=5, **style)
                if all(point[f"{metric}_low"] is not None for point in points):
                    low, high = ([point[f"{metric}_{end}"] for point in points] for end in ("low", "high"))
                    axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=3)
    return png.getvalue()


def rows_of_points(
    names: list[str],
    found: dict[str, list[dict[str, Any]]],
    about: str,
    line: float | None = None,
    dark: bool = False,
    narrow: bool = False,
) -> bytes:
    """One row a name, in it one point a series with its 95 % interval. `found`: series -> `value` and `interval` for
    each name; `about`: what the values are; `line`: where a guess lies."""
    size = ((NARROW if narrow else WIDE)[0], 1.4 + 0.5 * len(names))
    with figure_as_png(dark, size) as (figure, png):
        axes = figure.add_subplot(xlabel=about)
        for number, (series, points) in enumerate(found.items()):
            values = [point["value"] for point in points]
            ends = [point["interval"] or (point["value"], point["value"]) for point in points]
            reach = [[max(0, value - low) for value, (low, _) in zip(values, ends, strict=True)]]
            reach += [[max(0, high - value) for value, (_, high) in zip(values, ends, strict=True)]]
            places = [place + 0.22 * (number - (len(found) - 1) / 2) for place in range(len(names))]
            style = {"color": COLOURS[number], "fmt": MARKERS[number], "markersize": 5, "elinewidth": 1, "capsize": 2}
            axes.errorbar(values, places, xerr=reach, label=series, **style)
        if line is not None:
            axes.axvline(line, color=COLOURS[-1], linewidth=1)
        axes.set_yticks(range(len(names)), [name.replace(", ", ",\n", 1) if narrow else name for name in names])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        columns = 1 if narrow else len(found)
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=columns)
    return png.getvalue()


@contextmanager
def figure_as_png(dark: bool, size: tuple[float, float] = MEDIUM) -> Iterator[tuple[Figure, io.BytesIO]]:
    """An empty figure of a size in inches, and the buffer that holds it as PNG afterwards."""
    from matplotlib import rc_context  # most of what imports this module draws nothing
    from matplotlib.figure import Figure

    ink, faint, png = ("#e4e6ea", "#4a4f58", io.BytesIO()) if dark else ("#22262c", "#d0d4da", io.BytesIO())
    style = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": faint,
        "grid.color": faint,
        "grid.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        yield figure, png
        figure.savefig(png, format="png", transparent=True, metadata={"Software": None})
