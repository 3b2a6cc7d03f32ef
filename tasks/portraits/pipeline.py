"""Loads a diffusion pipeline with IP-Adapter-FaceID: checks that its parts belong together and fuses the LoRA."""

import importlib
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from salmu.data.errors import UserError
from salmu.tasks.devices import torch_device
from salmu.tasks.portraits.adapter import Adapter, check_fit, read_adapter
from salmu.tasks.portraits.faceid import FAMILIES, FaceIDSettings, Family, Parts, parts
from salmu.tasks.sources import Source

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LORA = "faceid_0"  # diffusers' name of the LoRA that comes with the first adapter


class Engine(NamedTuple):
    """What is loaded once a process."""

    pipe: Any  # StableDiffusionPipeline or StableDiffusionXLPipeline, one row of face embeddings a prompt
    encoder: Any  # CLIPVisionModelWithProjection, or None
    checker: Any  # StableDiffusionSafetyChecker and its image processor, or None
    device: torch.device
    dtype: torch.dtype
    negative: str  # key in prompts/portraits.yaml


class OneFaceAPrompt:
    """Makes a pipeline take one row of face embeddings a prompt; diffusers' own repeat one face for all prompts."""

    def prepare_ip_adapter_image_embeds(
        self, ip_adapter_image, ip_adapter_image_embeds, device, num_images_per_prompt, do_classifier_free_guidance
    ):
        return [embeddings.to(device) for embeddings in ip_adapter_image_embeds]


def load(settings: FaceIDSettings, engine: str) -> Engine:
    """The pipeline with adapter, fused LoRA and scheduler, ready on its device.

    Raises UserError if a package or a file is missing, or if the parts do not belong together."""
    diffusers, transformers = _packages()
    device = torch_device(settings.device)
    dtype = _dtype(settings.dtype, device)
    found, family = parts(settings, engine), FAMILIES[engine]
    path = found.adapter.file(found.adapter_file)
    adapter = read_adapter(path)
    with _quiet(diffusers, transformers):
        _check(adapter, path, found, family, engine, diffusers, transformers)
        pipe = _pipeline(diffusers, found, family, dtype)
        _add_adapter(pipe, adapter, path, settings)
        pipe.scheduler = make_scheduler(diffusers, settings.scheduler, pipe.scheduler.config)
        encoder = checker = None
        if found.image_encoder is not None:
            encoder = _load(transformers.CLIPVisionModelWithProjection, found.image_encoder, dtype=dtype)
            encoder = encoder.to(device).eval()
        if found.safety_checker is not None:
            checker = _safety_checker(transformers, found.safety_checker, device, dtype)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(device)
    if settings.channels_last and device.type == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    if settings.compile:
        pipe.unet.compile_repeated_blocks(fullgraph=True, dynamic=True)
    return Engine(pipe, encoder, checker, device, dtype, family.negative)


def _packages() -> list[Any]:
    """diffusers and transformers. Without peft diffusers would leave the LoRA out with no more than a warning."""
    for name in ("diffusers", "transformers", "accelerate", "peft"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"portraits.engine: the package {name} is missing or broken ({error}); run: "
                'pip install "salmu[portraits]"'
            ) from None
    return [importlib.import_module(name) for name in ("diffusers", "transformers")]


def _dtype(wanted: str, device: torch.device) -> torch.dtype:
    if wanted != "auto":
        return DTYPES[wanted]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def _quiet(*packages):
    """No progress bars and no warnings about what is right here (a LoRA without keys for the text encoder)."""
    levels = [package.logging.get_verbosity() for package in packages]
    for package in packages:
        package.logging.set_verbosity_error()
        package.logging.disable_progress_bar()
    try:
        yield
    finally:
        for package, level in zip(packages, levels):
            package.logging.set_verbosity(level)
            package.logging.enable_progress_bar()


