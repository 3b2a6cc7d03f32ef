"""How fast the stages candidates and anchors find good anchors among many pictures, and what slips through.

    python benchmarks/anchors.py --faces 20000 --folder /tmp/faces [--workers 2]

The pictures are drawn once into the folder: a part laid out like SFHQ's, a zip and tar files. A tenth are copies of
others (encoded again, rescaled, cropped a little, brighter or darker), some are damaged and some show two people.
Then, in the same run: both stages in worker processes, without Prefect; the plain use of insightface, one picture at a
time with every model of the pack; and decoding, resizing and encoding alone, as img2dataset does. Prints a Markdown
table and writes benchmarks/anchors.json."""

import argparse
import functools
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from salmu.data.files import write_atomic
from salmu.data.keyed import generator, ranked
from salmu.data.procedural.render import render
from salmu.data.procedural.view import anchor_view
from salmu.data.store import Manifest, Store
from salmu.flows.running.stages import STAGES, planned, upstream_views
from salmu.tasks.candidates import images, procedural
from salmu.tasks.face_packs import EMBEDDED_PACK

SIDE = 128  # pixels
SHARES = {"copy": 0.10, "damaged": 0.01, "two faces": 0.01}
CHANGES = ("encoded again", "rescaled", "cropped", "brighter or darker")
A_TAR = 1000  # pictures
PLAIN = 1000  # pictures of the plain loops
OUT = Path(__file__).with_suffix(".json")


