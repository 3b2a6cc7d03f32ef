"""Tables and figures of the stage anchors."""

from collections import Counter
from typing import Any

import numpy as np

from salmu.data.store import Reject, StageView
from salmu.tasks.anchors.duplicates import COPY, Calibration
from salmu.tasks.anchors.rules import REASONS, Settings
from salmu.tasks.balance import CELL
from salmu.tasks.charts import Panel, bar_charts

PERCENTILES = (1, 5, 25, 50, 75, 95, 99, 100)
MOST_COMPARED = 5000  # of a set, in the figure of nearest others


def threshold_text(calibration: Calibration, settings: Settings) -> str:
    """Under which threshold two pictures were taken for different people, and how far it can be trusted."""
    rate = f", for a false match rate of {settings.false_match_rate:g}" if settings.duplicate_similarity is None else ""
    copies = f" (without {calibration.copies:,} above {COPY}: copies)" if calibration.copies else ""
    return (
        f"Near duplicates have a cosine above {calibration.threshold:.4f} ({calibration.method}{rate}); of "
        f"{calibration.pairs:,} sampled pairs of different candidates{copies} a share of {calibration.share_above:.2g} "
        "has one."
    )


def funnel(candidates: StageView, rejects: list[Reject], anchors: int) -> list[dict[str, Any]]:
    """From all pictures to the anchors: what was dropped at each step, and how many were left."""
    before = Counter(reject.reason for reject in candidates.rejects())
    after = Counter(reject.reason for reject in rejects)
    left = candidates.manifest.rows + before.total()
    rows = [{"step": "pictures", "dropped": 0, "left": left}]
    for reason, count in [*before.most_common(), *((reason, after[reason]) for reason in REASONS)]:
        left -= count
        rows.append({"step": reason.replace("_", " "), "dropped": count, "left": left})
    return [*rows, {"step": "anchors", "dropped": 0, "left": anchors}]


def demographics(rows: list[dict]) -> list[dict[str, Any]]:
    """How many anchors have each gender, age group and region."""
    groups = Counter((group, row[group] or "unknown") for row in rows for group in CELL)
    return [{"group": group, "value": value, "identities": count} for (group, value), count in sorted(groups.items())]


def balance(chosen: list[dict], surplus: list[dict]) -> list[dict[str, Any]]:
    """For each cell how many different people are fit, and how many of them were chosen."""
    cells = [Counter(tuple(row[name] or "unknown" for name in CELL) for row in rows) for rows in (chosen, surplus)]
    return [
        dict(zip(CELL, cell, strict=True)) | {"fit": cells[0][cell] + cells[1][cell], "anchors": cells[0][cell]}
        for cell in sorted(cells[0] | cells[1])
    ]


def nearest_similarities(embeddings: np.ndarray) -> np.ndarray:
    """The cosine of each to the most similar other one."""
    vectors = embeddings[:MOST_COMPARED].astype(np.float32)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines.max(axis=1)


def percentiles(nearest: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row a set."""
    return [
        {"set": name, "pictures": len(values)}
        | {f"{percent} %": round(float(np.percentile(values, percent)), 3) for percent in PERCENTILES}
        for name, values in nearest.items()
    ]


def nearest_figure(nearest: dict[str, np.ndarray], threshold: float) -> bytes:
    """How the similarities to the nearest other one are distributed, a panel a set, as a PNG file."""
    lowest = min(0.0, *(values.min() for values in nearest.values()))
    edges = np.linspace(np.floor(lowest * 10) / 10, 1, 41)
    labels = [f"{edge:.1f}" if place % 8 == 0 else "" for place, edge in enumerate(edges[:-1])]
    heights = {name: np.histogram(np.minimum(values, 1), edges)[0].tolist() for name, values in nearest.items()}
    panels = [Panel(name, {"pictures": bars}, labels) for name, bars in heights.items()]
    return bar_charts(panels, f"cosine to the nearest other (near duplicates: above {threshold:.2f})", "pictures")
