"""Speed of analysis and of curation, in one run on one machine.

    python benchmarks/curation.py [--rows 100000] [--identities 12]

Analysis, images a second: the stage against the plain use of the same libraries, one picture at a time through
insightface's FaceAnalysis and through open_clip, on the same drawn portraits with the embedded models. Curation,
seconds: on made-up measurements of a run of the tiny profile's size and of the paper's scale, with calibrated
thresholds and the store's write. Prints Markdown tables and writes benchmarks/curation.json."""

import argparse
import io
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from salmu.data import schemas
from salmu.data.keyed import generator, integer
from salmu.data.procedural.person import draw_person
from salmu.data.store import Manifest, Shard, ShardResult, Store
from salmu.tasks.analysis import stage as analysis
from salmu.tasks.curation import stage as curation
from salmu.tasks.labels import EMBEDDED_CLIP, face_square, whole_square
from salmu.tasks.portraits import procedural

OUT = Path(__file__).with_suffix(".json")
IDENTITIES_PER_SHARD = 12
EMBEDDING = 512


def views(store: Store) -> dict:
    keys = {"anchors": "identity_id", "portraits": "file_name", "analysis": "file_name"}
    return {name: store.view(name, key) for name, key in keys.items()}


def commit(store: Store, stage: str, schema, shards: Iterable[list[dict]]) -> None:
    """Write rows as a finished stage."""
    manifest = Manifest(stage=stage, complete=True)
    for index, rows in enumerate(shards):
        shard = Shard(index=index, items=())
        manifest.shards.append(store.write_shard(stage, schema, shard, ShardResult(rows), "made", 0.0))
    store.write_manifest(manifest)


def drawn(identities: int, per_identity: int) -> tuple[list[dict], list[dict]]:
    """Anchors without a picture, and portraits of the tiny profile's kind."""
    people, rows = [], []
    for number in range(identities):
        rng = generator("benchmark", "person", number)
        labels = (schemas.GENDERS[number % 2], schemas.AGE_GROUPS[number % 6], schemas.REGIONS[number % 7])
        person, identity_id = draw_person(rng, *labels), f"{number:08}"
        people.append({"identity_id": identity_id, "face_embedding": rng.normal(size=EMBEDDING).tolist()})
        for portrait in range(per_identity):
            made = procedural.portrait(person, integer("benchmark", number, portrait), 128, 0.08)
            rows.append(made | {"file_name": f"{identity_id}_{portrait:03}.jpg", "identity_id": identity_id})
    return people, rows


def plain(pictures: list[bytes], engine: analysis.Engine) -> None:
    """What analysis does, as a script would: one picture at a time, each library called as its pages show."""
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{EMBEDDED_CLIP}")
    model.eval()
    classifiers = engine.zero_shot.classifiers
    for content in pictures:
        image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        faces = engine.faces.get(np.ascontiguousarray(image[:, :, ::-1]))
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        shown = [("image", whole_square(picture))]
        if faces:
            largest = max(faces, key=lambda face: np.prod(face.bbox[2:] - face.bbox[:2]))
            shown.append(("face", face_square(picture, largest.bbox)))
        for view, square in shown:
            with torch.no_grad():
                features = model.encode_image(preprocess(square)[None], normalize=True)
                for name, question in engine.zero_shot.questions.items():
                    if question.view == view:
                        (features @ classifiers[name]).softmax(dim=1).tolist()


def measure_analysis(identities: int, threads: int) -> dict:
    """Images a second of the stage and of the plain loop, in turns, three times each."""
    people, rows = drawn(identities, 28)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        commit(store, "anchors", schemas.ANCHORS, [people])
        commit(store, "portraits", schemas.PORTRAITS, [rows])
        settings, upstream = analysis.Settings(threads=threads, identities_per_shard=identities), views(store)
        engine = analysis.load_engine(settings)
        (shard,) = analysis.plan(settings, upstream)
        pictures = [row["image"] for row in rows]
        seconds = {"stage": [], "plain": []}
        for _ in range(3):
            start = time.perf_counter()
            analysis.run(shard, settings, upstream, engine)
            seconds["stage"].append(time.perf_counter() - start)
            start = time.perf_counter()
            plain(pictures, engine)
            seconds["plain"].append(time.perf_counter() - start)
    rates = {name: round(len(pictures) / min(times), 1) for name, times in seconds.items()}
    return {"images": len(pictures), **rates, "ratio": round(rates["stage"] / rates["plain"], 2)}


