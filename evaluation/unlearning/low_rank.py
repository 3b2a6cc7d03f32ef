"""A low-rank change of the weights as the carrier of what a method does (LoRA, Hu et al. 2022, arXiv:2106.09685): a few
megabytes that can be shipped instead of a model, and merged into it.

    W = W before + up @ down        up [rows, rank], down [rank, columns]

Every matrix, table of embeddings and kernel has such a change; a kernel counts as a matrix with its first axis as rows.
Vectors (biases, gains) stay as they were. The network keeps whole weights, so any network and any method with a loss
can be carried so: with G the gradient of W, those of up and down are G down^T and up^T G."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from salmu.data.documents import parse_json
from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import generator
from salmu.data.settings import validate
from salmu.model_training.export import holds_something, whole_folder, write_changed
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loading.weights import read_weights
from salmu.model_training.loop import reproducible

FILE = "edit.safetensors"
UP, DOWN = ".up", ".down"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Edit(BaseModel):
    """What the file says of itself."""

    model_config = ConfigDict(extra="forbid", strict=True)

    method: Annotated[str, Field(max_length=200)]
    source_model_digest: Digest
    model_digest: Digest


class LowRank:
    """The changes of one run: `start` are the weights before, by name, `weights` those of the network."""

    def __init__(self, start: dict[str, Tensor], weights: dict[str, nn.Parameter], rank: int, *key):
        """`key`: of the draws for `down`; `up` begins at zero, so that at first nothing changes."""
        self.start, self.weights, self.ups, self.downs = start, weights, {}, {}
        for name, weight in weights.items():
            if weight.ndim < 2:
                continue
            rows, columns = len(weight), weight[0].numel()
            fits = min(rank, rows, columns)
            drawn = generator(*key, "low_rank", name).standard_normal((fits, columns)) / columns**0.5
            self.downs[name] = nn.Parameter(torch.as_tensor(drawn).to(weight))
            self.ups[name] = nn.Parameter(weight.new_zeros(rows, fits))

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.ups.values(), *self.downs.values()]

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Turn the gradients of the weights into those of ups and downs."""
        for name, weight in self.weights.items():
            if name in self.ups and weight.grad is not None:
                gradient, up, down = weight.grad.flatten(1), self.ups[name], self.downs[name]
                up.grad, down.grad = gradient @ down.T, up.T @ gradient
            weight.grad = None

    @torch.no_grad()
    def put(self) -> None:
        """Give the network the weights that follow."""
        for name, up in self.ups.items():
            self.weights[name].copy_(merged_weight(self.start[name], up, self.downs[name]))

    @torch.no_grad()
    def pull_back(self, shares: dict[str, float]) -> None:
        """Take back these shares of the changes, by the name of the weight."""
        for name, up in self.ups.items():
            up.mul_(1 - shares[name])

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by the name of the weight and the side."""
        sides = ((UP, self.ups), (DOWN, self.downs))
        return {f"{name}{side}": value.detach().cpu() for side, part in sides for name, value in part.items()}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        for side, part in ((UP, self.ups), (DOWN, self.downs)):
            for name, value in part.items():
                value.copy_(tensors[f"{name}{side}"])


def merged_weight(start: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return start + (up @ down).view_as(start)


def write_edit(folder: Path, change: LowRank, about: Edit) -> None:
    # one entry alone: safetensors writes several in an order that changes from process to process
    write_atomic(folder / FILE, save(change.tensors(), metadata={"edit": about.model_dump_json()}))


def merge(edit: Path, model_dir: Path, out_dir: Path, replace: bool = True) -> bool:
    """Put an edit into the model that it was made from, and write the result to `out_dir` in open_clip's layout.

    Returns whether the weights are those of the unlearned model to the bit; on another machine the last bits may
    differ. Raises UserError for a file that is no edit, is damaged, or was made from another model, and, with `replace`
    False, for a folder that holds something already."""
    edit, out_dir = Path(edit), Path(out_dir)
    about, tensors = read_edit(edit)
    clip = load_model(model_dir)
    if clip.weights_digest != about.source_model_digest:
        raise UserError(
            f"{edit}: made from the model {about.source_model_digest}, and {model_dir} is {clip.weights_digest}; name "
            "the model that was unlearned"
        )
    if not replace and holds_something(out_dir):
        raise UserError(f"{out_dir}: there already; name another folder, or add --force")
    weights = dict(clip.network.named_parameters())
    with torch.no_grad(), reproducible(1):
        for name in sorted({key.removesuffix(UP).removesuffix(DOWN) for key in tensors}):
            up, down = tensors.get(name + UP), tensors.get(name + DOWN)
            weight = weights.get(name)
            if up is None or down is None or weight is None or up.ndim != 2 or down.ndim != 2:
                raise UserError(f"{edit}: {name}: no change of a weight of this model")
            if (len(up), up.shape[1], down.shape[1]) != (len(weight), len(down), weight[0].numel()):
                raise UserError(f"{edit}: {name}: of another shape than the weight of this model")
            weight.copy_(merged_weight(weight, up, down))
    with whole_folder(out_dir) as folder:
        write_changed(folder, clip.network, Path(model_dir))
    return clip.weights_digest == about.model_digest


def read_edit(path: Path) -> tuple[Edit, dict[str, Tensor]]:
    """What a file says of itself, and its tensors. Raises UserError if it is no edit, or damaged."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; salmu unlearn writes {FILE} where a method has a rank")
    tensors = read_weights(path)
    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get("edit", "")
    except SafetensorError:
        told = ""
    if not told:
        raise UserError(f"{path}: weights, but not an edit that salmu unlearn wrote")
    document = parse_json(told.encode(), str(path))
    return validate(Edit, document, str(path)), tensors
