"""Where the configuration of a model lies, found and read without open_clip, which takes seconds to load."""

import importlib.util
from pathlib import Path
from typing import Literal

from salmu.data.documents import MIB, loaded
from salmu.data.errors import UserError
from salmu.model_training.loading.configuration import Model

FOLDER = Path(__file__).with_name("model_configs")


def configuration_file(model: str) -> Path:
    """The JSON file of a name, here or in open_clip, or of a path. Raises UserError if there is none."""
    own = Path(model) if model.endswith(".json") else FOLDER / f"{model}.json"
    if own.is_file():
        return own
    if not model.endswith(".json"):
        (theirs,) = importlib.util.find_spec("open_clip").submodule_search_locations
        if (found := Path(theirs, "model_configs", f"{model}.json")).is_file():
            return found
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.json")))
    raise UserError(f"pair.model: no model configuration {model!r}; there are {known}, and those of open_clip")


def require_loss(model: str, loss: Literal["clip", "siglip"]) -> None:
    """Raises UserError unless the model has a bias of the logits exactly where the loss learns one: the sigmoid loss
    hardly trains without it, and everything that comes later tells by it which loss a model was trained with."""
    biased = loaded(configuration_file(model), Model, MIB).init_logit_bias is not None
    if biased == (loss == "siglip"):
        return
    problem = "has an init_logit_bias, which only the sigmoid loss learns" if biased else "has no init_logit_bias"
    wanted = "siglip" if biased else "clip"
    raise UserError(f"pair.loss is {loss!r}, but the model {model} {problem}; set pair.loss to {wanted}, or pair.model")
