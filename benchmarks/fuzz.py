"""Every reader of foreign data against generated documents: refused in one line, or read; never a traceback.

    python benchmarks/fuzz.py --documents 200000

Each reader starts from sound documents, which are changed: bytes flipped, cut, doubled or put in from a list of odd
values; in JSON and YAML, values and keys replaced by odd ones. All draws are keyed by (seed, reader, number). A reader
works in a process of its own, so that a crash or too much memory is seen. Writes fuzz.json."""

import argparse
import io
import json
import math
import multiprocessing
import resource
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.keyed import generator

OUT = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).parent.parent
ODD = (
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    "",
    "é",
    "\ud800",
    "x" * 300,
    [],
    {},
    [[]],
    {"a": {}},
    float("nan"),
    float("inf"),
)
ASKED = (
    {"request_id": "T-104", "identity_id": "00000012"},
    {"request_id": "T-105", "identity_id": "00000031", "data_field": "emails"},
    {"file_name": "00000031_004_ar-1.00.jpg"},
)
REQUESTS = b"request_id,identity_id,data_field\nT-104,00000012,\nT-105,00000031,phone_number\n"
TOKENS = (
    b"\x00",
    b"\xff\xfe",
    b"NaN",
    b"[[[[",
    b"}",
    b"null",
    b"99999999999",
    b"-1",
    b"../",
    b"*a",
    b"&a ",
    b"!!x ",
    b"\n- ",
)
sys.path.insert(0, str(ROOT / "tests"))


class Reader(NamedTuple):
    """What is fuzzed: sound documents, whether they are text trees, and what reads one."""

    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]
    share: float  # of all documents
    tree: bool = False


def pictures() -> list[bytes]:
    """A small picture in each allowed format and in several modes."""
    found, pixels = [], generator(0, "fuzz", "picture").integers(0, 256, (24, 20, 3)).astype(np.uint8)
    for kind, mode in (("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("WEBP", "RGB")):
        sink = io.BytesIO()
        picture = Image.fromarray(pixels)
        picture = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
        picture.save(sink, kind)
        found.append(sink.getvalue())
    return found


def tars() -> list[bytes]:
    """Shards as img2dataset writes them."""
    sink, image = io.BytesIO(), pictures()[0]
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for number in range(3):
            about = json.dumps({"uid": f"{number:032x}", "caption": "a dog"}).encode()
            for name, content in (("jpg", image), ("txt", b"a dog"), ("json", about)):
                member = tarfile.TarInfo(f"{number:05d}.{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return [sink.getvalue()]


def zips() -> list[bytes]:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"faces/SFHQ_{number:05d}.jpg", pictures()[number % 2])
    return [sink.getvalue()]


def parquets() -> list[bytes]:
    image = [{"bytes": content, "path": "a.jpg"} for content in pictures()[:2]]
    columns = {"image": image, "text": ["a", "b"], "identity_id": ["1", None], "file_name": ["a.jpg", "b.jpg"]}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return [sink.getvalue()]


def as_json(*documents) -> list[bytes]:
    return [json.dumps(document).encode() for document in documents]


def yamls() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "flows" / "profiles").glob("*.yaml"))]