def synthetic(identities: int, per_identity: int) -> Iterator[tuple[list[dict], list[dict]]]:
    """Anchors and measured portraits of some identities: 4 % strangers, 2 % without a face."""
    questions = {"people": "one", "medium": "photo", "occlusion": "clear", "quality": "sharp", "unsafe": "safe"}
    for number in range(identities):
        rng = generator("benchmark", number)
        identity = {
            "identity_id": f"{number:08}",
            "gender": schemas.GENDERS[number % 2],
            "age_group": schemas.AGE_GROUPS[number % 6],
            "region": schemas.REGIONS[number % 7],
        }
        centre = rng.normal(size=EMBEDDING)
        rows = []
        for portrait in range(per_identity):
            kind = rng.random()
            face = rng.normal(size=EMBEDDING) + (0 if kind < 0.04 else 1.5) * centre
            picture = rng.normal(size=EMBEDDING) + centre
            voters = {
                name: {label: 0.9 if label == identity[name] else 0.1 / (len(labels) - 1) for label in labels}
                for name, labels in (
                    ("gender", schemas.GENDERS), ("age_group", schemas.AGE_GROUPS), ("region", schemas.REGIONS)
                )
            }  # fmt: skip
            labels = voters | {name: {well: float(rng.beta(20, 1)), "else": 0.0} for name, well in questions.items()}
            row = {
                "file_name": f"{number:08}_{portrait:03}_ar-1.00.jpg",
                "identity_id": identity["identity_id"],
                "faces": 0 if kind > 0.98 else 1,
                "brightness": float(rng.beta(5, 6)),
                "clip_embedding": unit(picture),
                "labels": json.dumps(labels),
            }
            if row["faces"]:
                row |= {
                    "detection_score": float(rng.beta(20, 2)),
                    "face_embedding": unit(face),
                    "anchor_similarity": float(face @ centre / np.linalg.norm(face) / np.linalg.norm(centre)),
                    "fairface": json.dumps(voters),
                }
            rows.append(row)
        yield identity | {"face_embedding": unit(centre)}, rows


def unit(vector: np.ndarray) -> list[float]:
    """Of length 1, with three decimals: quick to write."""
    return np.round(vector / np.linalg.norm(vector), 3).tolist()


def batched(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


def write_synthetic(store: Store, identities: int, per_identity: int) -> None:
    """A store with measured portraits that were never drawn."""
    people = [identity for identity, _ in synthetic(identities, 0)]
    commit(store, "anchors", schemas.ANCHORS, [people])
    for stage, schema in (("portraits", schemas.PORTRAITS), ("analysis", schemas.ANALYSIS)):
        shards = batched((rows for _, rows in synthetic(identities, per_identity)), IDENTITIES_PER_SHARD)
        commit(store, stage, schema, (sum(some, []) for some in shards))


def measure_curation(identities: int, per_identity: int, folder: Path) -> dict:
    """Seconds of the stage's run, of its write and of its summary, on measurements made before."""
    store = Store(folder)
    write_synthetic(store, identities, per_identity)
    chosen = {"identities": int(identities * 0.774), "retain_identities": int(identities * 0.15)}
    settings = curation.Settings(
        **chosen, min_anchor_similarity=0.4, calibration={"false_reject_rate": 0.01}, max_portrait_similarity=0.96
    )
    upstream = views(store)
    (shard,) = curation.plan(settings, upstream)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = curation.run(shard, settings, upstream, None)
    ran = time.perf_counter()
    entry = store.write_shard("curation", curation.SCHEMA, shard, result, "made", 0.0)
    store.write_manifest(Manifest(stage="curation", shards=[entry], complete=True))
    written = time.perf_counter()
    return {
        "rows": len(result.rows),
        "kept": sum(row["kept"] for row in result.rows),
        "run_seconds": round(ran - start, 2),
        "write_seconds": round(written - ran, 2),
        "memory_added_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="portraits of the large curation run")
    parser.add_argument("--identities", type=int, default=12, help="identities whose portraits are analysed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the stage analysis")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {"analysis": measure_analysis(options.identities, options.threads), "curation": []}
    for identities, per_identity in ((66, 28), (max(options.rows // 100, 1), 100)):
        with tempfile.TemporaryDirectory() as folder:
            found["curation"].append(measure_curation(identities, per_identity, Path(folder)))
    found["machine"] = {
        "cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version(),
        "torch": torch.__version__, "open_clip": version("open_clip_torch"), "threads": options.threads,
    }  # fmt: skip
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"| analysis, {found['analysis']['images']} portraits | images/s |\n|---|---:|\n"
        f"| stage, {options.threads} threads | {found['analysis']['stage']} |\n"
        f"| one picture at a time | {found['analysis']['plain']} |\n"
        f"| ratio | {found['analysis']['ratio']} |\n\n"
        "| curation run again, portraits | seconds | to write | MB added |\n|---:|---:|---:|---:|"
    )
    for line in found["curation"]:
        print(f"| {line['rows']:,} | {line['run_seconds']} | {line['write_seconds']} | {line['memory_added_mb']} |")


if __name__ == "__main__":
    main()
