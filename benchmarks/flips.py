"""Flip single bits in the files of a finished run, and see whether anything that reads them says so.

    python benchmarks/flips.py --run runs/tiny --flips 2400 --out benchmarks/flips.json

Files: 40 over all stages, rejects files first, then shards; every manifest; every file of the published folder. After
each flip, what reads the file is asked as in a new process: for a stage its rows, rejects, digests, `salmu inspect` and
the counts of its manifest; for the published folder its splits, JSON documents, digest, and `salmu verify --dataset`.

Told for each kind of file are the reads of a file with a flipped bit: those refused in one line; those that gave back
the same (a value spelt otherwise); tracebacks; and silent changes, which must not be. A seed draws the flips, one
more at the first and at the last bit of every file.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from salmu.data.checksums import forget_comparisons
from salmu.data.errors import UserError
from salmu.data.gallery.from_dataset import from_dataset
from salmu.data.keyed import digest, generator
from salmu.data.publish.check import check_files
from salmu.data.readers import SPLITS, open_dataset
from salmu.data.store import Store
from salmu.flows.command_line.inspect_items import select
from salmu.flows.running.stages import STAGES

SHARDS = 40
OUTCOMES = ("refused", "harmless", "silent", "traceback")


def read_stage(folder: Path, stage: str) -> str:
    """A digest of all that a stage's files tell."""
    store = Store(folder)
    view = store.view(stage, STAGES[stage].KEY)
    shown = [len(list(select(store, stage, None, {}, rejects))) for rejects in (False, True)]
    return digest(repr((view.manifest, list(view.rows()), view.rejects(), view.row_digests(), shown)))


def read_dataset(folder: Path) -> str:
    """A digest of all that a published folder tells its readers."""
    dataset = open_dataset(folder)
    told = [dataset.table(split).to_pylist() for split in SPLITS]
    documents = (dataset.identities, dataset.proofs, dataset.captions_metadata, dataset.generic_captions)
    source = from_dataset(folder)
    return digest(repr((told, documents, sorted(dataset.fragile_set_ids), dataset.digest, source.name, source.dropped)))


def verify_dataset(folder: Path) -> str:
    return digest(repr(check_files(folder)))


Reader = Callable[[], str]


def targets(run: Path, seed: int) -> dict[Path, tuple[str, list[Reader]]]:
    """File -> its kind and what reads it."""
    found: dict[Path, tuple[str, list[Reader]]] = {}
    shards = [path for stage in STAGES for path in sorted((run / stage).glob("*-*.parquet"))]
    order = [shards[place] for place in generator(seed, "flips", "shards").permutation(len(shards))]
    rejects_first = sorted(order, key=lambda path: not path.name.startswith("rejects"))
    for path in sorted(rejects_first[:SHARDS]):
        found[path] = (path.name.split("-")[0], [lambda stage=path.parent.name: read_stage(run, stage)])
    for stage in STAGES:
        if (path := run / stage / "manifest.json").is_file():
            found[path] = ("manifest.json", [lambda stage=stage: read_stage(run, stage)])
    folder = run / "dataset"
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        readers: list[Reader] = [lambda: verify_dataset(folder)]
        if path.suffix in (".parquet", ".json") and path.parent.name != "webdataset" and path.name != "croissant.json":
            readers.append(lambda: read_dataset(folder))
        kind = "provenance.json" if path.name == "provenance.json" else f"published {path.suffix}"
        found[path] = (kind, readers)
    return found


def outcome(reader: Reader, expected: str) -> str:
    """What becomes of a read that may be of a damaged file."""
    forget_comparisons()
    try:
        return "harmless" if reader() == expected else "silent"
    except UserError as error:
        return "refused" if "\n" not in str(error) else "traceback"
    except Exception:
        return "traceback"


def flipped(run: Path, flips: int, seed: int) -> dict:
    """Outcome of each flip, by kind of file; files are as before afterwards."""
    files = targets(run, seed)
    expected = {path: [reader() for reader in readers] for path, (_, readers) in files.items()}
    rng, counts, bad = generator(seed, "flips"), {}, []
    each = -(-flips // len(files))
    for path, (kind, readers) in files.items():
        whole = path.read_bytes()
        bits = {0, 8 * len(whole) - 1, *(int(bit) for bit in rng.integers(8 * len(whole), size=max(each - 2, 0)))}
        for bit in sorted(bits):
            content = bytearray(whole)
            content[bit // 8] ^= 1 << bit % 8
            path.write_bytes(content)
            for reader, known in zip(readers, expected[path], strict=True):
                found = outcome(reader, known)
                counts.setdefault(kind, Counter())[found] += 1
                if found in ("silent", "traceback"):
                    bad.append({"file": path.relative_to(run).as_posix(), "bit": bit, "outcome": found})
        path.write_bytes(whole)
    forget_comparisons()
    return {
        "files": len(files),
        "shards_and_rejects": sum(kind in ("part", "rejects") for kind, _ in files.values()),
        "kinds": {kind: {name: counts[kind][name] for name in OUTCOMES} for kind in sorted(counts)},
        "all": {name: sum(one[name] for one in counts.values()) for name in OUTCOMES},
        "bad": bad,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished run; it is copied, never changed")
    parser.add_argument("--flips", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="salmu-flips-") as folder:
        copy = Path(folder) / options.run.name
        copy.mkdir()
        for name in (*STAGES, "dataset"):
            if (options.run / name).is_dir():
                shutil.copytree(options.run / name, copy / name)
        start = time.perf_counter()
        result = {"flips_asked_for": options.flips, "seed": options.seed} | flipped(copy, options.flips, options.seed)
        result["seconds"] = round(time.perf_counter() - start, 1)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
