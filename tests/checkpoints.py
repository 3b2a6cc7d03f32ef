"""Makes the checkpoints of stages 1 to 3 in their published layouts, with random weights: tiny ones for the tests, the
true shapes for benchmarks. Each `make_x(folder)` writes into the folder and gives the path that the settings name."""

import gzip
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from face_pack import make_face_pack  # noqa: F401

import salmu  # noqa: F401  torchvision_compat is in place before anybody imports torchvision

ROOT = Path(__file__).parent.parent
FACE_IDENTITY = 512  # values of a face embedding
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")


class Shapes(NamedTuple):
    """What sizes a Stable Diffusion 1.5 pipeline with FaceID Plus v2."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    vision: dict[str, Any]
    rank: int  # of FaceID's LoRA
    merges: int  # of CLIP's tokenizer: the first so many
    dtype: torch.dtype


_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
}
TINY = Shapes(
    unet={
        "sample_size": 8,
        "layers_per_block": 1,
        "block_out_channels": (32, 64),
        "norm_num_groups": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 64,
        "attention_head_dim": 8,
    },
    vae={"block_out_channels": (16, 16, 32, 32), "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 64} | _VAE,
    text={"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    vision={
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 32,
    },
    rank=4,
    merges=16000,
    dtype=torch.float32,
)
TRUE = Shapes(  # 859.5, 83.7, 123.1 and 632.1 million parameters
    unet={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    vae={"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512} | _VAE,
    text={"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    vision={
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    },
    rank=128,
    merges=48894,
    dtype=torch.bfloat16,
)


@contextmanager
def seeded(seed: int, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """Random weights by this seed and of this type; leaves torch's own generator as it was."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def clip_tokenizer(folder: Path, merges: int):
    """CLIP's own tokenizer, cut to its first merges, from the vocabulary file in open_clip."""
    import open_clip
    from open_clip.tokenizer import bytes_to_unicode
    from transformers import CLIPTokenizer

    path = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : merges + 1]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(line.split()) for line in lines)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def _text_config(tokenizer, **sizes):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )


def scheduler():
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def make_sd15(folder: Path, shapes: Shapes = TINY) -> Path:
    """A Stable Diffusion 1.5 pipeline in diffusers' layout, without a safety checker."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    folder = Path(folder)
    tokenizer = clip_tokenizer(folder / "tokenizer", shapes.merges)
    with seeded(15, shapes.dtype):
        pipe = StableDiffusionPipeline(
            vae=AutoencoderKL(**shapes.vae),
            text_encoder=CLIPTextModel(_text_config(tokenizer, **shapes.text)),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(**shapes.unet),
            scheduler=scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.save_pretrained(folder)
    return folder


def make_sdxl(folder: Path) -> Path:
    """A tiny Stable Diffusion XL pipeline in diffusers' layout; wider cross-attention than the tiny SD 1.5."""
    from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    folder = Path(folder)
    tokenizers = [clip_tokenizer(folder / name, TINY.merges) for name in ("tokenizer", "tokenizer_2")]
    with seeded(20):
        pipe = StableDiffusionXLPipeline(
            vae=AutoencoderKL(**TINY.vae),
            text_encoder=CLIPTextModel(_text_config(tokenizers[0], **TINY.text)),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizers[1], **TINY.text, projection_dim=32)),
            tokenizer=tokenizers[0],
            tokenizer_2=tokenizers[1],
            unet=UNet2DConditionModel(
                **TINY.unet
                | {
                    "cross_attention_dim": 128,  # both text encoders side by side
                    "addition_embed_type": "text_time",
                    "addition_time_embed_dim": 8,
                    "projection_class_embeddings_input_dim": 32 + 6 * 8,
                    "use_linear_projection": True,
                }
            ),
            scheduler=scheduler(),
        )
    pipe.save_pretrained(folder)
    return folder


