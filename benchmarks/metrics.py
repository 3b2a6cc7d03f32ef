"""All array metrics with their intervals at the size of the published benchmark, on random embeddings.

    OPENBLAS_NUM_THREADS=1 python benchmarks/metrics.py [--share 1.0] [--products]

With --products: the metrics that are matrix products of embeddings against the products alone, CPU seconds of one
thread, written to benchmarks/metrics.json.

Else: seconds and peak memory of `measure` and of the intervals, then the ratio to a straightforward row-by-row
implementation of the eight published metrics that have one, in the same run; both must give the same numbers. GenKnow
is left out: it is a matter of encoding."""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np

from salmu.data.keyed import generator
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.bootstrap import bounds_of
from salmu.evaluation.metrics.residue import image_residue
from salmu.evaluation.metrics.retrieval import BLOCK, retrieval_failure
from salmu.evaluation.metrics.score import possible
from salmu.evaluation.metrics.similarity import mean_similarity
from salmu.evaluation.metrics.zero_shot import NAME_PROMPTS
from salmu.evaluation.scoring.evaluate import uncertainty
from salmu.evaluation.scoring.measures import measure

OUT = Path(__file__).with_suffix(".json")
WIDTH = 512
SPLITS = {  # rows and persons as published; the first person's number
    "forget": (30_468, 580, 0),
    "holdout_association": (14_943, 387, 0),
    "holdout_identity": (14_642, 194, 580),
    "retain_joint": (749, 580, 0),
    "retain_disjoint": (15_992, 15_992, 1000),
    "fragile_set": (787, 787, 1000),
    "retain_synth": (16_741, 16_572, 1000),
}
TABLE = generator("benchmark", "texts").normal(size=(2**16, WIDTH)).astype(np.float32)
TABLE /= np.linalg.norm(TABLE, axis=1, keepdims=True)