def truth(count: int) -> list[dict]:
    """What each file is, and of whom a copy is one."""
    sizes = {kind: round(share * count) for kind, share in SHARES.items()}
    people = count - sum(sizes.values())
    files = [{"kind": "person"} for _ in range(people)]
    files += [
        {"kind": "copy", "of": index * (people // sizes["copy"]), "change": CHANGES[index % len(CHANGES)]}
        for index in range(sizes["copy"])
    ]
    return files + [{"kind": kind} for kind in ("damaged", "two faces") for _ in range(sizes[kind])]


def draw(index: int, kind: str) -> bytes:
    """The index-th picture as a JPEG file."""
    person, image = procedural.draw(0, index, f"{index:08}", SIDE)
    if kind == "two faces":
        other, _ = procedural.draw(0, index, f"{index:08}b", 96)
        view = anchor_view(generator("two faces", index), person)
        image = render(person, view, SIDE * 3 // 2, SIDE, other).image
    content = encoded(Image.fromarray(image), 92)
    return content[: len(content) // 2] if kind == "damaged" else content


def copied(content: bytes, change: str, index: int) -> bytes:
    """The same picture once more, changed a little."""
    picture, rng = Image.open(io.BytesIO(content)), generator("copy", index)
    if change == "rescaled":
        return encoded(picture.resize((SIDE * 3 // 4, SIDE * 3 // 4), Image.Resampling.BICUBIC), 90)
    if change == "cropped":
        left, top, right, bottom = rng.integers(1, SIDE // 20 + 1, 4).tolist()
        return encoded(picture.crop((left, top, SIDE - right, SIDE - bottom)), 90)
    if change == "brighter or darker":
        return encoded(ImageEnhance.Brightness(picture).enhance(float(rng.choice([0.8, 1.2]))), 90)
    return encoded(picture, 50)


def encoded(picture: Image.Image, quality: int) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def draw_some(folder: Path, some: list[tuple[int, str]]) -> None:
    for index, kind in some:
        path = folder / f"{index:08}.jpg"
        if not path.exists():
            write_atomic(path, draw(index, kind))


def make_pictures(folder: Path, count: int, workers: int) -> list[Path]:
    """Draw what is missing, and lay it out; returns the paths for candidates.images."""
    drawn, made = folder / f"drawn-{count}", folder / f"sources-{count}"
    paths = [made / "part 1", made / "part2.zip", made / "shards"]
    if made.is_dir():
        return paths
    drawn.mkdir(parents=True, exist_ok=True)
    files = truth(count)
    to_draw = [(index, file["kind"]) for index, file in enumerate(files) if file["kind"] != "copy"]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=os.nice, initargs=(10,)) as pool:
        list(pool.map(functools.partial(draw_some, drawn), [to_draw[start::200] for start in range(200)]))
    shutil.rmtree(temporary := folder / "unfinished", ignore_errors=True)
    inside = temporary / "part 1" / "images"
    for part in ("images", "segmentations", "tiny sample (30 images)/images"):
        (temporary / "part 1" / part).mkdir(parents=True)
    (temporary / "shards").mkdir()
    order = ranked(range(count), "order")
    tar = None
    with zipfile.ZipFile(temporary / "part2.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for place, index in enumerate(order):
            file = files[index]
            source = file.get("of", index)
            content = (drawn / f"{source:08}.jpg").read_bytes()
            if file["kind"] == "copy":
                content = copied(content, file["change"], index)
            if place < count // 2:
                (inside / f"SFHQ_pt1_{index:08}.jpg").write_bytes(content)
            elif place < count * 3 // 4:
                archive.writestr(f"SFHQ part 2/images/SFHQ_pt2_{index:08}.jpg", content)
            else:
                if place % A_TAR == 0 or tar is None:
                    tar = tarfile.open(temporary / "shards" / f"{place // A_TAR:05}.tar", "w")
                member = tarfile.TarInfo(f"{index:08}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                if (place + 1) % A_TAR == 0 or place + 1 == count:
                    tar.close()
                    tar = None
    for path in list(inside.iterdir())[:30]:  # neither is to be read
        shutil.copy(path, temporary / "part 1/tiny sample (30 images)/images")
        Image.new("RGB", (SIDE, SIDE)).save(temporary / "part 1/segmentations" / f"{path.stem}.png")
    os.replace(temporary, made)
    return paths


def watch_opens(log: str) -> None:
    """Note every picture file that this process opens, and every member that it reads out of an archive."""
    read, file = images.read_file, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and str(arguments[0]).endswith((".jpg", ".png")):
            os.write(file, f"{arguments[0]}\n".encode())

    def noted(paths: tuple[str, ...], picture):
        if picture.member:
            os.write(file, f"{paths[picture.place]}/{picture.file}/{picture.member}\n".encode())
        return read(paths, picture)

    sys.addaudithook(hook)
    STAGES["candidates"].read_file = noted


@functools.lru_cache
def engine_of(name: str, settings):
    module = STAGES[name]
    return module.load_engine(settings) if hasattr(module, "load_engine") else None


def make_shard(folder: Path, name: str, settings, shard, expected: str):
    """What a worker does for a shard, as flows/running/stage.py."""
    store, module, start = Store(folder), STAGES[name], time.perf_counter()
    result = module.run(shard, settings, upstream_views(store, name), engine_of(name, settings))
    return store.write_shard(name, module.SCHEMA, shard, result, expected, time.perf_counter() - start)


def run_stage(store: Store, name: str, settings, pool) -> float:
    """Make a stage in the pool's processes; returns the seconds, planning included."""
    start = time.perf_counter()
    plan = planned(store, name, settings)
    manifest = Manifest(stage=name, planned=len(plan))
    under_way = [pool.submit(make_shard, store.folder, name, settings, shard, expected) for shard, expected in plan]
    for future in as_completed(under_way):
        manifest.shards.append(future.result())
    manifest.complete = True
    store.write_manifest(manifest)
    return time.perf_counter() - start


class Memory(threading.Thread):
    """The most that this process and its children have held together at any time, in bytes, and the most of one."""

    def __init__(self):
        super().__init__(daemon=True)
        self.together = self.one = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            held = [held_by(pid) for pid in family(os.getpid())]
            self.together, self.one = max(self.together, sum(held)), max(self.one, *held)


def family(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    return [one for one in parents if one == pid or parents[one] == pid]


def held_by(pid: int) -> int:
    """Bytes in memory; what several processes share (libraries) is divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def survivors(store: Store, files: list[dict]) -> Counter:
    """By their change, the planted copies that are still there beside their originals when the duplicates are out."""
    left = {int(row["identity_id"]) for row in store.view("anchors", "identity_id").rows(["identity_id"])}
    left |= {
        int(reject.item) for reject in store.view("anchors", "identity_id").rejects() if reject.reason == "surplus"
    }
    return Counter(file["change"] for index, file in enumerate(files) if index in left and file.get("of", -1) in left)


def plain_insightface(paths: list[Path]) -> float:
    """Pictures a second of the loop that insightface's own pages show, with every model of the pack."""
    from insightface.app import FaceAnalysis

    app = FaceAnalysis(name=str(EMBEDDED_PACK), providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1, det_size=(160, 160))
    start = time.perf_counter()
    for path in paths:
        picture = cv2.imread(str(path))
        if picture is not None:
            app.get(picture)
    return len(paths) / (time.perf_counter() - start)


def decode_and_resize(paths: list[Path]) -> None:
    """What img2dataset does to each picture, as it does it: decode, resize, encode."""
    for path in paths:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is not None:
            cv2.imencode(".jpg", cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), [1, 95])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures are kept for the next time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--anchors", type=int, default=1000)
    parser.add_argument("--only-draw", action="store_true")
    arguments = parser.parse_args()
    paths, files = make_pictures(arguments.folder, arguments.faces, arguments.workers), truth(arguments.faces)
    if arguments.only_draw:
        return
    shutil.rmtree(run := arguments.folder / "run", ignore_errors=True)
    store, log = Store(run), arguments.folder / "opened.txt"
    log.unlink(missing_ok=True)
    watch_opens(str(log))  # here too: planning should open none
    settings = {
        "candidates": STAGES["candidates"].Settings(source="images", images=[str(path) for path in paths]),
        "anchors": STAGES["anchors"].Settings(count=arguments.anchors, min_face_size=40),  # as small as they are drawn
    }
    memory = Memory()
    memory.start()
    with ProcessPoolExecutor(
        arguments.workers, mp_context=get_context("spawn"), initializer=watch_opens, initargs=(str(log),)
    ) as pool:
        seconds = {name: run_stage(store, name, settings[name], pool) for name in settings}
        memory.done.set()
        opened = Counter(log.read_text().splitlines())
        plain = sorted((paths[0] / "images").iterdir())[:PLAIN]
        start = time.perf_counter()
        list(pool.map(decode_and_resize, [plain[first :: arguments.workers] for first in range(arguments.workers)]))
        resized = len(plain) / (time.perf_counter() - start)
    one_at_a_time = plain_insightface(plain)
    views = {name: store.view(name, "identity_id") for name in settings}
    rejects = Counter(reject.reason for view in views.values() for reject in view.rejects())
    kinds, rate = Counter(file["kind"] for file in files), arguments.faces / seconds["candidates"]
    results = {
        "pictures": arguments.faces,
        **{f"planted: {kind}": kinds[kind] for kind in SHARES},
        "pictures opened": len(opened),
        "times that each was opened, at most": max(opened.values()),
        "candidates, s": round(seconds["candidates"], 1),
        "candidates, pictures/s": round(rate, 1),
        "plain insightface, pictures/s": round(one_at_a_time, 1),
        "candidates / plain insightface": round(rate / one_at_a_time, 2),
        "decode and resize alone, pictures/s": round(resized, 1),
        "candidates / decode and resize alone": round(rate / resized, 2),
        "anchors, s": round(seconds["anchors"], 1),
        "most memory of all processes, MB": round(memory.together / 1e6),
        "most memory of one process, MB": round(memory.one / 1e6),
        "planted copies that survive": sum(survivors(store, files).values()),
        **{f"rejected: {reason}": count for reason, count in rejects.most_common()},
        "anchors": views["anchors"].manifest.rows,
    }
    print(f"\n{STAGES['anchors'].summarise(settings['anchors'], views['anchors'], views).text}\n")
    print("| what | value |\n|---|---|\n" + "\n".join(f"| {name} | {value:,} |" for name, value in results.items()))
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "workers": arguments.workers}
    machine |= {"python": platform.python_version(), "system": platform.system()}
    write_atomic(OUT, json.dumps({"machine": machine, "results": results}, indent=1).encode())


if __name__ == "__main__":
    main()
