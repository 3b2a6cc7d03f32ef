"""Training pairs a second of the pair's trainer, against open_clip's own command line at its defaults in the same run,
from the same WebDataset shards, with the same model and batch size.

python benchmarks/training.py --device cuda --model ViT-B-16 --batch 512 --steps 120 --workers 14 --compile
python benchmarks/training.py --tiny                a small model on the CPU, in some minutes

A hook at the optimiser of each side notes wall time and CPU seconds, those of its decoders included, after every step;
the rate is that of the second half of the steps. The sides run in turns, and medians count. On a CPU, torch takes all
cores by default, which slows a small model down. So open_clip's command also runs with one thread, which is the default
of the pair's trainer. Prints a Markdown table and writes benchmarks/training.json."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import torch
import webdataset
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

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
sys.path.insert(0, sys.argv[1])
from training import Clock
if sys.argv[3]: open_clip.add_model_config(sys.argv[3])
from open_clip_train.main import main
with Clock(sys.argv[2]):
    main(sys.argv[4:])
"""


class Clock:
    """Inside, the end of every optimiser step of this process is noted in a file: wall and CPU seconds so far."""

    def __init__(self, path: str | Path):
        self.path = path

    def __enter__(self):
        self.file = open(self.path, "w")
        self.hook = register_optimizer_step_post_hook(self.note)

    def __exit__(self, *error) -> None:
        self.hook.remove()
        self.file.close()

    def note(self, *_) -> None:
        own, spent = psutil.Process(), 0.0
        for process in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                spent += times.user + times.system
        self.file.write(f"{time.perf_counter()} {spent}\n")
        self.file.flush()


class Rate(NamedTuple):
    pairs_a_second: float
    cpu_ms_a_pair: float


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


def peer(
    shards: Path, samples: int, model: str, config: Path | None, batch: int, device: str, threads: int | None = None
) -> Rate:
    """`open_clip_train.main` with its defaults: workers, precision, threads (None), and all else."""
    logs, noted = shards.parent / "logs", shards.parent / "peer.txt"
    shutil.rmtree(logs, ignore_errors=True)  # the command does nothing where an experiment of that name is
    command = [sys.executable, "-c", PEER, str(Path(__file__).parent), str(noted), str(config or "")]
    command += ["--model", model, "--device", device]
    command += ["--train-data", f"{shards}/{{00000..{SHARDS - 1:05d}}}.tar", "--train-num-samples", str(samples)]
    command += ["--dataset-type", "webdataset", "--batch-size", str(batch), "--epochs", "1", "--logs", str(logs)]
    if device == "cpu":
        command += ["--precision", "fp32"]  # its default is made for GPUs: float16
    command += ["--name", "peer", "--save-frequency", "0"]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"open_clip's command line failed: {done.stderr[-2000:]}")
    return rate(noted, batch)


def ours(shards: Path, home: Path, model: str, batch: int, device: str, options: argparse.Namespace) -> Rate:
    """model_training on the same shards, with its default number of threads."""
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
        workers=options.workers,
        compile=options.compile,
        checkpoint_every=10**6,
        monitor=False,
    )
    shutil.rmtree(home / "models", ignore_errors=True)
    dataset = write_dataset(home / "dataset", sensitive=2)
    with Clock(home / "ours.txt"):
        train(settings, dataset, home / "models" / "clean", "clean")
    return rate(home / "ours.txt", batch)


def middle(rates: list[Rate]) -> Rate:
    return Rate(*(round(statistics.median(values), 3) for values in zip(*rates, strict=True)))


def rate(noted: Path, batch: int) -> Rate:
    """Of the second half of the steps."""
    lines = [tuple(map(float, line.split())) for line in noted.read_text().splitlines()]
    (began, spent), (ended, by_then), pairs = (
        lines[len(lines) // 2],
        lines[-1],
        (len(lines) - 1 - len(lines) // 2) * batch,
    )
    return Rate(pairs / (ended - began), (by_then - spent) / pairs * 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a small model on the CPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="ViT-B-16", help="one of open_clip's own configurations")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--workers", type=int, default=14, help="decoders of the pair's trainer")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile in the pair's trainer")
    parser.add_argument("--out", type=Path, help="JSON file of the numbers")
    options = parser.parse_args()
    if options.tiny:
        options.device, options.model, options.batch, options.steps, options.workers = "cpu", "benchmark", 32, 120, 1
    samples = options.batch * options.steps
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "shards").mkdir()
        config = home / "benchmark.json" if options.tiny else None
        if config:
            config.write_text(json.dumps(TINY))
        write_shards(home / "shards", samples)
        sides = {
            "open_clip": partial(peer, home / "shards", samples, options.model, config, options.batch, options.device)
        }
        if options.device == "cpu":
            sides["open_clip, one thread"] = partial(sides["open_clip"], threads=1)
        model = str(config or options.model)
        sides["model_training"] = lambda: ours(home / "shards", home, model, options.batch, options.device, options)
        found: dict[str, list[Rate]] = {name: [] for name in sides}
        for _ in range(options.repeats):
            for name, measure in sides.items():
                found[name].append(measure())
    rates = {name: middle(several) for name, several in found.items()}
    own = rates["model_training"]
    cuda = options.device.startswith("cuda")
    record = {
        "machine": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "versions": {package: version(package) for package in ("torch", "open_clip_torch")},
        "model": options.model,
        "batch": options.batch,
        "steps": options.steps,
        "load": round(os.getloadavg()[0], 1),
        "repeats": options.repeats,
        "rates": {name: side._asdict() for name, side in rates.items()},
        "times_the_pairs_a_second": {
            name: round(own.pairs_a_second / side.pairs_a_second, 3) for name, side in rates.items()
        },
        "times_the_pairs_a_cpu_second": {
            name: round(side.cpu_ms_a_pair / own.cpu_ms_a_pair, 3) for name, side in rates.items()
        },
    }
    out = options.out or Path(__file__).with_suffix(".json")
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("| trainer | pairs a second | CPU ms a pair | ours: times the pairs a second | a CPU second |")
    print("|---|---:|---:|---:|---:|")
    for name, side in rates.items():
        times = record["times_the_pairs_a_second"][name], record["times_the_pairs_a_cpu_second"][name]
        print(f"| {name} | {side.pairs_a_second:.1f} | {side.cpu_ms_a_pair:.2f} | {times[0]} | {times[1]} |")


if __name__ == "__main__":
    main()