def encode(texts: list[str]) -> np.ndarray:
    """An embedding of each text: a random direction that depends on the text alone."""
    keys = np.array([crc32(text.encode()) for text in texts], np.int64)
    return (TABLE[keys % len(TABLE)] + TABLE[keys // len(TABLE)]) / np.float32(np.sqrt(2))


def persona(number: int) -> dict[str, str]:
    return {"name": f"Name{number} Surname{number}"} | {field: f"{field}-{number}" for field in DATA_FIELDS}


def pairs_of(split: str, rows: int, persons: int, first: int) -> Pairs:
    rng = generator("benchmark", split)
    number = np.sort(first + np.arange(rows) % persons)
    place = np.arange(rows)
    people = {one: persona(one) for one in np.unique(number).tolist()}
    field = [DATA_FIELDS[row % 8] for row in place]
    name = [people[one]["name"] for one in number.tolist()]
    value = [people[one][about] for one, about in zip(number.tolist(), field, strict=True)]
    text = [f"{who}, {about} {what}, wording {row}" for who, about, what, row in zip(name, field, value, place)]
    texts = encode(text)
    images = np.float32(0.3) * texts + (rng.normal(size=(rows, WIDTH)) / WIDTH**0.5).astype(np.float32)
    strings = {
        "file_name": [f"{one:08d}_{row:05d}.jpg" for one, row in zip(number, place, strict=True)],
        "text": text,
        "identity": [f"{one:08d}" for one in number],
        "person": [f"{one:08d}" for one in number],
        "name": name,
        "field": field,
        "value": value,
        "gender": [("female", "male")[one % 2] for one in number],
        "age_group": [("20-29", "30-39", "40-49")[one % 3] for one in number],
        "country": [f"C{one // 2 % 65:02d}" for one in number],
    }
    arrays = {key: np.array(values, object) for key, values in strings.items()}
    return Pairs(**arrays, images=images / np.linalg.norm(images, axis=1, keepdims=True), texts=texts)


def by_rows(settings: EvaluationSettings, pairs: dict[str, Pairs]) -> dict[str, tuple[float, tuple[float, float]]]:
    """Eight published metrics as one would write them down: a loop over rows, and one over replicates and persons."""
    forget, seed = pairs["forget"], settings.seed
    pools = []
    for part in ("forget", "retain_disjoint"):
        chosen = generator(seed, "RetFail", part).choice(len(pairs[part]), settings.retrieval_pool, replace=False)
        pools += [(pairs[part].text[row], pairs[part].texts[row]) for row in chosen]
    gallery, captions = np.array([vector for _, vector in pools]), np.array([text for text, _ in pools])
    values: dict[str, list[float]] = {"RetFail": [], "CoreAssoc": []}
    for row in range(len(forget)):
        image, own = forget.images[row], forget.images[row] @ forget.texts[row]
        scores = (gallery @ image)[captions != forget.text[row]]
        values["RetFail"].append(1 / (1 + np.sum(scores > own)))
        both = encode([f"{forget.name[row]} {forget.value[row]}", f"{forget.value[row]} {forget.name[row]}"])
        values["CoreAssoc"].append(max(both @ image))
    alone = pairs["forget_identity"]
    names = sorted(set(alone.name))
    classes = [np.mean([encode([prompt.format(name)])[0] for prompt in NAME_PROMPTS], 0) for name in names]
    classes = np.array([one / np.linalg.norm(one) for one in classes])
    values["IdZSC"] = [names[(classes @ image).argmax()] == name for image, name in zip(alone.images, alone.name)]
    persons = {"RetFail": forget.person, "CoreAssoc": forget.person, "IdZSC": alone.person}
    for metric, split in (
        ("AssocStr", "forget"),
        ("InterIdSim", "holdout_identity"),
        ("IntraIdSim", "holdout_association"),
        ("VisIdInt", "retain_joint"),
        ("FragSim", "fragile_set"),
    ):
        values[metric] = [image @ text for image, text in zip(pairs[split].images, pairs[split].texts, strict=True)]
        persons[metric] = pairs[split].person
    return {
        metric: (float(np.mean(found)), bootstrapped(np.array(found, float), persons[metric], settings, metric))
        for metric, found in values.items()
    }


def bootstrapped(values: np.ndarray, persons: np.ndarray, settings: EvaluationSettings, metric: str):
    groups = [values[persons == person] for person in sorted(set(persons))]
    rng = generator(settings.seed, "bootstrap", metric)
    means = []
    for drawn in rng.integers(0, len(groups), (settings.bootstrap_replicates, len(groups))):
        means.append(np.concatenate([groups[place] for place in drawn]).mean())
    return possible(metric, bounds_of(np.array(means), len(groups), 0.95))


def beside_products(settings: EvaluationSettings, pairs: dict[str, Pairs], repeats: int) -> dict[str, float]:
    """Median CPU seconds of one thread: of the metrics that are matrix products of embeddings, and of these products
    alone, in turns."""
    forget, public, seed, size = pairs["forget"], pairs["retain_disjoint"], settings.seed, settings.retrieval_pool
    asked = {"RetFail": forget, "InterIdMRR": pairs["holdout_identity"], "IntraIdMRR": pairs["holdout_association"]}
    gallery = np.concatenate([forget.texts[:size], public.texts[:size]])
    people = len(set(forget.person))
    paired = ("forget", "holdout_identity", "holdout_association", "retain_joint", "fragile_set")

    def metrics() -> None:
        for metric, part in asked.items():
            retrieval_failure(part, public, size, seed, metric)
        image_residue(forget, pairs["forget_identity"].person)
        for split in paired:
            mean_similarity("AssocStr", pairs[split])

    def products() -> None:
        for part in asked.values():
            for start in range(0, len(part), BLOCK):
                part.images[start : start + BLOCK] @ gallery.T
        for start in range(0, len(pairs["forget_identity"]), BLOCK):
            pairs["forget_identity"].images[start : start + BLOCK] @ forget.texts[:people].T
        for split in paired:
            np.einsum("nd,nd->n", pairs[split].images, pairs[split].texts)

    taken: dict[str, list[float]] = {"metrics": [], "products": []}
    for _ in range(repeats):
        for name, work in (("metrics", metrics), ("products", products)):
            began = time.thread_time()
            work()
            taken[name].append(time.thread_time() - began)
    found = {f"{name}_s": round(float(np.median(times)), 3) for name, times in taken.items()}
    return found | {"ratio": round(found["metrics_s"] / found["products_s"], 2)}


def timed(what: str, work: Callable):
    start = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - start
    print(f"{what:<52} {seconds:8.1f} s", flush=True)
    return found, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the published rows (default: all)")
    parser.add_argument("--products", action="store_true", help="against the matrix products alone, nothing else")
    options = parser.parse_args()
    share = options.share
    settings = EvaluationSettings()
    pairs = {
        name: pairs_of(name, round(rows * share), max(2, round(people * share)), first)
        for name, (rows, people, first) in SPLITS.items()
    }
    shared = set(pairs["holdout_association"].identity)
    pairs["forget_identity"] = pairs["forget"].rows(np.array([one not in shared for one in pairs["forget"].identity]))
    identities = {identity: persona(int(identity)) for part in pairs.values() for identity in set(part.identity)}
    rows = {name: len(part) for name, part in pairs.items()}
    print(f"rows: {rows}; width {WIDTH}; {settings.bootstrap_replicates} replicates")
    if options.products:
        record = beside_products(settings, pairs, repeats=5) | {"share": share, "load": round(os.getloadavg()[0], 1)}
        OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(record)
        return
    (scores, tables), metrics = timed(
        "every metric and its tables", lambda: measure(settings, pairs, identities, encode)
    )
    found, intervals = timed("the intervals of the metrics", lambda: uncertainty(settings, scores))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(scores)} metrics, {metrics + intervals:.1f} s in all, peak memory {memory:.2f} GB")
    expected, slow = timed("eight of them, row by row", lambda: by_rows(settings, pairs))
    eight = {metric: scores[metric] for metric in expected}
    for metric, (value, bounds) in expected.items():
        assert np.isclose(eight[metric].values.mean(), value, atol=1e-5), metric
        assert np.allclose(found["intervals"][metric], bounds, atol=1e-5), metric
    print(
        f"the same numbers; row by row, those eight take {slow / (metrics + intervals):.1f} times as long as all here"
    )


if __name__ == "__main__":
    main()
