"""What a piece of work costs on this machine."""

import resource
import sys

import torch


def peak_memory_mb() -> float:
    """Peak resident memory of this process since it started, in MiB, plus the peak on the GPU where one is used."""
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_available():
        used += torch.cuda.max_memory_allocated()
    return round(used / 2**20, 1)
