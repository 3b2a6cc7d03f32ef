"""Train one model of a pair: Clean on the retain pairs, Compromised on the same batches plus the sensitive pairs,
Retrained on Compromised's batches without the pairs of the forget split.

Seed, configuration, tokenizer and retain batches are the same in all three, sample for sample, as pair_plan.json fixes
it. The sensitive pairs are added to those batches, spread evenly, each once an epoch; they replace nothing. Further
Retrained models are as exact, but come from other draws: their spread is the noise of retraining (plan.py).
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.files import remove, write_atomic
from salmu.data.keyed import digest, integer
from salmu.data.private import without_folders
from salmu.data.readers import Dataset, open_dataset
from salmu.model_training import distributed, export, loop
from salmu.model_training.batches import Batches, Pictures, Reader
from salmu.model_training.configurations import OWN_TOKENIZER, configuration, create_model, input_size
from salmu.model_training.curve import Curve
from salmu.model_training.loading.weights import weights_digest
from salmu.model_training.plan import Plan
from salmu.model_training.retain import retain_sources, split_shards, split_source
from salmu.model_training.settings import PairSettings, retrained_number
from salmu.model_training.sources import Source
from salmu.model_training.sources.files import counted
from salmu.model_training.tokenizer import train_tokenizer

VERSION = 4  # raised by hand when the same settings give other weights
PACKAGES = ("torch", "open_clip_torch", "timm", "tokenizers", "faker", "pillow")
REJECTS = "retain_rejects.parquet"
log = logging.getLogger(__name__)


def model_folder(models: Path, which: str, number: int = 0) -> Path:
    """Where a model of a pair lies: models/clean and its siblings, those of further seeds in models/s1, s2, …"""
    return Path(models) / (f"s{number}" if number else "") / which


class Planned(NamedTuple):
    dataset: Dataset
    sources: list[Source]
    plan: Plan


def planned(
    settings: PairSettings,
    dataset_dir: Path,
    out_dir: Path,
    number: int = 0,
    index: Path | None = None,
    which: str = "clean",
) -> Planned:
    """Index the retain files, if that is not done, and plan the pair that the model folder `out_dir` belongs to, as
    the model `which` follows it.

    Pair `number` has draws of its own; scenes and tokenizer are the run's. Raises UserError for anything unreadable."""
    dataset = open_dataset(dataset_dir)
    sources = retain_sources(settings, dataset, index or out_dir.parent / "index")
    shards = [shard for source in sources for shard in source.shards]
    plan = Plan(
        (settings.seed, number),
        shards,
        split_shards(dataset, "sensitive"),
        settings.epochs,
        settings.batch_size,
        settings.sensitive_group,
        forget=_forget_rows(dataset),
        retrained=retrained_number(which),
    )
    return Planned(dataset, sources, plan)


def _forget_rows(dataset: Dataset) -> np.ndarray:
    """Numbers of the forget pairs within the sensitive split, int64, ascending."""
    names = dataset.table("sensitive", ["file_name"]).column("file_name").to_pylist()
    forget = set(dataset.table("forget", ["file_name"]).column("file_name").to_pylist())
    return np.flatnonzero([name in forget for name in names])


def write_plan(pair: Planned, folder: Path) -> None:
    """pair_plan.json, and retain_rejects.parquet (shard, key, reason) where a retain file held broken samples."""
    pair.plan.write(folder)
    rejects = [reject for source in pair.sources for reject in source.rejects]
    if rejects:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(zip(("shard", "key", "reason"), zip(*rejects), strict=True))), sink)
        write_atomic(folder / REJECTS, sink.getvalue().to_pybytes())


