"""How fast the stage anchors finds the same person among many, against the exact product of everybody with everybody,
and how fast it chooses among them.

    python benchmarks/near_duplicates.py [--people 50000] [--most 425776] [--times 5] [--json FILE]

The embeddings are drawn: their pairs scatter as those of a face recogniser do, and of a hundredth a copy is planted
that is more alike than the threshold. CPU seconds of one thread. In each round, both sides in one process: the products
of all pairs in single precision and nothing else, block by block; and the stage's own search. Medians of the rounds. A
planted pair is missed if the search keeps both. The last row is one search among `--most`, SFHQ's size, whose exact
product is calculated from the smaller one.

Choosing: CPU seconds of putting everybody in order, at several sizes, now and (the smallest size) before a change, each
in a process of its own, and the slope of their logarithm over that of the sizes."""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from both_sides import code_of

from salmu.data.keyed import generator
from salmu.tasks.anchors.duplicates import calibrate, near_duplicates, similarities
from salmu.tasks.anchors.selection import select

WIDTH = 512
SPREAD = 150  # directions that carry most of the variance: cosines of different people scatter by about .08
COPIES = 100  # one of so many people has a copy
FALSE_MATCH_RATE = 1e-6
SAMPLE = 14_200
BLOCK = 4096
CELLS = 84  # of gender, age group and region
CHOSEN = (4000, 8000, 16000)
BEFORE = "c60ada7"
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--most", type=int, default=425_776)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        print(choosing(options.child))
        return
    load = os.getloadavg()[0]
    embeddings, planted, threshold = drawn(options.people)
    rounds = [
        {"product": seconds_of(lambda: product(embeddings)), **searched(embeddings, planted, threshold)}
        for _ in range(options.times)
    ]
    product_s, search_s = (median(one[key] for one in rounds) for key in ("product", "search"))
    rows = [row(options.people, threshold, product_s, search_s, rounds[0])]
    if options.most:
        expected = product_s * (options.most / options.people) ** 2
        embeddings, planted, threshold = drawn(options.most)
        found = searched(embeddings, planted, threshold)
        rows.append(row(options.most, threshold, expected, found["search"], found) | {"product": "calculated"})
    told = {
        "numbers": numbers(),
        "choosing": {"before": on_side(BEFORE, CHOSEN[:1]), "now": on_side(None, CHOSEN)},
        "load": [load, os.getloadavg()[0]],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rounds": rounds,
        "rows": rows,
    }
    print("| people | threshold | all products, CPU s | search, CPU s | ratio | planted | missed |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for one in rows:
        print(
            f"| {one['people']:,} | {one['threshold']:.4f} | {one['product_s']:.1f} | {one['search_s']:.1f} | "
            f"{one['ratio']:.3f} | {one['planted']:,} | {one['missed']} |"
        )
    now = told["choosing"]["now"]
    told["exponent of choosing"] = float(np.polyfit(np.log(CHOSEN), np.log(list(now.values())), 1)[0])
    print(f"choosing everybody, CPU s: {told['choosing']}, exponent {told['exponent of choosing']:.2f}")
    options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def numbers() -> str:
    """What the products are made of on this machine; the code before the change, which a child imports, has no such
    function."""
    from salmu.tasks.anchors.duplicates import product_kind

    return product_kind(CPU)


def on_side(commit: str | None, sizes: tuple[int, ...]) -> dict[str, float]:
    """Size -> CPU seconds of choosing everybody, by the code of a commit or the code that lies here."""
    found = {}
    with code_of(commit) as path:
        for size in sizes:
            command = [sys.executable, __file__, "--child", str(size)]
            surroundings = os.environ | {"PYTHONPATH": path}
            done = subprocess.run(command, env=surroundings, check=True, stdout=subprocess.PIPE)
            found[str(size)] = float(done.stdout)
    return found


def choosing(people: int) -> float:
    embeddings, _, _ = drawn(people)
    cells = {("", "", str(cell)): list(range(cell, people, CELLS)) for cell in range(CELLS)}
    return seconds_of(lambda: select(embeddings, cells, None, CPU))


def drawn(people: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Embeddings in half precision [people, WIDTH], the planted pairs [n, 2], and the threshold."""
    rng = generator("near duplicates", people)
    scale = np.exp(-np.arange(WIDTH, dtype=np.float32) / SPREAD)
    embeddings = np.empty((people, WIDTH), np.float16)
    for start in range(0, people, BLOCK):
        rows = rng.standard_normal((min(BLOCK, people - start), WIDTH), np.float32) * scale
        embeddings[start : start + BLOCK] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    threshold = calibrate(embeddings[:SAMPLE], FALSE_MATCH_RATE, CPU).threshold
    copies = people // COPIES
    planted = rng.permutation(people)[: 2 * copies].reshape(copies, 2)
    wanted = rng.uniform(threshold + 0.002, 0.99, copies)  # half precision moves a cosine by less
    originals, others = (embeddings[planted[:, side]].astype(np.float64) for side in (0, 1))
    originals /= np.linalg.norm(originals, axis=1, keepdims=True)
    others -= (others * originals).sum(axis=1, keepdims=True) * originals
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    embeddings[planted[:, 1]] = wanted[:, None] * originals + np.sqrt(1 - wanted**2)[:, None] * others
    return embeddings, planted, threshold


def seconds_of(work) -> float:
    began = time.process_time()
    work()
    return round(time.process_time() - began, 3)


def product(embeddings: np.ndarray) -> None:
    """The cosines of all pairs, computed and thrown away."""
    rows = torch.nn.functional.normalize(torch.from_numpy(embeddings).float(), dim=1)
    room = torch.empty(BLOCK * BLOCK)
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        for column in range(start, len(rows), BLOCK):
            others = rows[column : column + BLOCK]
            torch.mm(some, others.T, out=room[: len(some) * len(others)].view(len(some), len(others)))


def searched(embeddings: np.ndarray, planted: np.ndarray, threshold: float) -> dict[str, Any]:
    order, dropped = np.arange(len(embeddings)), []
    seconds = seconds_of(lambda: dropped.extend(near_duplicates(embeddings, order, threshold, CPU)))
    gone = {one.place for one in dropped}
    alike = [pair for pair in planted.tolist() if similarities(embeddings, pair[0], pair[1:])[0] > threshold]
    missed = sum(not gone.intersection(pair) for pair in alike)
    return {"search": seconds, "dropped": len(gone), "planted": len(alike), "missed": missed}


def row(people: int, threshold: float, product_s: float, search_s: float, found: dict[str, Any]) -> dict[str, Any]:
    counts = {key: found[key] for key in ("planted", "missed", "dropped")}
    seconds = {"product_s": round(product_s, 1), "search_s": round(search_s, 1), "ratio": search_s / product_s}
    return {"people": people, "threshold": threshold} | seconds | counts


if __name__ == "__main__":
    main()
