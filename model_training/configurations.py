"""The small models that a pair is trained from: JSON files in open_clip's own format, registered with open_clip.

open_clip builds them without any code of this project, so an exported model loads wherever open_clip is installed.
"""

from pathlib import Path

import torch

from data.errors import UserError

FOLDER = Path(__file__).with_name("model_configs")
PREPROCESS = {"resize_mode": "squash", "interpolation": "bicubic"}  # the whole of a wide portrait stays in the picture


def configuration(name: str) -> dict:
    """The model configuration of that name (`model_cfg` in open_clip's files). Raises UserError if there is none."""
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in known:
        raise UserError(f"pair.model: no model configuration {name!r}; there are {', '.join(known)}")
    import open_clip

    open_clip.add_model_config(FOLDER)
    return open_clip.get_model_config(name)


def create_model(name: str, seed: int) -> torch.nn.Module:
    """A new model in training mode with weights drawn from the seed; the global random state is left alone."""
    import open_clip

    open_clip.add_model_config(FOLDER)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.create_model(name, force_preprocess_cfg=PREPROCESS)
    return model.to(memory_format=torch.channels_last).train()
