"""The files of a model: which are weights, whether they can be read, whether their values are finite, and what its card
says of its licence."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from salmu.data.documents import MIB, parse_yaml, read_bounded, read_json
from salmu.data.errors import UserError

READABLE = (".safetensors", ".bin", ".pt", ".pth", ".onnx")
POINTER = b"version https://git-lfs"
LARGEST_CARD = MIB


def weight_files(place: Path) -> tuple[Path, ...]:
    """The files of weights of a file or folder; hidden ones do not count."""
    if place.is_file():
        return (place,)
    inside = (path for path in place.rglob("*") if path.suffix in READABLE and path.is_file())
    return tuple(sorted(path for path in inside if not any(part[0] == "." for part in path.relative_to(place).parts)))


def read_values(path: Path) -> int:
    """How many numbers a file of weights holds; 0 for ONNX. Raises UserError if it cannot be read, or if one of them is
    not finite."""
    try:
        with open(path, "rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise UserError(f"{path}: only a pointer of Git LFS; run git lfs pull, or get the file itself")
        if path.suffix == ".onnx":
            return _onnx(path)
        count = 0
        for name, tensor in _tensors(path):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise UserError(f"{path}: weight {name} is not finite (NaN or infinite); the model is broken")
            count += tensor.numel()
        return count
    except UserError:
        raise
    except Exception as error:  # safetensors, torch, onnxruntime and the file system raise many types
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path}: cannot be read, damaged or no weights: {type(error).__name__}: {reason}") from None


def _onnx(path: Path) -> int:
    from onnxruntime import InferenceSession

    InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return 0


def _tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """Name and tensor, one after the other; of torch's files weights only."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  it is no dictionary
                yield name, file.get_tensor(name)
        return
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # the format of old versions, which cannot be mapped
        found = torch.load(path, map_location="cpu", weights_only=True)
    waiting = [("", found)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, dict):
            waiting += [(f"{name}.{key}".lstrip("."), inner) for key, inner in value.items()]


def card_licence(place: Path) -> str | None:
    """The licence that the head of README.md or pack.json names in a model's folder."""
    folder = place if place.is_dir() else place.parent
    try:
        if (folder / "README.md").is_file():
            text = read_bounded(folder / "README.md", LARGEST_CARD).decode("utf-8", "replace")
            head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
            said = parse_yaml(head[1], str(folder / "README.md")) if head else None
            if isinstance(said, dict) and isinstance(said.get("license"), str):
                return str(said.get("license_name") or said["license"])[:100]
        if (folder / "pack.json").is_file():
            said = read_json(folder / "pack.json", LARGEST_CARD)
            if isinstance(said, dict) and isinstance(said.get("licence"), str):
                return said["licence"][:100]
    except UserError:
        return None
    return None
