"""The gallery at the paper's scale: time and memory to build it, and to use it in a headless Chromium.

    python benchmarks/gallery.py [--identities 774] [--portraits 60000] [--folder DIR] [--screenshots DIR]

Makes a run in DIR (a temporary folder by default; one that is there is used again): pictures drawn for a few people and
then mirrored and toned, repeated over all identities; personas and pairs by the stages themselves. Times in the page:
from the start of the navigation to the frame that shows the first picture, with the files put out of the system's
cache before; to the end of a search through all captions, and so on. Memory: of the page's process, and of the whole
browser.
Writes benchmarks/gallery.json."""

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from chromium import Chromium
from PIL import Image, ImageOps

from salmu.data import schemas
from salmu.data.identities import identity_id
from salmu.data.keyed import generator, integer
from salmu.data.procedural.person import draw_person
from salmu.data.store import Manifest, Reject, Shard, ShardResult, Store
from salmu.tasks.assembly import stage as assembly
from salmu.tasks.personas import stage as personas
from salmu.tasks.portraits import procedural

OUT = Path(__file__).with_suffix(".json")
STYLES = ("direct", "instruction", "passive", "possessive", "question_answer")
PEOPLE, VIEWS, TONES, SHORT_SIDE = 24, 10, 4, 320
REASONS = ("too_dark", "outlier", "several_faces", "not_the_anchor")
BUILD = (
    "import json, resource, sys, time; from salmu.data.gallery.build import build_run; start = time.perf_counter(); "
    "counts = build_run(sys.argv[1]); seconds = round(time.perf_counter() - start, 1); "
    "print(json.dumps(counts | {'seconds': seconds, 'peak_mb': "
    "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))"
)
FIRST_PICTURE = """
document.addEventListener("load", event => {
  if (event.target.tagName === "IMG" && !window.firstPicture) {
    window.firstPicture = -1;
    requestAnimationFrame(() => requestAnimationFrame(() => { window.firstPicture = performance.now(); }));
  }
}, true);
"""
IMAGES = "[...document.querySelectorAll('#view img')]"
SHOWN = f"{IMAGES}.length && {IMAGES}.every(image => image.complete)"


