"""The models that a pair is trained from: JSON files in open_clip's own format, registered with open_clip.

open_clip builds them without any code of this project, so an exported model loads wherever open_clip is installed.
"""

from pathlib import Path

import torch

from salmu.data.documents import MIB, loaded
from salmu.data.errors import UserError
from salmu.model_training.loading.configuration import Model, require_own_towers
from salmu.model_training.model_files import FOLDER, configuration_file

OWN_TOKENIZER = "."  # text_cfg.hf_tokenizer_name: a tokenizer of the pair's own lies beside the weights


def configuration(model: str) -> dict:
    """The model configuration (`model_cfg` in open_clip's files) of a name, here or in open_clip, or of a JSON file.

    Raises UserError if there is none, or a file holds something else."""
    import open_clip

    configuration_file(model)
    found = open_clip.get_model_config(_registered(model))
    if found is None:
        raise UserError(f"pair.model: {model} is no model configuration of open_clip's kind")
    return found


def input_size(model: str) -> int:
    """The side of the model's square input in pixels."""
    size = configuration(model)["vision_cfg"]["image_size"]
    return size if isinstance(size, int) else max(size)


def create_model(model: str, seed: int, resize: str = "squash") -> torch.nn.Module:
    """A new model in training mode with weights drawn from the seed; the global random state is left alone.

    `resize`: how pictures become squares, as the exported preprocessing states it."""
    import open_clip

    configuration(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        preprocess = {"resize_mode": resize, "interpolation": "bicubic"}
        try:
            network = open_clip.create_model(_registered(model), force_preprocess_cfg=preprocess)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # sizes that do not go together
            raise UserError(f"pair.model: no network can be built from {model}: {str(error)[:150]}") from None
    return network.to(memory_format=torch.channels_last).train()


def _registered(model: str) -> str:
    """open_clip's name of the model."""
    import open_clip

    open_clip.add_model_config(FOLDER)
    if not model.endswith(".json"):
        return model
    path = Path(model)
    checked = loaded(path, Model, MIB)
    require_own_towers(checked, path)
    if checked.text_cfg.hf_tokenizer_name not in (None, OWN_TOKENIZER):
        raise UserError(
            f"{path}: text_cfg.hf_tokenizer_name is {OWN_TOKENIZER!r}, a tokenizer of the pair's own, or left out"
        )
    open_clip.add_model_config(path)
    return path.stem
