"""The pictures of the domain check."""

import numpy as np

from salmu.tasks.domain.identities import Separation
from salmu.tasks.domain.likeness import Row, Test
from salmu.tasks.figures import new_figure, png

OURS, REFERENCE, ALARM = "#4c78a8", "#f2a541", "#c8443c"


def likeness_figure(tests: list[Test], results: list[Row]) -> bytes:
    """The KS statistic of every direction, and the distributions of the three measures that differ most."""
    figure = new_figure(10, 3)
    panels = figure.subplots(1, 4, width_ratios=(1.6, 1, 1, 1))
    heights = [row["KS"] for row in results]
    panels[0].bar(range(len(heights)), heights, color=[ALARM if row["differs"] else OURS for row in results])
    panels[0].set(title="every measure (red: differs)", ylabel="KS statistic", xlabel="measure", ylim=(0, 1))
    by_name = {test.name: test for test in tests}
    worst = sorted(results, key=lambda row: -row["KS"])[:3]
    for axes, row in zip(panels[1:], worst, strict=False):
        test = by_name[row["measure"]]
        for values, name, colour in ((test.ours, "ours", OURS), (test.reference, "reference", REFERENCE)):
            axes.ecdf(values, label=name, color=colour)
        axes.set_title(f"{row['measure']}\nKS {row['KS']:.2f}", fontsize=7)
        axes.tick_params(labelsize=7)
    panels[1].legend(frameon=False, fontsize=7)
    return png(figure)


def diversity_figure(distances: dict[str, np.ndarray]) -> bytes:
    """Histograms of the CLIP distances within and between identities."""
    figure = new_figure(5, 2.8)
    axes = figure.subplots()
    bins = np.linspace(0, max(values.max() for values in distances.values() if len(values)), 60)
    for (name, values), colour in zip(distances.items(), (OURS, REFERENCE), strict=True):
        axes.hist(values, bins=bins, density=True, alpha=0.6, label=name, color=colour)
    axes.set(xlabel="CLIP distance of two portraits", ylabel="density")
    axes.legend(frameon=False)
    return png(figure)


def separation_figure(found: Separation) -> bytes:
    """Histograms of genuine and impostor similarities, and the ROC curve."""
    figure = new_figure(8, 3)
    left, right = figure.subplots(1, 2)
    bins = np.linspace(-1, 1, 81)
    for values, name, colour in ((found.genuine, "one identity", OURS), (found.impostor, "two identities", REFERENCE)):
        left.hist(values, bins=bins, density=True, alpha=0.6, label=name, color=colour)
    left.set(xlabel="cosine of two portraits' faces", ylabel="density", title=f"d' {found.d_prime:.2f}")
    left.legend(frameon=False, fontsize=8)
    right.plot(np.maximum(found.false_accepts, 1e-6), found.true_accepts, color=OURS)
    right.set(xscale="log", xlim=(1e-5, 1), ylim=(0, 1.02), xlabel="false accept rate", ylabel="true accept rate")
    right.set_title(f"ROC, equal error rate {found.equal_error_rate:.2%}")
    right.grid(alpha=0.3)
    return png(figure)
