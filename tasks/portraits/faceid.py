"""The portrait engines `ip_adapter_faceid_plus` and `ip_adapter_faceid_sdxl`: settings, parts, revisions, licences.

IP-Adapter-FaceID (Ye et al. 2023, arXiv 2308.06721; weights h94/IP-Adapter-FaceID) puts a face into a diffusion model
by cross-attention to tokens made of its ArcFace embedding; Plus v2 adds the face's structure, as CLIP sees the aligned
face, with a weight of its own. Both carry a LoRA. The anchors' embeddings must come from insightface's buffalo_l, with
which the adapters were trained."""

from importlib.metadata import version
from typing import Literal, NamedTuple

from pydantic import Field

from salmu.data.licences import Model, model
from salmu.data.settings import NOT_IN_FINGERPRINT, Settings
from salmu.prompts import loader
from salmu.tasks.devices import Device
from salmu.tasks.sources import Source, source

PLUS, SDXL = "ip_adapter_faceid_plus", "ip_adapter_faceid_sdxl"


class Family(NamedTuple):
    """An engine's published parts: those of the adapter card's own example."""

    pipeline: str  # class in diffusers
    base: str
    vae: str | None  # in the place of the base's
    adapter_file: str
    negative: str  # key in prompts/portraits.yaml


FAMILIES = {
    PLUS: Family(
        "StableDiffusionPipeline",
        "SG161222/Realistic_Vision_V4.0_noVAE",
        "stabilityai/sd-vae-ft-mse",
        "ip-adapter-faceid-plusv2_sd15.bin",
        "sd15",
    ),
    SDXL: Family("StableDiffusionXLPipeline", "SG161222/RealVisXL_V3.0", None, "ip-adapter-faceid_sdxl.bin", "sdxl"),
}


def _part(default: str | None, description: str):
    """A setting that says where weights lie: their content, not the name, decides the output (see `revisions`)."""
    return Field(default, description=description, json_schema_extra=NOT_IN_FINGERPRINT)


class FaceIDSettings(Settings):
    """Which diffusion model draws, and how. A part is a folder or a hub id; a folder is never looked up in the hub."""

    base: str | None = _part(
        None,
        "Base model in diffusers' layout; unless given, that of the adapter card's example: "
        f"{FAMILIES[PLUS].base} with the VAE {FAMILIES[PLUS].vae}, or {FAMILIES[SDXL].base}.",
    )
    base_revision: str | None = _part(None, "Commit, tag or branch of the base model in the hub.")
    vae: str | None = _part(None, "VAE in the place of the base model's.")
    vae_revision: str | None = _part(None, "Commit, tag or branch of the VAE in the hub.")
    adapter: str = _part("h94/IP-Adapter-FaceID", "Folder or hub id with the adapter's checkpoint.")
    adapter_file: str | None = _part(
        None, f"Its file; unless given, {FAMILIES[PLUS].adapter_file} or {FAMILIES[SDXL].adapter_file}."
    )
    adapter_revision: str | None = _part(None, "Commit, tag or branch of the adapter in the hub.")
    image_encoder: str = _part(
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "CLIP vision model for the face's structure (Plus v2)."
    )
    image_encoder_revision: str | None = _part(None, "Commit, tag or branch of the image encoder in the hub.")
    safety_checker: str | None = _part(
        None, "Safety checker (CompVis/stable-diffusion-safety-checker); flagged portraits are rejected. None: off."
    )
    safety_checker_revision: str | None = _part(None, "Commit, tag or branch of the safety checker in the hub.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU that has it, else float16; float32 on the CPU."
    )
    device: Device = Field("auto", description="Where it computes; auto: CUDA where it is available.")
    steps: int = Field(
        30, ge=1, le=100, description="Denoising steps. With most numbers over 100, ddim would not begin at full noise."
    )
    guidance: float = Field(
        6.0, gt=1, le=50, description="Classifier-free guidance: how closely the prompt is followed."
    )
    face_scale: float = Field(0.8, ge=0, le=2, description="Weight of the face tokens in cross-attention.")
    structure_scale: float = Field(1.0, ge=0, le=5, description="Weight of the face's structure (Plus v2).")
    scheduler: Literal["dpm++", "ddim"] = Field(
        "dpm++", description="dpm++: DPM-Solver++ (2M) with Karras sigmas; ddim: as in the adapter card's example."
    )
    lora: float = Field(1.0, ge=0, le=2, description="Strength with which the adapter's LoRA is fused; 0: left out.")
    batch_size: int = Field(16, ge=1, le=512, description="Portraits of one size made together.")
    size_multiple: int = Field(
        64, ge=8, multiple_of=8, description="Widths and heights are multiples of this, in pixels."
    )
    compile: bool = Field(False, description="Compile the UNet's blocks with torch.compile: minutes once, then faster.")
    channels_last: bool = Field(True, description="Keep the UNet's and the VAE's tensors channels last on a GPU.")


class Parts(NamedTuple):
    base: Source
    vae: Source | None
    adapter: Source
    adapter_file: str
    image_encoder: Source | None  # of Plus v2
    safety_checker: Source | None


def parts(settings: FaceIDSettings, engine: str) -> Parts:
    """Where everything comes from. Raises UserError for a name that is neither a folder nor a hub id."""
    family = FAMILIES[engine]
    named = {
        "base": settings.base or family.base,
        "vae": settings.vae or (None if settings.base else family.vae),
        "adapter": settings.adapter,
        "image_encoder": settings.image_encoder if engine == PLUS else None,
        "safety_checker": settings.safety_checker,
    }
    sources = {
        key: name and source(f"portraits.faceid.{key}", name, getattr(settings, f"{key}_revision"))
        for key, name in named.items()
    }
    return Parts(**sources, adapter_file=settings.adapter_file or family.adapter_file)


def revisions(settings: FaceIDSettings, engine: str) -> dict[str, str]:
    """What decides the pixels beside the settings: weights, prompts, and the packages that compute."""
    found = parts(settings, engine)
    weights = {key: part.revision() for key in PARTS if (part := getattr(found, key)) is not None}
    adapter = f"{found.adapter_file} {found.adapter.revision(found.adapter_file)}"
    packages = {name: version(name).partition("+")[0] for name in ("diffusers", "torch", "transformers")}
    return weights | {"adapter": adapter, "prompts": loader.digest("portraits")} | packages


PARTS = {
    "base": "portraits: base diffusion model",
    "vae": "portraits: decoder of the base model",
    "image_encoder": "portraits: structure of the face",
    "safety_checker": "portraits: flags unsafe pictures",
}


def models(settings: FaceIDSettings, engine: str) -> list[Model]:
    """The weights with their licences."""
    found = parts(settings, engine)
    weights = [
        model(part.name, part.commit or "folder", use) for key, use in PARTS.items() if (part := getattr(found, key))
    ]
    adapter = model(
        f"{found.adapter.name}/{found.adapter_file}", found.adapter.commit or "folder", "portraits: face adapter"
    )
    return [*weights, adapter]
