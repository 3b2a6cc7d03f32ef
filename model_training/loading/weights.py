"""The weights of a model folder: which file, what may be in it, and whether it fits the network."""

import hashlib
import pickle
import warnings
from pathlib import Path

import torch

from salmu.data.errors import UserError

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
PREFERRED = (  # in open_clip's order
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


def weights_file(folder: Path) -> Path:
    """The file with the weights: by open_clip's names, else the only one there. Raises UserError if there is none, or
    several by other names."""
    there = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES[:3])
    named = sorted((path for path in there if path.name in PREFERRED), key=lambda path: PREFERRED.index(path.name))
    if named:
        return named[0]
    if len(there) > 1:
        raise UserError(
            f"model {folder}: {there[0].name} and {there[1].name} may both be the weights; name the right one "
            f"{PREFERRED[0]}"
        )
    if not there:
        raise UserError(f"model {folder}: no weights here ({PREFERRED[0]})")
    return there[0]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor of a file of weights: safetensors, or torch's format read as weights only.

    Raises UserError for anything else in it, and for values that are not finite."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of old formats in several lines
                found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's text advises to run the file's code
        raise UserError(
            f"{path}: cannot be loaded, damaged or not weights alone; foreign code is never run, so save the weights "
            "as safetensors"
        ) from None
    except Exception as error:  # safetensors, torch and zipfile raise many types
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"{path}: cannot be loaded, damaged or not weights alone: {type(error).__name__}: {reason[:150]}"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError(f"{path}: cannot be loaded: a table of names and tensors is expected")
    values = sum(tensor.numel() for tensor in found.values())
    if values > path.stat().st_size:  # views that repeat one value would fill the memory
        raise UserError(
            f"{path}: {values:,} weights in {path.stat().st_size:,} bytes; the file does not match its header"
        )
    for name, tensor in found.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: weight {name} is not finite (NaN or infinite); the model is broken")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def weights_digest(weights: dict[str, torch.Tensor]) -> str:
    """Hex digest of names, types, shapes and values of all weights (a state dict); it does not depend on the file."""
    hasher = hashlib.blake2b(digest_size=16)
    for key, tensor in sorted(weights.items()):
        hasher.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hasher.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hasher.hexdigest()


def fit(network: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The weights under the names that this network has for them.

    Older checkpoints of networks with a text tower of their own, and temperatures of another rank, are brought into
    today's form. Raises UserError if a name is missing or too many, or has another shape or kind of number."""
    from open_clip.model import convert_to_custom_text_state_dict

    wanted = network.state_dict()
    if "positional_embedding" in weights and "positional_embedding" not in wanted:
        weights = convert_to_custom_text_state_dict(weights)
    for name in ("logit_scale", "logit_bias"):
        if name in weights and name in wanted and weights[name].numel() == wanted[name].numel() == 1:
            weights = weights | {name: weights[name].reshape(wanted[name].shape)}
    missing, strange = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    other = [
        name
        for name in sorted(wanted.keys() & weights.keys())
        if wanted[name].shape != weights[name].shape
        or wanted[name].is_floating_point() != weights[name].is_floating_point()
    ]
    said = [
        f"{len(names)} {what}, the first {names[0]}"
        for names, what in ((missing, "missing"), (strange, "unexpected"), (other, "of another shape"))
        if names
    ]
    if said:
        shapes = f" ({list(weights[other[0]].shape)}, wanted {list(wanted[other[0]].shape)})" if other else ""
        raise UserError(f"{path}: the weights do not fit the configuration: {'; '.join(said)}{shapes}")
    return weights
