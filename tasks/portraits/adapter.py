"""Reads IP-Adapter-FaceID checkpoints, and says what they were made for before anything is loaded."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from salmu.data.errors import UserError

if TYPE_CHECKING:
    import torch

IDENTITY = 512  # values of an ArcFace embedding
BASES = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}  # by cross-attention


class Adapter(NamedTuple):
    """A checkpoint and what it needs of the models around it."""

    weights: dict[str, dict[str, torch.Tensor]]  # image_proj, ip_adapter
    cross_attention: int  # width of the base model's cross-attention
    structure: int | None  # width of the image encoder; None for plain FaceID, which has no CLIP branch
    lora: bool


def read_adapter(path: Path) -> Adapter:
    """The checkpoint in a .bin file (torch) or a .safetensors file. Only tensors are read: pickled code is refused.

    Raises UserError if it is no FaceID checkpoint."""
    try:
        weights = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
        projection, attention = weights["image_proj"], weights["ip_adapter"]
        identity, cross = projection["proj.0.weight"].shape[1], projection["norm.weight"].shape[0]
        resampler = projection.get("perceiver_resampler.proj_in.weight")
        adapter = Adapter(
            weights={"image_proj": dict(projection), "ip_adapter": dict(attention)},
            cross_attention=cross,
            structure=None if resampler is None else resampler.shape[1],
            lora="0.to_k_lora.down.weight" in attention,
        )
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: not weights alone (damaged, or a pickle that would run code, which is refused); set "
            "portraits.faceid.adapter_file to the published checkpoint"
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds for a file that is not theirs
        raise UserError(
            f"{path}: not an IP-Adapter-FaceID checkpoint, set portraits.faceid.adapter_file to one: "
            f"{type(error).__name__} {' '.join(str(error).split())[:120]}"
        ) from None
    if identity != IDENTITY:
        raise UserError(
            f"{path}: made for embeddings of {identity} values, the anchors' have {IDENTITY}; set "
            "portraits.faceid.adapter_file to a FaceID checkpoint of one face"
        )
    return adapter


def _torch(path: Path) -> dict[str, Any]:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    parts: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in load_file(path).items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    return parts


def check_fit(adapter: Adapter, path: Path, base: str, cross_attention: int) -> None:
    """Raises UserError if the checkpoint is for another kind of base model."""
    if adapter.cross_attention != cross_attention:
        made_for, found = (
            f"{BASES.get(width, 'another base model')} (cross-attention {width})"
            for width in (adapter.cross_attention, cross_attention)
        )
        raise UserError(
            f"{path}: this adapter is for {made_for}, but portraits.faceid.base {base} is {found}; set "
            "portraits.faceid.adapter_file or portraits.faceid.base so that they belong together"
        )
