"""Areas under ROC curves, as shares of pairs in the right order."""

import numpy as np


def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of `others` that lie below each value; equal ones count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))