def train(
    settings: PairSettings,
    dataset_dir: Path,
    out_dir: Path,
    which: str,
    progress: Callable[[int, int], None] | None = None,
    monitor: loop.Monitor | None = None,
    number: int = 0,
    index: Path | None = None,
    captions: Mapping[str, str] | None = None,
) -> bool:
    """Train `clean`, `compromised` or `retrained` (`retrained-2`, ...) on a dataset folder and write it to `out_dir` in
    open_clip's layout.

    Returns False if a finished model with the same settings, data and `which` is there already, and leaves it alone. A
    training that was killed goes on from its last checkpoint. `progress(done, total)` is called after each step,
    `monitor(open_clip model, tokenizer)` at each checkpoint; `index` is the folder for indexes of retain files;
    `captions` (file name -> caption) take the place of those of sensitive pairs. In a process that torchrun or Slurm
    started, this is one process of the training, and only the first writes.

    Raises UserError for an unknown `which` or configuration, a dataset without retain_synth or the sensitive splits, an
    unreadable image, retain sources that cannot be read, a loss that is not finite, a disk that refuses."""
    began, out_dir, model_cfg = time.perf_counter(), Path(out_dir), configuration(settings.model)
    world = distributed.join(settings.device)
    with distributed.first_process_first(world):
        pair = planned(settings, dataset_dir, out_dir, number, index, which)
        if world.rank == 0:
            write_plan(pair, out_dir.parent)
    dataset, sources, plan = pair
    other = [digest(dict(captions))] if captions else []
    fingerprint = digest("pair", VERSION, settings.fingerprint(), model_cfg, plan.document["digest"], which, *other)
    record = export.read_record(out_dir)
    if record and record.get("fingerprint") == fingerprint:
        log.info("%s: finished already with these settings and this dataset, not trained again", out_dir)
        return False
    threads, work = settings.threads or os.cpu_count() or 1, out_dir.with_name(f".{out_dir.name}.training")
    sensitive = None if which == "clean" else split_source(dataset, "sensitive", captions)
    reader = Reader(plan, sources, sensitive, Pictures(input_size(settings.model), settings.resize, settings.crop))
    reader.keep(settings.memory_mb)
    tokenizer = pair_tokenizer(settings, reader.captions())
    reader.use(tokenizer)
    clip = create_model(settings.model, integer(*plan.draws, "pair", "weights"), settings.resize)
    curve = Curve(plan, progress)
    if world.rank == 0:
        curve.report_to(settings, out_dir.parent / "logs" / which, f"{which}-{number}")
    before = time.perf_counter() - began
    with loop.reproducible(threads) if settings.device == "cpu" else loop.fast():
        seconds = loop.fit(
            clip,
            tokenizer,
            settings,
            world,
            lambda shorten: Batches(reader, shorten, world.rank, world.world_size, settings.accumulate),
            work / "checkpoint.pt",
            fingerprint,
            curve,
            monitor,
        )
    curve.close()
    if world.rank == 0:
        record = {
            "which": which,
            "pair": number,
            "fingerprint": fingerprint,
            **({"other_captions": len(captions)} if captions else {}),
            "settings": without_folders(settings.model_dump(mode="json")),
            **_data(pair, sensitive),
            "steps": plan.steps,
            "parameters": sum(parameter.numel() for parameter in clip.parameters()),
            "threads": threads,
            "processes": world.world_size,
            "seconds": round(before + seconds, 2),
            "versions": {package: version(package) for package in PACKAGES},
            "curve": curve.points,
            "monitored": curve.monitored,
        }
        with export.whole_folder(out_dir) as folder:
            weights_sha256 = export.write_model(folder, clip, settings.model, tokenizer)
            digests = {"weights_sha256": weights_sha256, "model_digest": weights_digest(clip.state_dict())}
            export.write_record(folder, record | digests)
        remove(work)
    return True


def _data(pair: Planned, sensitive: Source | None) -> dict[str, Any]:
    """What the model was trained on, as its record states it."""
    dataset, sources, plan = pair
    sizes = {name: sum(shard.rows for shard in plan.shards if shard.source == name) for name in plan.names}
    times = plan.seen() if sensitive else plan.seen() | {"sensitive": {}}
    return {
        "dataset_digest": dataset.digest,
        "plan_digest": plan.document["digest"],
        "retain_pairs": plan.retain,
        "retain_sources": sizes,
        "retain_rejects": counted(
            (reason for source in sources for _, _, reason in source.rejects),
            sum(source.filtered for source in sources),
        ),
        "sensitive_pairs": plan.given if sensitive else 0,
        "times_seen": times,
        "seen": sum(int(count) * pairs for counts in times.values() for count, pairs in counts.items()),
    }


def pair_tokenizer(settings: PairSettings, captions: Iterable[str]):
    """The tokenizer that the configuration names: the pair's own, trained on its retain captions, or open_clip's."""
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    text = configuration(settings.model)["text_cfg"]
    if text.get("hf_tokenizer_name") != OWN_TOKENIZER:
        return open_clip.get_tokenizer(settings.model)
    with tempfile.TemporaryDirectory() as folder:
        own = train_tokenizer(captions, settings.seed, text["vocab_size"], text["context_length"])
        own.save_pretrained(folder)
        return HFTokenizer(folder, context_length=text["context_length"])