def written(content: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sound(folder: Path) -> None:
    """A small run and its published folder, from which the documents of runs and datasets start."""
    from small_run import small_run

    from salmu.data.publish.publish import PublishSettings, publish

    store = small_run(folder, sensitive=4, retain=1, per_identity=25)
    publish(store, store.folder / "dataset", PublishSettings(rows_per_file=40), {})


def readers(run: Path) -> dict[str, Reader]:
    """All of them; imported here, so that a process loads what it needs. `run`: what `sound` made."""
    from salmu.data import metadata_models
    from salmu.data import pictures as picture_reader
    from salmu.data.documents import loaded
    from salmu.data.provenance import read_provenance
    from salmu.data.readers import open_dataset
    from salmu.data.store.manifest_files import read_manifest
    from salmu.evaluation.metrics.results_file import read_results
    from salmu.evaluation.requests.reading import read_requests
    from salmu.evaluation.unlearning.record import read_record
    from salmu.evaluation.unlearning.wordings import worded_by
    from salmu.flows.settings import load_profile, parse_assignment
    from salmu.model_training.loading.configuration import Text, read_configuration
    from salmu.model_training.loading.tokenizer import read_tokenizer
    from salmu.model_training.settings import ParquetSource, WebDatasetSource
    from salmu.model_training.sources.parquet import as_tar
    from salmu.model_training.sources.tars import scan
    from salmu.tasks.candidates import images, sources
    from salmu.tasks.captions.paraphrase import parsed
    from salmu.tasks.captions.server_answers import Passing
    from salmu.tasks.captions.server_answers import content as completion
    from salmu.tasks.face_packs import FaceSettings, detection_size

    def profile(content: bytes, folder: Path):
        return load_profile(str(written(content, folder, "mine.yaml")))

    def assignment(content: bytes, folder: Path):
        return parse_assignment("portraits.per_identity=" + content.decode("utf-8", "replace"))

    def manifest(content: bytes, folder: Path):
        return read_manifest(written(content, folder, "captions/manifest.json").parent, "captions")

    def provenance(content: bytes, folder: Path):
        return read_provenance(written(content, folder, "provenance.json").parent)

    def dataset(content: bytes, folder: Path):
        written(content, folder, "data/forget-00000-of-00001.parquet")
        return open_dataset(folder).table("forget")

    def identities(content: bytes, folder: Path):
        return loaded(written(content, folder, "identities_metadata.json"), metadata_models.Identities)

    def captions(content: bytes, folder: Path):
        return loaded(written(content, folder, "captions.json"), metadata_models.SensitiveCaptions)

    def results(content: bytes, folder: Path):
        return read_results(written(content, folder, "results.json"))

    def record(content: bytes, folder: Path):
        return read_record(written(content, folder, "unlearning.json"))

    def candidates(suffix: str):
        def read(content: bytes, folder: Path):
            path = str(written(content, folder, f"faces{suffix}"))
            for listed in sources.list_pictures((path,)):
                found = images.read_file((path,), listed.picture)
                if isinstance(found, bytes):
                    images.decode(found, 64, 90)

        return read

    def webdataset(content: bytes, folder: Path):
        return scan(str(written(content, folder, "00000.tar")), WebDatasetSource(urls=""))

    def parquet(content: bytes, folder: Path):
        return as_tar(str(written(content, folder, "a.parquet")), ParquetSource(urls="", image="image", text="text"))

    def picture(content: bytes, folder: Path):
        return picture_reader.decode(content, upright=True)

    def configuration(content: bytes, folder: Path):
        return read_configuration(written(content, folder, "open_clip_config.json").parent)

    def tokenizer(content: bytes, folder: Path):
        written(content, folder, "tokenizer.json")
        written((clip / "tokenizer_config.json").read_bytes(), folder, "tokenizer_config.json")
        return read_tokenizer(folder, Text(vocab_size=60_000, context_length=32, hf_tokenizer_name="own"))

    def requests(suffix: str):
        return lambda content, folder: read_requests(written(content, folder, f"requests{suffix}"), 100)

    def wordings(content: bytes, folder: Path):
        return worded_by(None, str(written(content, folder, "sentences.jsonl")))

    def face_pack(content: bytes, folder: Path):
        return detection_size(FaceSettings(pack=str(folder)), written(content, folder, "pack.json").parent)

    def reply(content: bytes, folder: Path):
        try:
            return parsed(completion(content))
        except Passing as passing:
            raise UserError(str(passing)) from None

    clip = ROOT / "data" / "models" / "clip"
    score = {"mean": 0.1, "std": 0.2, "all": [0.1, 0.2]}
    extended = {"intervals": {"AssocStr": [0, 1]}, "clusters": {"AssocStr": {"sums": [0.5], "rows": [2]}}}
    result = {"efficacy": {"AssocStr": score}, "utility": {"InterIdSim": score}, "extended": extended}
    spoken = {"choices": [{"message": {"content": json.dumps({"direct": "[[N]] lives in [[V]]."})}}]}
    saw = {"forget": {"split": "forget", "times": 5}}
    method = {"method": "x", "budget": 5, "seed": 0, "saw": saw, "curve": [{"step": 1, "loss": 0.5}]}
    published = [path.read_bytes() for path in sorted((run / "dataset" / "data").glob("forget-*.parquet"))]

    def of_run(*names: str) -> Callable[[], list[bytes]]:
        return lambda: [(run / name).read_bytes() for name in names]

    return {
        "profile": Reader(yamls, profile, 0.02, True),
        "--set": Reader(lambda: [b"40", b"[a, b]", b"{a: 1}", b"2024-02-28"], assignment, 0.1),
        "manifest": Reader(of_run("captions/manifest.json"), manifest, 0.08, True),
        "provenance": Reader(of_run("dataset/provenance.json"), provenance, 0.06, True),
        "identities": Reader(of_run("dataset/identities_metadata.json"), identities, 0.08, True),
        "captions": Reader(of_run("dataset/sensitive_set_captions_metadata.json"), captions, 0.06, True),
        "results": Reader(lambda: as_json(result), results, 0.08, True),
        "unlearning.json": Reader(lambda: as_json(method), record, 0.08, True),
        "zip": Reader(zips, candidates(".zip"), 0.05),
        "tar": Reader(tars, candidates(".tar"), 0.05),
        "WebDataset": Reader(tars, webdataset, 0.05),
        "Parquet": Reader(parquets, parquet, 0.05),
        "dataset": Reader(lambda: published, dataset, 0.04),
        "picture": Reader(pictures, picture, 0.08),
        "model configuration": Reader(
            lambda: [(clip / "open_clip_config.json").read_bytes()], configuration, 0.08, True
        ),
        "tokenizer": Reader(lambda: [(clip / "tokenizer.json").read_bytes()], tokenizer, 0.005),
        "requests CSV": Reader(lambda: [REQUESTS], requests(".csv"), 0.05),
        "requests JSONL": Reader(lambda: as_json(*ASKED), requests(".jsonl"), 0.05, True),
        "wordings": Reader(lambda: as_json({"data_field": "city", "text": "[name] of [value]"}), wordings, 0.05, True),
        "face pack": Reader(lambda: as_json({"detection_size": 320}), face_pack, 0.02, True),
        "reply": Reader(lambda: as_json(spoken), reply, 0.05, True),
    }


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes with one to four changes."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place, kind = int(rng.integers(0, len(data) + 1)), rng.integers(0, 6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = TOKENS[int(rng.integers(0, len(TOKENS)))]
        elif kind == 3:
            data[place : place + int(rng.integers(1, 40))] = b""
        elif kind == 4:
            data[place:place] = data[place : place + int(rng.integers(1, 200))]
        else:
            data[place : place + 4] = rng.bytes(4)
    return bytes(data)


def replaced(document, rng: np.random.Generator):
    """A tree with one value or key replaced by an odd one, or taken away."""
    if not isinstance(document, dict | list) or not document or rng.random() < 0.15:
        return ODD[int(rng.integers(0, len(ODD)))]
    copy = document.copy()
    keys = list(copy) if isinstance(copy, dict) else list(range(len(copy)))
    key, kind = keys[int(rng.integers(0, len(keys)))], rng.random()
    if kind < 0.1:
        del copy[key]
    elif kind < 0.2 and isinstance(copy, dict):
        copy[f"odd{rng.integers(0, 99)}"] = ODD[int(rng.integers(0, len(ODD)))]
    else:
        copy[key] = replaced(copy[key], rng)
    return copy


def documents(name: str, reader: Reader, count: int, seed: int) -> Iterator[bytes]:
    """`count` changed documents."""
    import yaml

    seeds = reader.seeds()
    trees = [yaml.safe_load(content) for content in seeds] if reader.tree else []
    for number in range(count):
        rng = generator(seed, "fuzz", name, number)
        which = int(rng.integers(0, len(seeds)))
        if reader.tree and rng.random() < 0.7:
            yield json.dumps(replaced(trees[which], rng)).encode("utf-8", "surrogatepass")  # JSON is YAML, too
        else:
            yield changed(seeds[which], rng)


def fuzz(name: str, run: Path, count: int, seed: int, sink) -> None:
    """One reader, in a process of its own; sends its row."""
    reader, outcomes, longest, failures = readers(run)[name], Counter(), 0.0, []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        for content in reader.seeds():  # sound ones are read; what they need is imported outside the clock
            reader.read(content, Path(folder))
        for content in documents(name, reader, count, seed):
            began = time.perf_counter()
            try:
                reader.read(content, Path(folder))
                outcomes["accepted"] += 1
            except UserError as error:
                outcomes["refused"] += 1
                outcomes["several lines"] += "\n" in str(error)
            except ValueError as error:
                known = type(error).__name__ == "PictureError"  # what becomes a reject with a reason
                outcomes["refused" if known else "tracebacks"] += 1
                failures += [] if known else [traceback.format_exc(limit=-4)]
            except Exception:
                outcomes["tracebacks"] += 1
                failures.append(traceback.format_exc(limit=-4))
            longest = max(longest, time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sink.send(
        {"inputs": count}
        | {key: outcomes[key] for key in ("refused", "accepted", "tracebacks", "several lines")}
        | {
            "longest_ms": round(1000 * longest, 1),
            "memory_mb": round(peak / 1024),
            "grown_mb": round((peak - before) / 1024),
        }
        | ({"first_failures": failures[:3]} if failures else {})
    )


def fuzzed(run: Path, options) -> Iterator[tuple[str, dict]]:
    """The name and the row of each reader that is asked for, one after the other."""
    known = readers(run)
    total = sum(reader.share for reader in known.values())
    context = multiprocessing.get_context("spawn")
    for name, reader in known.items():
        if options.only and name not in options.only:
            continue
        receive, send = context.Pipe(duplex=False)
        count = math.ceil(options.documents * reader.share / total)
        process = context.Process(target=fuzz, args=(name, run, count, options.seed, send))
        process.start()
        send.close()
        try:
            row = receive.recv()
        except EOFError:  # the process died
            process.join()
            row = {"inputs": count, "crashed": process.exitcode}
        process.join()
        print(f"{name:<20}", row, flush=True)
        yield name, row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of readers")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sound(Path(folder))
        rows = dict(fuzzed(Path(folder), options))
    sums = {
        key: sum(row.get(key, 0) for row in rows.values()) for key in ("inputs", "refused", "accepted", "tracebacks")
    }
    sums |= {key: max(row.get(key, 0) for row in rows.values()) for key in ("longest_ms", "memory_mb")}
    sums["crashed"] = sum("crashed" in row for row in rows.values())
    print("all", sums)
    options.out.write_text(json.dumps({"seed": options.seed, "all": sums, "readers": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