def pictures() -> list[list[tuple[bytes, int, int]]]:
    """For each of a few people, JPEG files with width and height."""
    pool = []
    for number in range(PEOPLE):
        labels = (schemas.GENDERS[number % 2], schemas.AGE_GROUPS[number % 6], schemas.REGIONS[number % 7])
        person, files = draw_person(generator("gallery", number), *labels), []
        for view, tone in product(range(VIEWS), range(TONES)):
            if tone == 0:
                made = procedural.portrait(person, integer("gallery", number, view), SHORT_SIDE, 0)
                drawn = Image.open(io.BytesIO(made["image"]))
            picture = ImageOps.mirror(drawn) if tone % 2 else drawn
            sink = io.BytesIO()
            picture.point(lambda value, tone=tone: value * (100 - 8 * tone) // 100).save(sink, "JPEG", quality=90)
            files.append((sink.getvalue(), *picture.size))
        pool.append(files)
    return pool


def commit(store: Store, stage: str, schema, shards, rejects: tuple[Reject, ...] = ()) -> None:
    """Write rows as a finished stage."""
    manifest = Manifest(stage=stage, complete=True)
    for index, rows in enumerate(shards):
        result = ShardResult(rows, list(rejects) if index == 0 else [])
        manifest.shards.append(store.write_shard(stage, schema, Shard(index=index, items=()), result, "made", 0.0))
    store.write_manifest(manifest)


def make_run(folder: Path, identities: int, portraits: int) -> None:
    """A run of so many sensitive identities and portraits; one portrait in 25 is dropped on top."""
    store, pool, ids = Store(folder), pictures(), [identity_id(0, number) for number in range(identities)]
    traits = [
        {"gender": schemas.GENDERS[n % PEOPLE % 2], "age_group": schemas.AGE_GROUPS[n % PEOPLE % 6],
         "region": schemas.REGIONS[n % PEOPLE % 7]} for n in range(identities)
    ]  # fmt: skip
    kept = [portraits // identities + (n < portraits % identities) for n in range(identities)]

    def rows_of(n: int):
        for place in range(kept[n] + max(1, kept[n] // 25)):
            content, width, height = pool[n % PEOPLE][(place * 7 + n) % (VIEWS * TONES)]
            name = f"{ids[n]}_{place + 1:03}_ar-{width / height:.2f}.jpg"
            yield {"file_name": name, "identity_id": ids[n], "portrait_index": place + 1, "width": width,
                   "height": height, "image": content}  # fmt: skip

    def judged(n: int, place: int, row: dict) -> dict:
        good = place < kept[n]
        like = round(0.5 + integer("like", row["file_name"], bits=20) / 2**21, 4)
        return {"file_name": row["file_name"], "identity_id": ids[n], "kept": good, "role": "sensitive",
                "reason": None if good else REASONS[(n + place) % len(REASONS)], "identity_similarity": like,
                "anchor_similarity": like, **traits[n]}  # fmt: skip

    numbers = [range(start, min(start + 20, identities)) for start in range(0, identities, 20)]
    anchors = [{"identity_id": ids[n], "image": pool[n % PEOPLE][0][0], **traits[n]} for n in range(identities)]
    commit(store, "anchors", schemas.ANCHORS, [anchors])
    commit(store, "portraits", schemas.PORTRAITS, ([row for n in some for row in rows_of(n)] for some in numbers))
    commit(store, "curation", schemas.CURATION, (
        [judged(n, place, row) for n in some for place, row in enumerate(rows_of(n))] for some in numbers))  # fmt: skip
    views = {"curation": store.view("curation", "file_name"), "portraits": store.view("portraits", "file_name")}
    settings = personas.Settings()
    engine, shards = personas.load_engine(settings), personas.plan(settings, views)
    made = [personas.run(shard, settings, views, engine).rows for shard in shards]
    commit(store, "personas", personas.SCHEMA, made)
    commit(store, "captions", schemas.CAPTIONS, captions(store, made), (Reject(f"{ids[0]}/job/9", "value missing"),))
    views |= {"personas": store.view("personas", "identity_id"), "captions": store.view("captions", "caption_id")}
    settings = assembly.Settings()
    (shard,) = assembly.plan(settings, views)
    commit(store, "assembly", schemas.PAIRS, [assembly.run(shard, settings, views, None).rows])


def captions(store: Store, people: list[list[dict]]):
    """Five sentences of each fact, and one without personal data for each portrait that was kept."""
    for row in (row for rows in people for row in rows):
        facts = {field: row[field] if field != "emails" else row[field][0] for field in schemas.DATA_FIELDS}
        yield [
            {"caption_id": f"{row['identity_id']}/{field}/{variant}", "identity_id": row["identity_id"], "value": value,
             "data_field": field, "variant": variant, "style": style, "generator": "grammar", "attempts": 1,
             "text": f"The {field.replace('_', ' ')} that stands in the file of {row['name']} is {value}, as told "
             f"in a sentence of the {style} kind."}
            for (field, value), (variant, style) in product(facts.items(), enumerate(STYLES))
        ]  # fmt: skip
    for table in store.view("curation", "file_name").tables(["file_name", "identity_id", "kept"]):
        yield [
            {"caption_id": f"generic/{row['file_name']}", "identity_id": row["identity_id"], "data_field": "generic",
             "file_name": row["file_name"], "variant": 0, "style": "generic",
             "text": f"A portrait photo of a person who looks at the camera, in light number {place % 97}."}
            for place, row in enumerate(table.to_pylist()) if row["kept"]
        ]  # fmt: skip


def forget_files(folder: Path) -> None:
    """Put the files out of the system's cache, as after a start of the machine."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(gallery: Path, width: int, height: int, shots: Path | None) -> dict:
    """A person's way through the gallery in a window of that size: seconds, and megabytes at the most."""
    found, page = {"window": f"{width} x {height}"}, gallery / "index.html"
    forget_files(gallery)
    with Chromium() as browser:
        browser.size(width, height)
        browser.send("Page.addScriptToEvaluateOnNewDocument", source=FIRST_PICTURE)
        time.sleep(1)
        found["page_blank_mb"], found["browser_blank_mb"] = browser.memory()

        def step(name: str, act: str, until: str) -> None:
            browser.evaluate(f"{{{act}}}")  # in a block, so that names stay inside
            found[name] = round(browser.wait(until), 2)
            if shots:
                browser.screenshot(shots / f"{name}-{width}.png")

        browser.open(page)
        browser.wait("window.firstPicture > 0")
        found["first_picture_seconds"] = round(browser.evaluate("firstPicture") / 1000, 2)
        step("all_in_sight_seconds", "0", SHOWN)
        step(
            "portraits_seconds",
            "location.hash = 'portraits'; 0",
            f"document.querySelector('.portraits img') && {SHOWN}",
        )
        browser.evaluate("document.querySelector('.tile').focus()")
        for _ in range(100):
            browser.key("PageDown")
            browser.wait(SHOWN)
        browser.key("End")
        found["jump_to_the_end_seconds"] = round(browser.wait(SHOWN), 2)
        found["portraits_shown"] = browser.evaluate("document.getElementById('status').textContent")
        choose = "const f = document.getElementById('by-{0}'); f.value = '{1}'; f.dispatchEvent(new Event('change')); 0"
        changed = "!document.getElementById('status').textContent.startsWith(window.before) && "
        browser.evaluate("window.before = document.getElementById('status').textContent.split(' ')[0]; 0")
        step("filter_seconds", choose.format("style", "passive"), changed + SHOWN)
        browser.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        browser.wait(SHOWN)
        search = "const q = document.getElementById('query'); q.value = {0!r}; q.dispatchEvent(new Event('input')); 0"
        searched = "location.hash.includes('{0}') && !document.getElementById('view').ariaBusy && " + SHOWN
        browser.evaluate(f"{{{choose.format('style', '')}}}")
        for name, words in (("first", "passport question_answer"), ("next", "iban direct")):
            step(f"{name}_captions_search_seconds", search.format(words), searched.format(words.split()[0]))
            found[f"{name}_captions_search"] = browser.evaluate("document.getElementById('status').textContent")
        step(
            "portrait_seconds",
            "document.querySelector('.tile').click()",
            "document.querySelector('dialog img')?.complete",
        )
        browser.key("Escape")
        step(
            "identity_seconds",
            "location.hash = `person/${gallery.people[400 % gallery.people.length].id}`; 0",
            f"document.querySelector('.person img') && {SHOWN}",
        )
        found["heap_mb"] = round(browser.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
        time.sleep(0.5)
        found["page_peak_mb"], found["browser_peak_mb"] = browser.peak
        found["problems"] = browser.problems
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=774)
    parser.add_argument("--portraits", type=int, default=60_000, help="portraits that are kept")
    parser.add_argument("--folder", type=Path, help="of the run that is made, about 2 GB (default: a temporary one)")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the steps")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = options.folder or Path(temporary) / "gallery"
        if not Store(run).manifest("assembly").complete:
            make_run(run, options.identities, options.portraits)
        shutil.rmtree(run / "gallery", ignore_errors=True)  # to remove an old one takes time of its own
        built = subprocess.run([sys.executable, "-c", BUILD, run], check=True, stdout=subprocess.PIPE, text=True)
        gallery = run / "gallery"
        files = [path for path in gallery.rglob("*") if path.is_file()]
        build = json.loads(built.stdout) | {"files": len(files), "mb": sum(p.stat().st_size for p in files) // 10**6}
        if options.screenshots:
            options.screenshots.mkdir(parents=True, exist_ok=True)
        sizes = ((1280, 900), (390, 844))
        use = [measure(gallery, *size, None) for size in sizes]
        for size in sizes if options.screenshots else ():  # on their own, since they take memory
            measure(gallery, *size, options.screenshots)
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    OUT.write_text(json.dumps({"build": build, "use": use, "machine": machine}, indent=1) + "\n", encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
