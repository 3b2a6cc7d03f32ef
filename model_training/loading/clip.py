"""The one loader of CLIP models: folders in open_clip's layout, repositories on the hub, open_clip's own names.

clip = load_model("runs/tiny/models/clean")
clip.network.encode_image(clip.preprocess(picture)[None])
clip.network.encode_text(clip.tokenizer(["a dog"]))
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from salmu.data.errors import UserError
from salmu.model_training.loading.configuration import Configuration, build, read_configuration
from salmu.model_training.loading.folders import (
    CONFIGURATION,
    HUB,
    MAY_NAME_CODE,
    fetched,
    local_folder,
    require_data_only,
)
from salmu.model_training.loading.tokenizer import SPECIAL, TOKENIZER, read_tokenizer
from salmu.model_training.loading.weights import PREFERRED, fit, read_weights, weights_digest, weights_file

DOCUMENTS = [CONFIGURATION, TOKENIZER, SPECIAL, *MAY_NAME_CODE]
HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class ClipModel(NamedTuple):
    """An open_clip model in evaluation mode with what belongs to it."""

    name: str
    network: torch.nn.Module
    preprocess: Callable[[Image.Image], torch.Tensor]  # image of any size -> float [3, side, side]
    tokenizer: Callable[[list[str]], torch.Tensor]  # texts -> token ids [n, context]
    device: str

    @property
    def weights_digest(self) -> str:
        """The digest of all weights; it does not depend on the file."""
        return weights_digest(self.network.state_dict())


def load_model(name: str | Path, device: str | torch.device = "cpu") -> ClipModel:
    """The model that `name` stands for: a folder in open_clip's layout (also as `local-dir:FOLDER`),
    `hf-hub:OWNER/MODEL`, or `ARCHITECTURE/PRETRAINED`, where PRETRAINED is one of open_clip's tags or the path of a
    checkpoint.

    Of a folder and of a repository only data is read: configuration, tokenizer.json, weights. A folder never leads to
    the network. Raises UserError of one line if there is no such model, if its files are missing, damaged, name code,
    or do not fit each other, and if weights or embeddings are not finite."""
    name, device = str(name), torch.device(device)
    folder = local_folder(name)
    if folder is None and name.startswith(HUB):
        folder = hub_folder(name.removeprefix(HUB))
    try:
        network, preprocess, tokenizer = _from_folder(folder) if folder else _by_name(name)
        network = network.to(device).eval()
    except UserError:
        raise
    except Exception as error:  # open_clip, timm, torch and the hub raise many types; all mean: unusable
        raise UserError(f"model {name}: cannot be loaded: {type(error).__name__}: {str(error)[:300]}") from None
    clip = ClipModel(name, network, preprocess, tokenizer, str(device))
    _require_sound(clip)
    return clip


def hub_folder(repository: str) -> Path:
    """The files that are used, of those that a repository has: the documents, and one file of weights."""
    folder = fetched(repository, [*DOCUMENTS, HUB_WEIGHTS[0]])
    if not any((folder / name).is_file() for name in PREFERRED):
        folder = fetched(repository, [*DOCUMENTS, HUB_WEIGHTS[1]])
    return folder


def _from_folder(folder: Path):
    """Network, preprocessing and tokenizer, as open_clip's own functions give them for "local-dir:FOLDER"."""
    if not folder.is_dir():
        raise UserError(f"model {folder}: no such folder")
    require_data_only(folder)
    configuration = read_configuration(folder)
    tokenizer = read_tokenizer(folder, configuration.model_cfg.text_cfg)
    path = weights_file(folder)
    try:
        with torch.device("meta"):  # no memory is taken before the weights are known to fit
            outline = build(configuration.model_cfg)
    except (Exception, RecursionError) as error:  # sizes that do not go together, in open_clip, timm or torch
        raise UserError(
            f"{folder / CONFIGURATION}: no network can be built from it: {type(error).__name__}: {str(error)[:150]}"
        ) from None
    weights = fit(outline, read_weights(path), path)
    network = build(configuration.model_cfg)
    network.load_state_dict(weights)
    return network, _preprocess(network, configuration), tokenizer


def _preprocess(network: torch.nn.Module, configuration: Configuration) -> Callable[[Image.Image], torch.Tensor]:
    from open_clip.model import set_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

    given = configuration.preprocess_cfg.model_dump(exclude_none=True) | {"size": network.visual.image_size}
    chosen = merge_preprocess_dict(asdict(PreprocessCfg()), given)
    set_model_preprocess_cfg(network, chosen)
    return image_transform_v2(PreprocessCfg(**chosen), is_train=False)


def _by_name(name: str):
    """The same of one of open_clip's own architectures; weights by one of its tags, or from a file."""
    import open_clip

    architecture, _, pretrained = name.partition("/")
    if architecture not in open_clip.list_models():
        raise UserError(
            f"model {name}: neither a folder in open_clip's layout, nor hf-hub:OWNER/MODEL, nor ARCHITECTURE/PRETRAINED"
        )
    if not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)[:5])
        raise UserError(f"model {name}: names no weights; give {architecture}/PRETRAINED (tags: {tags})")
    path = Path(pretrained).expanduser()
    if path.is_file():
        network, _, preprocess = open_clip.create_model_and_transforms(architecture, pretrained_text=False)
        network.load_state_dict(fit(network, read_weights(path), path))
    else:
        network, _, preprocess = open_clip.create_model_and_transforms(
            architecture, pretrained, require_pretrained=True
        )
    named = open_clip.get_model_config(architecture)["text_cfg"].get("hf_tokenizer_name")
    return network, preprocess, open_clip.get_tokenizer(architecture, **{"trust_remote_code": False} if named else {})


@torch.no_grad()
def _require_sound(clip: ClipModel) -> None:
    """Encode a picture and three texts. Raises UserError where tokens and network do not go together, or what comes out
    is not finite, or zero."""
    texts = ["", "a photo of a dog", "long " * 5000]
    try:
        tokens = clip.tokenizer(texts).to(clip.device)
        picture = clip.preprocess(Image.new("RGB", (48, 64), (200, 120, 40)))[None].to(clip.device)
        text, image = clip.network.encode_text(tokens).float(), clip.network.encode_image(picture).float()
    except (Exception, RecursionError) as error:
        raise UserError(
            f"model {clip.name}: tokenizer, network and picture size do not fit together: {type(error).__name__}: "
            f"{str(error)[:150]}"
        ) from None
    own = getattr(clip.network, "text", None)  # a text tower of its own, or the network's
    pool = own.pool_type if hasattr(own, "pool_type") else getattr(clip.network, "text_pool_type", None)
    end = own.eos_id if hasattr(own, "eos_id") else getattr(clip.network, "text_eos_id", None)
    if pool == "eos" and not (tokens == end).any(dim=1).all():
        raise UserError(
            f"model {clip.name}: the network reads a text at its end token, id {end}, which its tokenizer does not put "
            "there; the tokenizer is another model's"
        )
    for kind, values in (("text", text), ("image", image)):
        if not torch.isfinite(values).all():
            raise UserError(f"model {clip.name}: its {kind} embeddings are not finite (NaN or infinite); it is broken")
        if not values.any(dim=1).all():
            raise UserError(f"model {clip.name}: its {kind} embeddings are zero; it is broken")
