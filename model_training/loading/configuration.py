"""What open_clip_config.json may hold: the fields of open_clip 3.3, each within sensible bounds.

Unknown keys are refused: they would be arguments of constructors. A value that is not given stays open_clip's default.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveFloat

from salmu.data.documents import MIB, loaded
from salmu.data.errors import UserError
from salmu.data.settings import Settings
from salmu.model_training.loading.folders import CONFIGURATION

if TYPE_CHECKING:
    import torch

Width = Annotated[int, Field(ge=1, le=16384)]
Heads = Annotated[int, Field(ge=1, le=256)]
Layers = Annotated[int, Field(ge=1, le=128)]
Side = Annotated[int, Field(ge=1, le=2048)]  # pixels
Square = Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
Share = Annotated[float, Field(ge=0, lt=1)]
Ratio = Annotated[float, Field(gt=0, le=16)]
Number = Annotated[float, Field(ge=-1000, le=1000)]
Channels = Annotated[list[Number], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=3, max_length=3)]


class Part(Settings):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Activation(Part):
    approximate: Literal["none", "tanh"] = "none"


class Norm(Part):
    eps: PositiveFloat = 1e-5


class Tower(Part):
    """What both towers may have."""

    width: Width = 512
    mlp_ratio: Ratio = 4.0
    ls_init_value: Number | None = None
    final_ln_after_pool: bool = False
    output_tokens: bool = False
    act_kwargs: Activation | None = None
    norm_kwargs: Norm | None = None
    block_type: Literal["default", "custom"] | None = None
    qk_norm: bool = False
    scaled_cosine_attn: bool = False
    scale_heads: bool = False
    scale_attn_inner: bool = False
    scale_attn: bool = False
    scale_fc: bool = False


class Vision(Tower):
    image_size: Square = 224
    layers: Layers | Annotated[list[Layers], Field(min_length=4, max_length=4)] = 12
    head_width: Width = 64
    patch_size: Side | None = 16
    patch_dropout: Share = 0.0
    attentional_pool: bool | Literal["parallel", "cascade"] = False
    attn_pooler_queries: Annotated[int, Field(ge=1, le=4096)] = 256
    attn_pooler_heads: Heads = 8
    no_ln_pre: bool = False
    pos_embed_type: Literal["learnable", "sin_cos_2d"] = "learnable"
    pool_type: Literal["tok", "avg", "none"] = "tok"
    timm_model_name: str | None = Field(None, max_length=100)
    timm_model_pretrained: bool = False  # never followed: the weights are those of the folder
    timm_pool: str = Field("avg", pattern=r"^[a-z_]{0,20}$")
    timm_proj: Literal["linear", "mlp", "none", ""] | None = "linear"
    timm_proj_bias: bool = False
    timm_drop: Share = 0.0
    timm_drop_path: Share | None = None


class TokenizerArguments(Part):
    clean: Literal["canonicalize", "lower", "whitespace"] | None = None
    strip_sep_token: bool = False


class Text(Tower):
    context_length: Annotated[int, Field(ge=1, le=4096)] = 77
    vocab_size: Annotated[int, Field(ge=1, le=2_000_000)] = 49408
    hf_tokenizer_name: str | None = Field(None, max_length=1000)  # only whether there is one matters
    tokenizer_mode: Literal[""] | None = None
    tokenizer_kwargs: TokenizerArguments | None = None
    layers: Layers = 12
    heads: Heads = 8
    embed_cls: bool = False
    pad_id: Annotated[int, Field(ge=0)] = 0
    eos_id: Annotated[int, Field(ge=0)] = 2
    no_causal_mask: bool = False
    pool_type: Literal["first", "last", "argmax", "eos", "none"] = "argmax"
    proj_bias: bool = False
    proj_type: Literal["linear", "none"] = "linear"
    hf_model_name: str | None = Field(None, max_length=1000)  # refused below
    hf_model_pretrained: bool = True
    hf_proj_type: str | None = Field("mlp", max_length=100)
    hf_pooler_type: str | None = Field("mean_pooler", max_length=100)


class Decoder(Text):
    """CoCa's caption decoder."""

    dim_head: Width = 64
    n_queries: Annotated[int, Field(ge=1, le=4096)] = 256
    attn_pooler_heads: Heads = 8


class Model(Part):
    embed_dim: Width
    vision_cfg: Vision
    text_cfg: Text
    multimodal_cfg: Decoder | None = None
    custom_text: bool = False
    quick_gelu: bool = False
    init_logit_scale: Number = 2.6593
    init_logit_bias: Number | None = None
    nonscalar_logit_scale: bool = False


class Preprocess(Part):
    size: Square | None = None  # that of the network counts
    mode: Literal["RGB"] | None = None
    mean: Channels | None = None
    std: Deviations | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: Annotated[int, Field(ge=0, le=255)] | None = None


class Configuration(Part):
    model_cfg: Model
    preprocess_cfg: Preprocess = Preprocess()


def read_configuration(folder: Path) -> Configuration:
    """The configuration of a folder in open_clip's layout. Raises UserError if it is missing, too large, holds unknown
    keys or values out of bounds, or names a network that lies elsewhere."""
    path = folder / CONFIGURATION
    if not path.is_file():
        raise UserError(f"model {folder}: no {CONFIGURATION}; a folder in open_clip's layout is expected")
    configuration = loaded(path, Configuration, MIB)
    require_own_towers(configuration.model_cfg, path)
    return configuration


def require_own_towers(model: Model, path: Path) -> None:
    """Raises UserError where a tower's network would come from elsewhere, or from a name that timm does not have."""
    import timm

    if model.text_cfg.hf_model_name:
        raise UserError(
            f"{path}: model_cfg.text_cfg.hf_model_name names a text tower of another repository, which is never "
            "fetched or run; use a model whose towers are open_clip's own"
        )
    name = model.vision_cfg.timm_model_name
    if name and (":" in name or "/" in name or not timm.is_model(name)):
        raise UserError(f"{path}: model_cfg.vision_cfg.timm_model_name {name!r} is no model of timm {timm.__version__}")


def build(model: Model) -> "torch.nn.Module":
    """open_clip's network of a configuration, with random weights. Raises what torch, timm and open_clip raise for
    sizes that do not go together."""
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    arguments: dict[str, Any] = model.model_dump(exclude_unset=True)
    arguments["vision_cfg"].pop("timm_model_pretrained", None)
    custom = arguments.pop("custom_text", False)
    kind = CLIP if not custom else CoCa if model.multimodal_cfg else CustomTextCLIP
    return kind(**arguments)