def make_image_encoder(folder: Path, shapes: Shapes = TINY, hidden_size: int | None = None) -> Path:
    """A CLIP vision model and its image processor in transformers' layout (CLIP-ViT-H-14-laion2B-s32B-b79K)."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = shapes.vision | ({"hidden_size": hidden_size} if hidden_size else {})
    with seeded(14, shapes.dtype):
        CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)).save_pretrained(folder)
    side = sizes["image_size"]
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(folder)
    return Path(folder)


def make_faceid_plus(folder: Path, base: Path, shapes: Shapes = TINY, lora: bool = True) -> Path:
    """ip-adapter-faceid-plusv2_sd15.bin for this base pipeline, in a folder of its own."""
    cross, clip = _cross_attention(base), shapes.vision["hidden_size"]
    resampler = {"proj_in": (cross, clip), "proj_out": (cross, cross), "norm_out": (cross,)}
    for layer in range(4):
        block = f"layers.{layer}"
        resampler |= {f"{block}.0.norm1": (cross,), f"{block}.0.norm2": (cross,), f"{block}.1.0": (cross,)}
        resampler |= {f"{block}.0.to_q": (cross, cross), f"{block}.0.to_kv": (2 * cross, cross)}
        resampler |= {f"{block}.0.to_out": (cross, cross)}
        resampler |= {f"{block}.1.1": (4 * cross, cross), f"{block}.1.3": (cross, 4 * cross)}
    without_bias = ("to_q", "to_kv", "to_out", ".1.1", ".1.3")
    with seeded(7):
        projection = _face_projection(cross)
        for name, size in resampler.items():
            projection |= _layer(f"perceiver_resampler.{name}", size, bias=not name.endswith(without_bias))
        weights = {"image_proj": projection, "ip_adapter": _attention(base, cross, shapes.rank, lora)}
    return _saved(weights, folder, "ip-adapter-faceid-plusv2_sd15.bin", shapes.dtype)


def make_faceid_sdxl(folder: Path, base: Path, lora: bool = True) -> Path:
    """ip-adapter-faceid_sdxl.bin for this base pipeline, in a folder of its own: no CLIP branch."""
    cross = _cross_attention(base)
    with seeded(8):
        weights = {"image_proj": _face_projection(cross), "ip_adapter": _attention(base, cross, TINY.rank, lora)}
    return _saved(weights, folder, "ip-adapter-faceid_sdxl.bin", TINY.dtype)


def _saved(weights: dict, folder: Path, name: str, dtype: torch.dtype) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {part: {key: value.to(dtype) for key, value in of.items()} for part, of in weights.items()}, folder / name
    )
    return folder


def _cross_attention(base: Path) -> int:
    return json.loads((Path(base) / "unet" / "config.json").read_text())["cross_attention_dim"]


def _layer(name: str, size: tuple[int, ...], bias: bool = True) -> dict[str, torch.Tensor]:
    """A linear layer, or with one size a layer norm."""
    weight = torch.ones(size) if len(size) == 1 else torch.randn(size) * 0.5 * size[1] ** -0.5
    return {f"{name}.weight": weight} | ({f"{name}.bias": torch.zeros(size[0])} if bias else {})


def _face_projection(cross: int) -> dict[str, torch.Tensor]:
    """Face embedding -> four tokens."""
    first = _layer("proj.0", (2 * FACE_IDENTITY, FACE_IDENTITY))
    return first | _layer("proj.2", (4 * cross, 2 * FACE_IDENTITY)) | _layer("norm", (cross,))


def _attention(base: Path, cross: int, rank: int, lora: bool) -> dict[str, torch.Tensor]:
    """Keys and values of the face tokens for each cross-attention, and the LoRA of every attention."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(base, subfolder="unet"))
    weights = {}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        hidden, text = attention.to_q.in_features, attention.to_k.in_features
        if lora:
            for part, size in {"to_q": hidden, "to_k": text, "to_v": text, "to_out": hidden}.items():
                weights |= _layer(f"{number}.{part}_lora.down", (rank, size), bias=False)
                weights |= _layer(f"{number}.{part}_lora.up", (hidden, rank), bias=False)
        if name.endswith("attn2.processor"):
            weights |= _layer(f"{number}.to_k_ip", (hidden, cross), bias=False)
            weights |= _layer(f"{number}.to_v_ip", (hidden, cross), bias=False)
    return weights


def make_safety_checker(folder: Path, flags: bool) -> Path:
    """A safety checker that flags every picture, or none, with its image processor."""
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    tower = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "projection_dim": 32}
    vision = tower | {"num_hidden_layers": 2, "image_size": 32, "patch_size": 8}
    with seeded(18):
        checker = StableDiffusionSafetyChecker(
            CLIPConfig(
                projection_dim=32, vision_config=vision, text_config=tower | {"num_hidden_layers": 1, "vocab_size": 99}
            )
        )
    threshold = -10.0 if flags else 10.0  # a cosine lies between
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(threshold)
    checker.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return Path(folder)


def make_fairface(folder: Path) -> Path:
    """FairFace's published network: a ResNet-34 with 18 outputs (7 regions, 2 genders, 9 ages) as a state dict."""
    from torchvision.models import resnet34

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with seeded(34):
        network = resnet34(weights=None, num_classes=18)
    path = folder / "res34_fair_align_multi_7_20190809.pt"
    torch.save(network.state_dict(), path)
    return path


def make_fairface_vit(folder: Path, labels: tuple[str, ...] = AGES) -> Path:
    """A transformers image classifier with these labels (published ones answer one question each)."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    with seeded(16):
        ViTForImageClassification(
            ViTConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                image_size=32,
                patch_size=8,
                id2label=dict(enumerate(labels)),
                label2id={label: number for number, label in enumerate(labels)},
            )
        ).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return Path(folder)


def make_clip(folder: Path) -> Path:
    """A CLIP model of random weights in open_clip's layout (local-dir:), with the embedded model's tokenizer."""
    import open_clip
    from safetensors.torch import save_file

    folder, embedded = Path(folder), ROOT / "data" / "models" / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded / name, folder / name)
    config = json.loads((embedded / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 64
    config["model_cfg"]["vision_cfg"] = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1))
    with seeded(4):
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
