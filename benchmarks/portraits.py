"""Portraits a second of the engine ip_adapter_faceid_plus, against the loop of the adapter's card in the same run: one
prompt at a time through diffusers' own pipeline. Random weights; the speed does not depend on their values.

python benchmarks/portraits.py --device cuda --minutes 5    true shapes of Stable Diffusion 1.5, 512 pixels, 30 steps
python benchmarks/portraits.py --tiny                       tiny weights on the CPU, in a minute: shows that it runs

Prints a Markdown table and writes benchmarks/portraits.json."""

import argparse
import io
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import checkpoints  # noqa: E402

from salmu.data import keyed  # noqa: E402
from salmu.tasks.devices import torch_device  # noqa: E402
from salmu.tasks.faces import aligned_crop  # noqa: E402
from salmu.tasks.portraits import generate, pipeline, prompts  # noqa: E402
from salmu.tasks.portraits.faceid import PLUS, FaceIDSettings  # noqa: E402

IDENTITIES = 8
LANDMARKS = [95, 100, 160, 100, 128, 135, 102, 165, 154, 165]


def weights(folder: Path, tiny: bool) -> dict[str, str]:
    """Random checkpoints in the published layouts; the settings that name them."""
    shapes = checkpoints.TINY if tiny else checkpoints.TRUE
    base = checkpoints.make_sd15(folder / "base", shapes)
    adapter = checkpoints.make_faceid_plus(folder / "adapter", base, shapes)
    encoder = checkpoints.make_image_encoder(folder / "encoder", shapes)
    return {"base": str(base), "adapter": str(adapter), "image_encoder": str(encoder)}


def anchors() -> dict[str, dict[str, Any]]:
    """Identities with noise for a picture."""
    found = {}
    for number in range(IDENTITIES):
        rng, sink = keyed.generator("anchor", number), io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)).save(sink, "PNG")
        face = rng.normal(size=512)
        found[f"{number:08}"] = {
            "image": sink.getvalue(),
            "landmarks": LANDMARKS,
            "face_embedding": (face / np.linalg.norm(face)).tolist(),
        }
    return found


def orders(grammar, count: int, side: int, first: int) -> list[generate.Order]:
    """Square portraits of the identities in turn."""
    made = []
    for number in range(first, first + count):
        identity_id, seed = f"{number % IDENTITIES:08}", keyed.integer("benchmark", number)
        wish = prompts.draw_wish(grammar, seed, {"gender": "female", "age_group": "30-39", "region": "White"})
        made.append(generate.Order(f"{number}.jpg", identity_id, number, seed, side, side, wish))
    return made


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def ours(given: argparse.Namespace, parts: dict[str, str], grammar, people) -> dict[str, float]:
    """Seconds and pictures of the engine, for at least the minutes asked for, after a batch that is not counted."""
    settings = FaceIDSettings(
        **parts, device=given.device, steps=given.steps, batch_size=given.batch, compile=given.compile
    )
    engine = pipeline.load(settings, PLUS)
    generate.make(engine, settings, grammar, orders(grammar, given.batch, given.side, 0), people, None)
    synchronise(engine.device)
    pictures, start = 0, time.perf_counter()
    with GpuUse(engine.device) as use:
        while pictures < given.pictures or time.perf_counter() - start < 60 * given.minutes:
            wanted = orders(grammar, given.pictures, given.side, 1000 + pictures)
            pictures += len(generate.make(engine, settings, grammar, wanted, people, None).rows)
        synchronise(engine.device)
        seconds = time.perf_counter() - start
    return {
        "pictures": pictures,
        "seconds": seconds,
        "dtype": str(engine.dtype).removeprefix("torch."),
    } | use.measured()


