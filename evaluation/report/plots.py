"""The report's own plots, as PNG files. Each can be drawn for a light or a dark page; the background is transparent."""

import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Legible on a light and on a dark page.
COLOURS = ("#3b82c4", "#d1663a", "#3f9e63", "#a05fb5", "#b8912a", "#c2527a", "#2f9fa3", "#7c7f86")
MARKERS = "osD^vP*X"
LOG_FROM = 20  # ratio of the largest to the smallest value from which on an axis is logarithmic


def training_curves(models: Path, dark: bool = False) -> bytes:
    """Training loss of each model under runs/NAME/models/ over the steps; those without a curve are left out."""
    with _figure(dark) as (figure, png):
        axes = figure.add_subplot(xlabel="step", ylabel="contrastive loss")
        for number, path in enumerate(sorted(Path(models).glob("*/training.json"))):
            curve = json.loads(path.read_text(encoding="utf-8"))["curve"]
            axes.plot(
                [point["step"] for point in curve],
                [point["loss"] for point in curve],
                color=COLOURS[number % len(COLOURS)],
                label=path.parent.name,
            )
        axes.set_ylim(bottom=0)
        if axes.lines:
            axes.legend(frameon=False)
    return png.getvalue()


def forgetting(records: list[dict[str, Any]], dark: bool = False) -> bytes:
    """RetFail (what is left of the forget set) against InterIdSim (what is left of everybody else), with intervals.

    `records`: rows of the leaderboard. The goal is Clean's RetFail at Compromised's InterIdSim."""
    points = [row for row in records if row["RetFail"] is not None and row["InterIdSim"] is not None]
    reference = {row["model"]: row for row in points}
    with _figure(dark) as (figure, png):
        axes = figure.add_subplot(
            xlabel="RetFail MRR: forget set still retrieved", ylabel="InterIdSim: other people still known"
        )
        values = [row["RetFail"] for row in points if row["RetFail"] > 0]
        if values and max(values) > LOG_FROM * min(values):
            axes.set_xscale("log")
        for number, row in enumerate(points):
            axes.errorbar(
                row["RetFail"],
                row["InterIdSim"],
                _error(row, "InterIdSim"),
                _error(row, "RetFail"),
                fmt=MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                markersize=8,
                elinewidth=1,
                capsize=2,
                label=row["model"],
            )
        if {"clean", "compromised"} <= reference.keys():
            axes.scatter(
                reference["clean"]["RetFail"],
                reference["compromised"]["InterIdSim"],
                s=260,
                marker="o",
                facecolors="none",
                edgecolors=COLOURS[2],
                linewidths=2,
                label="goal",
            )
        axes.margins(0.12)
        if points:
            figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=3)
    return png.getvalue()


def _error(row: dict[str, Any], metric: str) -> list[list[float]] | None:
    low, high, value = row[f"{metric}_low"], row[f"{metric}_high"], row[metric]
    return None if low is None or math.isnan(value) else [[max(value - low, 0)], [max(high - value, 0)]]


@contextmanager
def _figure(dark: bool) -> Iterator[tuple[Figure, io.BytesIO]]:
    """An empty figure and the buffer that holds it as PNG afterwards."""
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
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4), dpi=130, layout="constrained")
        yield figure, png
        figure.savefig(png, format="png", transparent=True, metadata={"Software": None})
