"""What the stages candidates and analysis take beside their engines: CPU seconds of one thread a picture, against the
sum of what cannot be left out, called on inputs that are ready: decoding, resizing, encoding, and the bare sessions and
networks of the same models.

    python benchmarks/engines.py [--pictures 24] [--repeats 7]

Candidates: JPEG files of 1,024 pixels a side, kept at 512. Analysis: drawn portraits of the tiny profile. Both sides in
turns; medians. Prints a Markdown table and writes benchmarks/engines.json, with a digest of the rows."""

import argparse
import hashlib
import io
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from salmu.data.keyed import generator, integer
from salmu.data.procedural.person import draw_person
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.tasks.analysis import stage as analysis
from salmu.tasks.candidates import images, measure
from salmu.tasks.candidates import procedural as drawn_candidates
from salmu.tasks.face_packs import FaceSettings
from salmu.tasks.faces import load_faces
from salmu.tasks.labels import face_square, whole_square
from salmu.tasks.portraits import procedural

OUT = Path(__file__).with_suffix(".json")
SIDE, KEPT, QUALITY = 1024, 512, 90


def jpeg(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=92)
    return sink.getvalue()


def photographs(count: int) -> list[bytes]:
    """Drawn faces at 1,024 pixels, with noise so that they have the detail of photographs."""
    made = []
    for number in range(count):
        _, image = drawn_candidates.draw(0, number, f"{number:08}", 160)
        large = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(int)
        noise = generator("benchmark", "engines", number).integers(-6, 7, large.shape)
        made.append(jpeg(np.clip(large + noise, 0, 255).astype(np.uint8)))
    return made


def portraits(count: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(count):
        labels = (GENDERS[number % 2], AGE_GROUPS[number % 6], REGIONS[number % 7])
        person = draw_person(generator("benchmark", "person", number), *labels)
        made = procedural.portrait(person, integer("benchmark", number), 128, 0.0)
        rows.append(made | {"file_name": f"{number:08}_001.jpg", "identity_id": f"{number:08}"})
    return rows


def blob(pixels: np.ndarray, model, side: tuple[int, int]) -> np.ndarray:
    """A picture as a session of insightface wants it."""
    resized = cv2.resize(pixels, side)
    return cv2.dnn.blobFromImage(resized, 1 / model.input_std, side, (model.input_mean,) * 3, swapRB=False)


def bare(app, kinds: list[str], pictures: list[np.ndarray]) -> Callable[[], None]:
    """Runs the sessions of these models on every picture; the inputs are made here, once."""
    work = []
    for model in (app.models[kind] for kind in kinds):
        inputs = [{model.input_name: blob(pixels, model, tuple(model.input_size))} for pixels in pictures]
        work += [(model.session, given) for given in inputs]

    def run() -> None:
        for session, given in work:
            session.run(None, given)

    return run


def candidates_sides(count: int) -> dict[str, Callable[[], Any]]:
    files = photographs(count)
    engine = measure.Engine(load_faces(FaceSettings()), None, None)

    def stage() -> list:
        return measure.measure(engine, [images.decode(content, KEPT, QUALITY) for content in files], [{}] * count)

    run = bare(engine.faces, ["detection", "recognition", "genderage"], [one.image for one in map(_opened, files)])

    def floor() -> None:
        for content in files:
            _opened(content)
        run()

    return {"stage": stage, "floor": floor}


def _opened(content: bytes) -> images.Opened:
    """Decoding, resizing and encoding, nothing else."""
    picture = Image.open(io.BytesIO(content))
    picture.draft("RGB", (KEPT, KEPT))
    picture = picture.convert("RGB")
    picture.thumbnail((KEPT, KEPT), Image.Resampling.LANCZOS)
    image, sink = np.asarray(picture), io.BytesIO()
    picture.save(sink, "JPEG", quality=QUALITY, subsampling=0)
    return images.Opened(image, sink.getvalue(), *picture.size)


def analysis_sides(count: int) -> dict[str, Callable[[], Any]]:
    rows, settings = portraits(count), analysis.Settings(threads=1)
    engine = analysis.load_engine(settings)
    pictures = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in rows]
    boxes = {row["file_name"]: row["box"] for row in analysis.measure(rows, settings, engine).rows if row["faces"]}
    squares = [whole_square(picture) for picture in pictures]
    squares += [
        face_square(picture, boxes[row["file_name"]])
        for picture, row in zip(pictures, rows, strict=True)
        if row["file_name"] in boxes
    ]
    pixels = torch.stack([engine.zero_shot.preprocess(square) for square in squares])
    side = pixels.shape[-1]
    run = bare(engine.faces, ["detection", "recognition"], [np.asarray(picture) for picture in pictures])

    def stage() -> list:
        looks = [analysis.decode_and_detect(engine, row) for row in rows]  # in this thread: its clock is read
        return analysis.recognised(looks, engine)

    def floor() -> None:
        for row in rows:
            Image.open(io.BytesIO(row["image"])).convert("RGB")
        for square in squares:
            square.resize((side, side), Image.Resampling.BICUBIC)
        run()
        with torch.no_grad():
            for start in range(0, len(pixels), settings.batch_size):
                engine.zero_shot.model.encode_image(pixels[start : start + settings.batch_size], normalize=True)

    return {"stage": stage, "floor": floor}


def measured(sides: dict[str, Callable[[], Any]], count: int, repeats: int) -> dict[str, Any]:
    """Median milliseconds a picture of each side, in turns, and the share of the stage that the floor is."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    rows = None
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            began = time.thread_time()
            given = side()
            if repeat:  # the first warms up
                taken[name].append((time.thread_time() - began) / count * 1000)
            rows = given if given is not None else rows
    median = {f"{name}_ms": round(statistics.median(times), 3) for name, times in taken.items()}
    return {
        **median,
        "ratio": round(median["floor_ms"] / median["stage_ms"], 3),
        "rows": hashlib.sha256(repr(rows).encode()).hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    record = {"pictures": options.pictures, "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    for name, sides in (("candidates", candidates_sides), ("analysis", analysis_sides)):
        record[name] = measured(sides(options.pictures), options.pictures, options.repeats)
    OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("| stage | ms a picture | engines alone | ratio |\n|---|---|---|---|")
    for name in ("candidates", "analysis"):
        found = record[name]
        print(f"| {name} | {found['stage_ms']} | {found['floor_ms']} | {found['ratio']} |")
    print(f"\nmedians of {options.repeats}, machine load {record['load']} on {record['cores']} cores")


if __name__ == "__main__":
    main()
