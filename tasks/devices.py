"""Where a model computes. A worker process sees one GPU at most (flows sets CUDA_VISIBLE_DEVICES): `cuda` always means
that one."""

from typing import Literal

import torch

from data.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


def torch_device(wanted: Device) -> torch.device:
    """The device that a setting names; auto: CUDA where it is available. Raises UserError if CUDA is wanted in vain."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device is 'cuda', but torch sees no CUDA GPU: install torch with CUDA and the driver, or set it to 'auto'"
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def may_use_gpu(wanted: Device) -> bool:
    """Whether a model with this setting would compute on a GPU here."""
    return wanted != "cpu" and torch.cuda.is_available()


def gpu_is_lost(error: BaseException) -> bool:
    """Whether an error says that nothing more can be computed on the GPU in this process (not: too little memory)."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("cuda error" in text or "cuda failure" in text) and "memory" not in text
