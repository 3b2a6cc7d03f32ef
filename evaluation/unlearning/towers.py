"""Where an open_clip model's blocks and last image projection are, for methods that aim at some of its layers."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from salmu.data.errors import UserError


def blocks(network: nn.Module) -> dict[str, list[tuple[str, nn.Module]]]:
    """The blocks of each tower, `image` and `text`, in order, with their names in the network: residual blocks of a
    transformer, stages of a convolutional network.

    Raises UserError for a tower in which none are found."""
    found = {}
    text = "text." if hasattr(network, "text") else ""
    for tower, prefix in (("image", "visual."), ("text", text)):
        names = _transformer(network, prefix) or _timm(network, prefix) or _stages(network, prefix)
        if not names:
            raise UserError(f"the {tower} tower of {type(network).__name__} has no blocks that are known here")
        found[tower] = [(name, network.get_submodule(name)) for name in names]
    return found


def _transformer(network: nn.Module, prefix: str) -> list[str]:
    for place in ("transformer.resblocks", "transformer.encoder.layer"):  # open_clip's own, and Hugging Face's
        try:
            return [f"{prefix}{place}.{number}" for number, _ in enumerate(network.get_submodule(f"{prefix}{place}"))]
        except AttributeError:
            continue
    return []


def _timm(network: nn.Module, prefix: str) -> list[str]:
    trunk = getattr(network.get_submodule(prefix.rstrip(".")) if prefix else network, "trunk", None)
    names = [stage["module"] for stage in getattr(trunk, "feature_info", [])]
    return [f"{prefix}trunk.{name}" for name in names if next(trunk.get_submodule(name).parameters(), None) is not None]


def _stages(network: nn.Module, prefix: str) -> list[str]:
    names = dict(network.named_modules())
    return [f"{prefix}{name}" for name in ("layer1", "layer2", "layer3", "layer4") if f"{prefix}{name}" in names]


@contextmanager
def outputs(modules: list[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that collects what these modules put out inside, in order of the calls."""
    collected: list[Tensor] = []
    hooks = [module.register_forward_hook(lambda _, __, output: collected.append(output)) for module in modules]
    try:
        yield collected
    finally:
        for hook in hooks:
            hook.remove()


def image_projection(network: nn.Module) -> tuple[str, bool]:
    """The name of the weight that maps into the embedding space at the end of the image tower, and whether the
    embedding's width is its last dimension (otherwise its first).

    Raises UserError if there is none."""
    visual = network.visual
    if isinstance(getattr(visual, "proj", None), nn.Parameter):
        return "visual.proj", True
    linear = [name for name, module in visual.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"the image tower of {type(network).__name__} has no linear map into the embedding space")
    return f"visual.{linear[-1]}.weight", False
