"""Pictures of people who are, for the recogniser, the same: found exactly, by comparing everybody with everybody, under
a threshold with a stated false match rate.

Embeddings are unit vectors in half precision, [n, d]. A matrix product finds the pairs that may matter; what decides is
computed again in double precision, so that the result depends neither on the device nor on its number of threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

BLOCK = 2048  # rows of the sample compared at a time with as many
ROWS, COLUMNS = 8192, 2048  # candidates compared at a time; their product is held
PAIRS_A_MISTAKE = 100  # pairs in the sample for each false match that the rate allows: enough to read the rate off
SMALL_SAMPLE = 2000  # people whose pairs show how cosines scatter
# Cosine above which two pictures are one, encoded again, scaled, cut or brightened: of 2,000 such copies of drawn
# people the least similar was at 0.937, of 155 million pairs of different people 33 were above 0.9
# (benchmarks/anchors.py).
COPY = 0.9
# Products of unit vectors are nearer to the truth than this. In bfloat16, both factors and the product are off by 2^-8
# of their size at most, together by little more than 3 x 2^-8.
DOUBT = {"float32": 1e-4, "bfloat16": 2**-6}


class Calibration(NamedTuple):
    """A threshold and where it comes from."""

    threshold: float
    method: str
    pairs: int  # of different people, looked at
    copies: int  # further pairs, too alike to be different people, left out
    share_above: float  # of the pairs


class Duplicate(NamedTuple):
    place: int  # the one that is dropped
    kept: int  # the better one that it is taken for
    similarity: float


def sample_size(false_match_rate: float) -> int:
    """Candidates whose pairs are enough to read off the false match rate."""
    return math.ceil((1 + math.sqrt(1 + 8 * PAIRS_A_MISTAKE / false_match_rate)) / 2)


def calibrate(
    embeddings: np.ndarray, false_match_rate: float, device: torch.device, threshold: float | None = None
) -> Calibration:
    """The cosine that pairs of different people exceed with this rate: with enough pairs the quantile among them, else
    by the tail of a normal distribution with their median and median absolute deviation. Or the threshold that is
    given, with the share of pairs above it.

    The embeddings are a random sample, in random order. Copies among them would pass for people who look alike, and
    raise the threshold until it misses them: pairs above COPY are left out."""
    import torch

    total = len(embeddings) * (len(embeddings) - 1) // 2
    by_quantile = threshold is None and total * false_match_rate >= PAIRS_A_MISTAKE
    if not by_quantile:
        embeddings = embeddings[:SMALL_SAMPLE]
    room = int(total * false_match_rate) + 1 if by_quantile else total
    highest, pairs, copies = torch.empty(0, dtype=torch.float64), 0, 0
    for cosines in _pairs(embeddings, device):
        different = cosines[cosines <= COPY]
        pairs, copies = pairs + len(different), copies + len(cosines) - len(different)
        highest = torch.cat([highest, different.topk(min(room, len(different))).values.cpu()])
        highest = highest.topk(min(room, len(highest))).values
    method = "set by hand"
    if by_quantile:
        threshold, method = float(highest[int(pairs * false_match_rate)]), "quantile of the pairs"
    elif threshold is None:
        middle = float(highest.median()) if pairs else COPY
        deviation = 1.4826 * float((highest - middle).abs().median()) if pairs else 0.0
        threshold = min(middle + NormalDist().inv_cdf(1 - false_match_rate) * deviation, COPY)
        method = "normal tail, by median and median absolute deviation of the pairs"
    threshold = math.ceil(threshold * 1e4) / 1e4
    return Calibration(threshold, method, pairs, copies, int((highest > threshold).sum()) / max(pairs, 1))


def _pairs(embeddings: np.ndarray, device: torch.device) -> Iterator[torch.Tensor]:
    """The cosines of all pairs, block by block, in double precision."""
    import torch

    for start in range(0, len(embeddings), BLOCK):
        rows = on_device(embeddings[start : start + BLOCK], device, "float64")
        for column in range(start, len(embeddings), BLOCK):
            cosines = rows @ on_device(embeddings[column : column + BLOCK], device, "float64").T
            first = column == start
            yield cosines[torch.ones_like(cosines, dtype=torch.bool).triu(1)] if first else cosines.flatten()


def on_device(
    embeddings: np.ndarray, device: torch.device, kind: Literal["bfloat16", "float32", "float64"]
) -> torch.Tensor:
    """Embeddings as unit vectors again, which half precision left nearly so."""
    import torch

    exact = torch.float64 if kind == "float64" else torch.float32
    rows = torch.from_numpy(np.ascontiguousarray(embeddings)).to(device).to(exact)
    return torch.nn.functional.normalize(rows, dim=1).to(getattr(torch, kind))


def near_duplicates(
    embeddings: np.ndarray, order: np.ndarray, threshold: float, device: torch.device
) -> list[Duplicate]:
    """Who is dropped if the candidates are gone through in this order (places, the best first) and each is compared
    with all who were kept before."""
    kept = np.empty(len(order), np.int64)
    count, dropped = 0, []
    for start in range(0, len(order), ROWS):
        places = order[start : start + ROWS]
        near = _near(embeddings, kept[:count], places, threshold, device)
        dropped_places: set[int] = set()
        for place, others in zip(places.tolist(), near, strict=True):
            others = [other for other in others if other not in dropped_places]
            if others and (cosines := similarities(embeddings, place, others)).max() > threshold:
                dropped_places.add(place)
                dropped.append(Duplicate(place, others[int(cosines.argmax())], float(cosines.max())))
            else:
                kept[count] = place
                count += 1
    return dropped


def _near(
    embeddings: np.ndarray, kept: np.ndarray, places: np.ndarray, threshold: float, device: torch.device
) -> list[list[int]]:
    """For each of the places, those who were kept, and those of the places before it, that may be too near."""
    import torch

    kind = product_kind(device)
    rows, limit = on_device(embeddings[places], device, kind), threshold - DOUBT[kind]
    room = rows.new_empty(len(rows) * COLUMNS)  # new memory for every product would cost as much as the product
    near: list[list[int]] = [[] for _ in places]
    for others, own in [(kept, False), (places, True)]:
        for column in range(0, len(others), COLUMNS):
            some = others[column : column + COLUMNS]
            cosines = room[: len(rows) * len(some)].view(len(rows), len(some))
            torch.mm(rows, on_device(embeddings[some], device, kind).T, out=cosines)
            if own:  # nobody is like another because they are like themselves
                cosines[column : column + len(some)].fill_diagonal_(-2)
            close = (cosines.amax(dim=1) > limit).nonzero().flatten()  # few rows: hardly anybody is like another
            which, where = (cosines[close] > limit).nonzero(as_tuple=True)
            for row, number in zip(close[which].tolist(), where.tolist(), strict=True):
                if not own or column + number < row:
                    near[row].append(int(some[number]))
    return near


def product_kind(device: torch.device) -> Literal["float32", "bfloat16"]:
    """The fastest numbers for products here: with AVX-512's instructions for bfloat16, a fifth of single precision's
    time (benchmarks/near_duplicates.py)."""
    import torch

    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    has = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 and later
    return "bfloat16" if has.get("avx512_bf16") else "float32"


def similarities(embeddings: np.ndarray, place: int, others: list[int]) -> np.ndarray:
    """The cosines of one candidate to others, in double precision."""
    vectors, own = embeddings[others].astype(np.float64), embeddings[place].astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(own)
    return np.minimum(vectors @ own / np.maximum(lengths, 1e-9), 1.0)
