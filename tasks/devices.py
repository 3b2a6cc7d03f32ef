"""Where a model computes. A worker process sees one GPU at most (flows sets CUDA_VISIBLE_DEVICES): `cuda` always means
that one."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from salmu.data.errors import UserError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
log = logging.getLogger(__name__)


def torch_device(wanted: Device) -> torch.device:
    """The device that a setting names; auto: CUDA where it is available. Raises UserError if CUDA is wanted in vain."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device is 'cuda', but torch sees no CUDA GPU: install torch with CUDA and the driver, or set it to 'auto'"
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def may_use_gpu(wanted: Device) -> bool:
    """Whether a model with this setting would compute on a GPU where there is one."""
    return wanted != "cpu"


def gpu_is_lost(error: BaseException) -> bool:
    """Whether an error says that nothing more can be computed on the GPU in this process (not: too little memory)."""
    if is_out_of_memory(error):
        return False
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("cuda error" in text or "cuda failure" in text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's or the machine's memory was too small for what was asked."""
    import torch

    text = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or (isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text))
        or "failed to allocate memory" in text  # onnxruntime
        or "cublas_status_alloc_failed" in text
    )


def in_parts_that_fit(compute: Callable[[Sequence], object], items: Sequence, setting: str) -> list:
    """[compute(items)], or, where memory is too small for them at once, the results of halves, of their halves, ...

    `setting`: the one that lowers the number at once, named in the warning. Raises UserError if one item is too
    much."""
    try:
        return [compute(items)]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    import torch

    if len(items) == 1:
        raise UserError(
            f"not even one item fits into memory ({setting} is not the reason): use smaller pictures or models"
        )
    gc.collect()  # the failed attempt's tensors, now that its traceback is gone
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    log.warning("%d at once are too many for the memory, made in halves; lower %s", len(items), setting)
    middle = (len(items) + 1) // 2
    return in_parts_that_fit(compute, items[:middle], setting) + in_parts_that_fit(compute, items[middle:], setting)