def _check(adapter: Adapter, path: Path, found: Parts, family: Family, engine: str, diffusers, transformers) -> None:
    """Whether the parts belong together, from their configurations alone."""
    pipeline = _load(diffusers.DiffusionPipeline, found.base, "load_config").get("_class_name", "")
    unet = _load(diffusers.UNet2DConditionModel, found.base, "load_config", subfolder="unet")
    check_fit(adapter, path, found.base.name, unet["cross_attention_dim"])
    if ("XL" in pipeline) != ("XL" in family.pipeline):
        (other,) = set(FAMILIES) - {engine}
        raise UserError(
            f"portraits.faceid.base: {found.base.name} is a {pipeline}, engine {engine!r} needs a {family.pipeline}; "
            f"set portraits.engine to {other!r}, or name another base"
        )
    if (adapter.structure is None) != (found.image_encoder is None):
        kind, needed = ("plain FaceID", "FaceID Plus v2") if found.image_encoder else ("FaceID Plus", "plain FaceID")
        raise UserError(
            f"{path}: a {kind} checkpoint, engine {engine!r} needs {needed}; set portraits.faceid.adapter_file to "
            f"{family.adapter_file}"
        )
    if found.image_encoder is not None:
        found.image_encoder.file("config.json")  # transformers takes its own defaults where there is none
        width = _load(transformers.CLIPVisionConfig, found.image_encoder).hidden_size
        if width != adapter.structure:
            raise UserError(
                f"portraits.faceid.image_encoder: {found.image_encoder.name} has hidden states of {width} values, "
                f"{path.name} was made for {adapter.structure}; the published adapters need "
                "laion/CLIP-ViT-H-14-laion2B-s32B-b79K (1280)"
            )


def _load(cls, part: Source, how: str = "from_pretrained", **options):
    """A configuration or a model from its part. Raises UserError if it is not there or not of this kind."""
    if part.commit is not None:
        options["revision"] = part.commit
    try:
        return getattr(cls, how)(part.name, local_files_only=part.commit is None, **options)
    except Exception as error:  # files, hub and weights, each with errors of its own
        raise part.unusable(error) from None


def _pipeline(diffusers, found: Parts, family: Family, dtype: torch.dtype):
    cls = type("FaceIDPipeline", (OneFaceAPrompt, getattr(diffusers, family.pipeline)), {})
    options: dict[str, Any] = {"dtype": dtype}
    if found.vae is not None:
        options["vae"] = _load(diffusers.AutoencoderKL, found.vae, dtype=dtype)
    if "XL" not in family.pipeline:
        options |= {"safety_checker": None, "requires_safety_checker": False}  # ours looks at every engine's pictures
    return _load(cls, found.base, **options)


def _add_adapter(pipe, adapter: Adapter, path: Path, settings: FaceIDSettings) -> None:
    """Load the adapter's weights and fuse its LoRA, which must not be lost in silence."""
    if settings.lora and not adapter.lora:
        raise UserError(f"{path}: the checkpoint has no LoRA; set portraits.faceid.lora to 0 to continue without one")
    try:
        pipe.load_ip_adapter(adapter.weights, subfolder=None, weight_name=None, image_encoder_folder=None)
    except Exception as error:  # a checkpoint whose layers are not the base model's
        raise UserError(
            f"{path}: does not fit portraits.faceid.base, name the two that belong together: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None
    pipe.set_ip_adapter_scale(settings.face_scale)
    if not adapter.lora:
        return
    if pipe.get_active_adapters() != [LORA]:
        raise UserError(
            f'{path}: its LoRA was not loaded (peft missing or too old?); run: pip install "salmu[portraits]"'
        )
    if settings.lora:
        pipe.fuse_lora(adapter_names=[LORA], lora_scale=settings.lora)
    pipe.unload_lora_weights()


def make_scheduler(diffusers, name: str, config):
    if name == "ddim":
        return diffusers.DDIMScheduler.from_config(config)
    return diffusers.DPMSolverMultistepScheduler.from_config(
        config, algorithm_type="dpmsolver++", use_karras_sigmas=True
    )


def _safety_checker(transformers, part: Source, device: torch.device, dtype: torch.dtype):
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

    logging.getLogger(StableDiffusionSafetyChecker.__module__).setLevel(logging.ERROR)  # each flag is a reject here
    checker = _load(StableDiffusionSafetyChecker, part, dtype=dtype).to(device).eval()
    return checker, _load(transformers.CLIPImageProcessor, part)
