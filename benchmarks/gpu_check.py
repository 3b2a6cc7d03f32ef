"""The project's own test on a GPU: `salmu check` with every engine for real weights, on random ones that are made on
the spot in the published layouts. The speed does not depend on their values, and what they say means nothing.

python benchmarks/gpu_check.py           Stable Diffusion 1.5 with FaceID Plus v2, CLIP ViT-H/14, ViT-B/16
python benchmarks/gpu_check.py --tiny    tiny shapes on the CPU, in two minutes: shows that it runs

It needs the extra `portraits`. Captions are asked of a tiny Gemma 3 where vLLM is installed, else the grammar words
them: a random Gemma of 12 billion weights takes longer to make than all the rest. The exit code is that of the check.
Further arguments go to `salmu check`. For ratios to plain loops, run portraits.py and training.py."""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import checkpoints  # noqa: E402

from salmu.data.schemas import DATA_FIELDS  # noqa: E402
from salmu.tasks.candidates import procedural  # noqa: E402
from salmu.tasks.captions.grammar import STYLES, Grammar  # noqa: E402

PICTURES = 8


def profile(folder: Path, tiny: bool) -> Path:
    """A profile whose settings name weights of every kind, which are made in the folder."""
    shapes = checkpoints.TINY if tiny else checkpoints.TRUE
    base = checkpoints.make_sd15(folder / "base", shapes)
    faces: dict[str, Any] = {"pack": str(checkpoints.make_face_pack(folder / "pack", threshold=-2))}
    fairface = {"checkpoint": str(checkpoints.make_fairface(folder / "fairface"))}
    clip = checkpoints.make_clip(folder / "clip") if tiny else make_clip(folder / "clip", "ViT-H-14")
    pictures = make_pictures(folder / "pictures", 128 if tiny else 512)
    measured = {"faces": faces, "fairface": fairface}
    document = {
        "candidates": {"source": "images", "images": [str(pictures)], **measured},
        "anchors": {"count": PICTURES},
        "portraits": {
            "engine": "ip_adapter_faceid_plus",
            "short_side": 64 if tiny else 512,
            "faceid": {
                "base": str(base),
                "adapter": str(checkpoints.make_faceid_plus(folder / "adapter", base, shapes)),
                "image_encoder": str(checkpoints.make_image_encoder(folder / "encoder", shapes)),
                "safety_checker": str(checkpoints.make_safety_checker(folder / "safety", flags=False)),
                **({"steps": 2, "batch_size": 4, "size_multiple": 32} if tiny else {"compile": True}),
            },
        },
        "analysis": {"clip": f"local-dir:{clip}", "questions": "labels_photographs", "second_faces": faces, **measured},
        "curation": {"identities": 6, "retain_identities": 1, "min_portraits": 2},
        "captions": captions(folder / "gemma"),
        "pair": {"scenes": 100_000, "report_to": []},
        "evaluation": {"device": "cpu" if tiny else "cuda"},
    }
    if not tiny:
        document["pair"] |= {"configuration": "vit_b_16", "retain": [], "batch_size": 2048}
    path = folder / "random.yaml"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def make_pictures(folder: Path, side: int) -> Path:
    """Drawn faces as picture files."""
    folder.mkdir()
    for index in range(PICTURES):
        Image.fromarray(procedural.draw(0, index, f"{index:08}", side).image).save(folder / f"{index:08}.jpg")
    return folder


def make_clip(folder: Path, architecture: str) -> Path:
    """One of open_clip's own architectures with random weights, in open_clip's layout."""
    folder.mkdir()
    described = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    with checkpoints.seeded(5):
        network = open_clip.create_model(architecture)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def captions(folder: Path) -> dict[str, Any]:
    """The engine vllm with a tiny Gemma 3, or the grammar where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        return {"engine": "grammar"}
    from tiny_gemma import make_gemma

    grammar = Grammar().prompts
    text = "\n".join(line for field in DATA_FIELDS for style in STYLES for line in grammar.sentences(field, style))
    settings = {"model": str(make_gemma(folder, text)), "dtype": "bfloat16", "max_model_len": 4096}
    return {"engine": "vllm", "vllm": settings | {"gpu_memory_share": 0.3}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, on the CPU")
    given, more = parser.parse_known_args()
    if not given.tiny and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here: --tiny runs on the CPU")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = profile(Path(folder), given.tiny)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"{size / 1e9:.2f} GB of random weights in {time.perf_counter() - start:.0f} s", flush=True)
        command = [sys.executable, "-m", "salmu", "check", "--profile", str(path), "--runs", folder, *more]
        code = subprocess.run(command, cwd=ROOT).returncode
    print(f"{time.perf_counter() - start:.0f} s in all", flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
