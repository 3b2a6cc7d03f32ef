"""Training pairs a second of the pair's trainer, against open_clip's own command line at its defaults in the same run,
from the same WebDataset shards, with the same model and batch size.

python benchmarks/training.py --device cuda --model ViT-B-16 --batch 512 --steps 120 --workers 14 --compile
python benchmarks/training.py --tiny                a small model on the CPU, in a minute: shows that it runs

The rate is that of the steps after the first fifth, in which processes start and kernels are chosen. Prints a Markdown
table and writes benchmarks/training.json (with --tiny only where --out says)."""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import webdataset
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "model_training")]

from pair_data import write_dataset  # noqa: E402

from salmu.data.keyed import generator  # noqa: E402
from salmu.model_training.pair import PairSettings, train  # noqa: E402
from salmu.model_training.retain import scene_pair  # noqa: E402

TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
SHARDS, DISTINCT, SIDE = 16, 64, 384
PEER = """
import sys, data, open_clip
if sys.argv[1]: open_clip.add_model_config(sys.argv[1])
from open_clip_train.main import main
main(sys.argv[2:])
"""


def write_shards(folder: Path, samples: int) -> None:
    """Scenes with noise, as JPEG files of the size of DataComp's, with captions of its usual length."""
    pairs = []
    for index in range(DISTINCT):
        image, text = scene_pair(0, SIDE, index)
        noise = generator("benchmark", index).integers(-20, 20, image.shape)
        pairs.append((Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8)), text))
    for shard in range(SHARDS):
        with webdataset.TarWriter(str(folder / f"{shard:05d}.tar")) as writer:
            for index in range(shard, samples, SHARDS):
                image, text = pairs[index % DISTINCT]
                writer.write({"__key__": f"{index:09d}", "jpg": image, "txt": text})


def peer(shards: Path, samples: int, model: str, config: Path | None, batch: int, device: str, log_every: int) -> float:
    """Pairs a second of `open_clip_train.main` with its defaults: workers, precision, and all else."""
    logs = shards.parent / "logs"
    command = [sys.executable, "-c", PEER, str(config or ""), "--model", model, "--device", device]
    command += ["--train-data", f"{shards}/{{00000..{SHARDS - 1:05d}}}.tar", "--train-num-samples", str(samples)]
    command += ["--dataset-type", "webdataset", "--batch-size", str(batch), "--epochs", "1", "--logs", str(logs)]
    if device == "cpu":
        command += ["--precision", "fp32"]  # its default is made for GPUs: float16
    command += ["--name", "peer", "--log-every-n-steps", str(log_every), "--save-frequency", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"open_clip's command line failed: {done.stderr[-2000:]}")
    log = (logs / "peer" / "out.log").read_text()
    times = [  # seconds of each window of steps, from the first step's line to the last's
        (time.mktime(time.strptime(stamp, "%Y-%m-%d,%H:%M:%S")), int(seen))
        for stamp, seen in re.findall(r"^(\S+) \| INFO \| Train Epoch: 0 \[\s*(\d+)/", log, re.M)
    ]
    return rate(times)


def ours(shards: Path, home: Path, model: str, batch: int, device: str, options: argparse.Namespace) -> float:
    """Pairs a second of model_training on the same shards; the index is made before the clock runs."""
    settings = PairSettings(
        model=model,
        scenes=0,
        retain=[{"kind": "webdataset", "urls": str(shards)}],
        epochs=1,
        batch_size=batch,
        crop=0.9,
        resize="shortest",
        precision="fp32" if device == "cpu" else "amp_bf16",
        device=device,
        threads=0,
        workers=options.workers,
        compile=options.compile,
        checkpoint_every=10**6,
        monitor=False,
        log_every=options.log_every,
    )
    times: list[tuple[float, int]] = []
    train(
        settings,
        write_dataset(home / "dataset", sensitive=2),
        home / "models" / "clean",
        "clean",
        lambda step, _: times.append((time.perf_counter(), step * batch)),
    )
    return rate(times)


def rate(times: list[tuple[float, int]]) -> float:
    """Pairs a second after the first fifth of the readings."""
    (began, before), (ended, after) = times[len(times) // 5], times[-1]
    return (after - before) / max(ended - began, 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a small model on the CPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="ViT-B-16", help="one of open_clip's own configurations")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--workers", type=int, default=14, help="decoders of the pair's trainer")
    parser.add_argument("--compile", action="store_true", help="torch.compile in the pair's trainer")
    parser.add_argument("--log-every", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file of the numbers")
    options = parser.parse_args()
    if options.tiny:
        options.log_every = 1
        options.device, options.model, options.batch, options.steps, options.workers = "cpu", "benchmark", 32, 16, 1
    samples = options.batch * options.steps
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "shards").mkdir()
        config = home / "benchmark.json" if options.tiny else None
        if config:
            config.write_text(json.dumps(TINY))
        write_shards(home / "shards", samples)
        theirs = peer(home / "shards", samples, options.model, config, options.batch, options.device, options.log_every)
        own = ours(home / "shards", home, str(config or options.model), options.batch, options.device, options)
    cuda = options.device.startswith("cuda")
    record = {
        "machine": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "versions": {package: version(package) for package in ("torch", "open_clip_torch")},
        "model": options.model,
        "batch": options.batch,
        "steps": options.steps,
        "open_clip_pairs_a_second": round(theirs, 1),
        "pairs_a_second": round(own, 1),
        "ratio": round(own / theirs, 3),
    }
    out = options.out or (None if options.tiny else Path(__file__).with_suffix(".json"))
    if out:
        out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("| trainer | pairs a second |\n|---|---|")
    print(f"| open_clip's command line, its defaults | {theirs:.1f} |\n| model_training | {own:.1f} |")
    print(f"\nratio {record['ratio']}; {record['model']}, batch {record['batch']}, {record['machine']}")


if __name__ == "__main__":
    main()