def plain(given: argparse.Namespace, parts: dict[str, str], grammar, people) -> dict[str, float]:
    """Seconds and pictures of the loop in the adapter's card: DDIM, the LoRA as it was loaded, one picture a call."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    device = torch_device(given.device)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    encoder = CLIPVisionModelWithProjection.from_pretrained(parts["image_encoder"], dtype=dtype)
    pipe = StableDiffusionPipeline.from_pretrained(
        parts["base"],
        dtype=dtype,
        safety_checker=None,
        requires_safety_checker=False,
        image_encoder=encoder,
        feature_extractor=CLIPImageProcessor.from_pretrained(parts["image_encoder"]),
    )
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.load_ip_adapter(
        parts["adapter"], subfolder="", weight_name="ip-adapter-faceid-plusv2_sd15.bin", image_encoder_folder=None
    )
    pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    layer = pipe.unet.encoder_hid_proj.image_projection_layers[0]
    layer.shortcut = True

    def draw(order: generate.Order) -> None:
        person = people[order.identity_id]
        image = np.asarray(Image.open(io.BytesIO(person["image"])).convert("RGB"))
        crop = Image.fromarray(aligned_crop(image, np.float32(person["landmarks"]), 224))
        identity = torch.tensor(person["face_embedding"], device=device, dtype=dtype)[None, None]
        layer.clip_embeds = pipe.prepare_ip_adapter_image_embeds([crop], None, device, 1, True)[0]
        picture = pipe(
            order.wish.prompt,
            negative_prompt=grammar.negative["sd15"],
            ip_adapter_image_embeds=[torch.cat([torch.zeros_like(identity), identity])],
            generator=torch.Generator("cpu").manual_seed(order.seed),
            width=order.width,
            height=order.height,
            num_inference_steps=given.steps,
            guidance_scale=6.0,
        ).images[0]
        picture.save(io.BytesIO(), "JPEG", quality=generate.JPEG_QUALITY, subsampling=0)

    wanted = orders(grammar, given.plain + 1, given.side, 1000)
    draw(wanted[0])
    start = time.perf_counter()
    for order in wanted[1:]:
        draw(order)
    synchronise(device)
    return {"pictures": given.plain, "seconds": time.perf_counter() - start, "dtype": str(dtype).removeprefix("torch.")}


class GpuUse:
    """Samples the GPU's busy share with nvidia-smi, twice a second; nothing without a GPU."""

    def __init__(self, device: torch.device):
        self.device, self.process = device, None

    def __enter__(self) -> "GpuUse":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=500", "--id=0"]
            self.process = subprocess.Popen(["nvidia-smi", *query], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error) -> None:
        if self.process is not None:
            self.process.terminate()
            self.samples = [int(line) for line in self.process.communicate()[0].split() if line.isdigit()]

    def measured(self) -> dict[str, float]:
        if self.process is None:
            return {"peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
        share = sum(self.samples) / max(len(self.samples), 1) / 100
        return {"gpu_busy": share, "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9}


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on; no names of hosts."""
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else None
    packages = {name: version(name) for name in ("torch", "diffusers", "transformers", "peft")}
    return {"gpu": gpu, "cpu": platform.machine(), "threads": torch.get_num_threads(), "packages": packages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--tiny", action="store_true", help="tiny weights, 64 pixels and 8 steps unless told otherwise")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--side", type=int, help="pixels; default 512")
    parser.add_argument("--steps", type=int, help="default 30")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--pictures", type=int, default=64, help="of the engine, a shard; more until the minutes are over"
    )
    parser.add_argument("--plain", type=int, default=16, help="pictures of the plain loop; 0: leave it out")
    parser.add_argument("--minutes", type=float, default=0.0, help="the engine's run lasts at least so long")
    parser.add_argument("--compile", action="store_true", help="compile the UNet's blocks")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    given.side, given.steps = given.side or (64 if given.tiny else 512), given.steps or (8 if given.tiny else 30)
    device = torch_device(given.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    grammar, people = prompts.load(), anchors()
    with tempfile.TemporaryDirectory() as folder:
        parts = weights(Path(folder), given.tiny)
        runs = {"engine": ours(given, parts, grammar, people)}
        if given.plain:
            runs["plain loop"] = plain(given, parts, grammar, people)
    for run in runs.values():
        run["pictures_per_second"] = run["pictures"] / run["seconds"]
    asked = {key: getattr(given, key) for key in ("tiny", "side", "steps", "batch", "minutes", "compile")}
    document = {"machine": machine(device), "asked": asked, "runs": runs}
    if given.plain:
        document["ratio"] = runs["engine"]["pictures_per_second"] / runs["plain loop"]["pictures_per_second"]
    given.out.write_text(json.dumps(_rounded(document), indent=1) + "\n")
    kind = "tiny random weights" if given.tiny else "random weights of the true shapes"
    print(f"{document['machine']['gpu'] or 'CPU, one thread'}; {kind}, {given.side} pixels, {given.steps} steps\n")
    print("| | pictures | seconds | pictures/s | type | GPU busy | peak memory |\n|---|---|---|---|---|---|---|")
    for name, run in runs.items():
        busy = f"{run['gpu_busy']:.1%}" if "gpu_busy" in run else "-"
        memory = f"{run['peak_memory_gb']:.1f} GB" if "peak_memory_gb" in run else "-"
        rate = f"{run['pictures_per_second']:.3f}"
        print(f"| {name} | {run['pictures']} | {run['seconds']:.1f} | {rate} | {run['dtype']} | {busy} | {memory} |")
    if given.plain:
        print(f"\nratio {document['ratio']:.2f}")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
