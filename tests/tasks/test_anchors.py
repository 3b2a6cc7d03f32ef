"""The stage anchors: which candidates are fit, who is taken for the same person, and who is chosen in what order."""

import io
import json
from collections import Counter

import numpy as np
import pytest
import torch
from helpers import run_stages
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from small_run import jpeg, put

from salmu.data import schemas
from salmu.data.keyed import generator
from salmu.data.store import Reject, Store
from salmu.tasks.anchors import duplicates, selection, stage
from salmu.tasks.anchors.duplicates import calibrate, near_duplicates, sample_size
from salmu.tasks.anchors.rules import RULES, Settings, broken_rule
from salmu.tasks.anchors.selection import select
from salmu.tasks.candidates import stage as candidates_stage

CPU = torch.device("cpu")
GOOD = {
    "source": "images",
    "width": 1024,
    "height": 1024,
    "faces": 1,
    "second_face": 0.0,
    "detection_score": 0.9,
    "box": [1.0, 2.0, 3.0, 4.0],
    "landmarks": [0.0] * 10,
    "face_size": 300.0,
    "yaw": 3.0,
    "pitch": -5.0,
    "roll": 1.0,
    "sharpness": 400.0,
    "gender": "female",
    "age": 33,
    "age_group": "30-39",
    "region": "White",
    "adult": True,
}
BREAKS = {
    "low_detection_score": {"detection_score": 0.3},
    "several_faces": {"faces": 2, "second_face": 0.4},
    "small_face": {"face_size": 20.0},
    "turned_away": {"yaw": -60.0},
    "blurred": {"sharpness": 3.0},
    "not_adult": {"adult": False, "age": 9, "age_group": None},
    "unknown_demographics": {"region": None},
}


def unit(*key, near=None, apart: float = 0.3, size: int = 512) -> np.ndarray:
    """A random unit vector; with `near`, one not far from it."""
    vector = generator("unit", *key).normal(size=size)
    vector /= np.linalg.norm(vector)
    if near is not None:
        vector = near + apart * vector
    return vector / np.linalg.norm(vector)


def people(count: int) -> list[dict]:
    """Different people, of every gender and region in turn, of four age groups."""
    return [
        GOOD
        | {
            "identity_id": f"{number:08}",
            "source_file": f"{number}.jpg",
            "image": jpeg(number),
            "face_embedding": unit(number).tolist(),
            "detection_score": 0.8 + (number * 7 % 100) / 1000,
            "gender": schemas.GENDERS[number % 2],
            "age_group": schemas.AGE_GROUPS[number // 2 % 4],
            "region": schemas.REGIONS[number // 8 % 7],
        }
        for number in range(count)
    ]


def chosen(tmp_path, rows: list[dict], settings: Settings, rejects: list[Reject] = (), shards: int = 3):
    """Anchors, rejects and the summary of a run over these candidates in a few shards."""
    store = Store(tmp_path / "run")
    for index in range(shards):
        put(store, "candidates", schemas.CANDIDATES, rows[index::shards], rejects if not index else [], index)
    run_stages(store, {"anchors": settings})
    view = store.view("anchors", stage.KEY)
    upstream = {"candidates": store.view("candidates", stage.KEY)}
    return list(view.rows()), view.rejects(), stage.summarise(settings, view, upstream)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_drops_what_breaks_it_and_nothing_else(rule):
    settings = Settings(require_labels=True)
    name, detail = broken_rule(GOOD | BREAKS[rule], settings)
    assert name == rule and detail and broken_rule(GOOD, settings) is None


def test_the_first_rule_in_order_gives_the_reason():
    broken = {}
    for rule in reversed([rule for rule in RULES if rule != "unknown_demographics"]):
        broken |= BREAKS[rule]
        assert broken_rule(GOOD | broken, Settings())[0] == rule


@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_head_may_be_turned_too_far_to_every_side(axis, sign):
    assert broken_rule(GOOD | {axis: sign * 80.0}, Settings()) == (
        "turned_away",
        ", ".join(f"{name} {value:g}" for name, value in {"yaw": 3, "pitch": -5, "roll": 1, axis: sign * 80}.items()),
    )


def test_what_nobody_knows_drops_only_where_labels_are_required():
    unknown = GOOD | dict.fromkeys(("gender", "age", "age_group", "region", "adult"))
    assert broken_rule(unknown, Settings()) is None
    assert broken_rule(unknown, Settings(require_labels=True))[0] == "unknown_demographics"
    assert broken_rule(GOOD | {"faces": 2, "second_face": 0.19}, Settings()) is None, "a small face behind"


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(float), other.astype(float)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def naive_duplicates(vectors: np.ndarray, order, threshold: float) -> set[int]:
    kept, dropped = [], set()
    for place in order:
        if any(cosine(vectors[place], vectors[other]) > threshold for other in kept):
            dropped.add(int(place))
        else:
            kept.append(place)
    return dropped


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.integers(0, 60),
    st.floats(-0.2, 0.95),
    st.sampled_from([1, 3, 7, 64]),
    st.sampled_from(sorted(duplicates.DOUBT)),
)
def test_near_duplicates_are_those_of_a_comparison_one_by_one(seed, count, threshold, block, kind):
    rng = generator("duplicates", seed)
    vectors = rng.normal(size=(count, 6))
    vectors[count // 2 :] = vectors[: count - count // 2] + 0.3 * vectors[count // 2 :]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    order = rng.permutation(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "ROWS", 2 * block + 1)
        patch.setattr(duplicates, "COLUMNS", block)
        patch.setattr(duplicates, "product_kind", lambda device: kind)
        found = near_duplicates(vectors, order, threshold, CPU)
    assert {one.place for one in found} == naive_duplicates(vectors, order, threshold)
    dropped = {one.place for one in found}
    for one in found:
        assert one.kept not in dropped and one.similarity > threshold
        assert one.similarity == pytest.approx(cosine(vectors[one.place], vectors[one.kept]))


def test_with_enough_pairs_the_threshold_is_their_quantile(monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 100)
    vectors = np.array([unit(number, size=16) for number in range(sample_size(0.002))]).astype(np.float16)
    found = calibrate(vectors, 0.002, CPU)
    exact = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    cosines = (exact @ exact.T)[np.triu_indices(len(vectors), 1)]
    assert found.pairs == len(cosines) >= 100 / 0.002 and found.method == "quantile of the pairs"
    assert (cosines > found.threshold).mean() == pytest.approx(found.share_above)
    assert 0.0018 < found.share_above <= 0.002
    by_hand = calibrate(vectors, 0.002, CPU, threshold=0.5)
    assert by_hand.threshold == 0.5 and by_hand.share_above == pytest.approx((cosines > 0.5).mean())


def test_copies_among_the_sample_do_not_raise_the_threshold():
    vectors = np.array([unit(number, size=16) for number in range(sample_size(0.002))])
    copies = np.array([unit(number, near=vectors[number], apart=0.2, size=16) for number in range(0, len(vectors), 2)])
    clean, both = (
        calibrate(some.astype(np.float16), 0.002, CPU) for some in (vectors, np.concatenate([vectors, copies]))
    )
    assert both.copies >= len(copies) and both.threshold == pytest.approx(clean.threshold, abs=0.01)


def test_with_few_pairs_the_threshold_is_a_normal_tail():
    vectors = np.array([unit(number, size=100) for number in range(60)]).astype(np.float16)
    found = calibrate(vectors, 1e-4, CPU)  # cosines of random directions scatter by 1 / sqrt(100)
    assert found.method.startswith("normal tail") and found.threshold == pytest.approx(0.372, abs=0.03)
    wide = np.array([unit(number, size=4) for number in range(60)]).astype(np.float16)
    assert calibrate(wide, 1e-6, CPU).threshold == duplicates.COPY
    for few in range(3):
        assert calibrate(vectors[:few], 1e-6, CPU).threshold <= 1


@pytest.mark.parametrize("count", [4, 12, 60])
def test_a_planted_copy_is_found_among_few_and_the_better_one_is_kept(tmp_path, count):
    rows = people(count)
    copy = rows[1] | {
        "identity_id": "99999999",
        "face_embedding": unit("copy", near=unit(1)).tolist(),
        "detection_score": 0.95,
    }
    anchors, rejects, _ = chosen(tmp_path, [*rows, copy], Settings(count=None))
    assert [(one.item, one.reason) for one in rejects] == [("00000001", "near_duplicate")]
    assert "of 99999999, cosine 0.9" in rejects[0].detail
    assert {row["identity_id"] for row in anchors} == {f"{number:08}" for number in range(count) if number != 1} | {
        "99999999"
    }


def farthest(vectors: np.ndarray, choices: list[int], cell: list[int]) -> float:
    """The least of the greatest cosines of a cell's candidates to those chosen before."""
    left = [place for place in cell if place not in choices]
    return min(max(cosine(vectors[one], vectors[other]) for other in choices) for one in left)


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 6), st.integers(1, 60))
def test_the_first_of_a_longer_selection_are_the_shorter_one(seed, count, cells, wanted):
    rng = generator("selection", seed)
    vectors = rng.normal(size=(count, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    vectors[count // 2] = vectors[0]
    members: dict[tuple, list[int]] = {}
    for place, number in enumerate(rng.integers(0, cells, count)):
        cell = (
            schemas.GENDERS[number % 2],
            schemas.AGE_GROUPS[number % 3],
            None if number == 5 else schemas.REGIONS[number],
        )
        members.setdefault(cell, []).append(place)
    longest = select(vectors, members, None, CPU)
    assert sorted(choice.place for choice in longest) == list(range(count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "BLOCK", 4)
        assert select(vectors, members, wanted, CPU) == longest[:wanted]
    cell_of = {place: cell for cell, places in members.items() for place in places}
    before: list[int] = []
    for choice in longest:
        if before:
            assert choice.nearest == pytest.approx(farthest(vectors, before, members[cell_of[choice.place]]), abs=1e-6)
        before.append(choice.place)
    assert longest[0].nearest is None and longest[0].place == members[cell_of[longest[0].place]][0]


def test_selection_is_balanced_far_apart_and_in_order(tmp_path):
    rows = people(112)
    anchors, rejects, summary = chosen(tmp_path, rows, Settings(count=56))
    assert [row["rank"] for row in anchors] == list(range(56))
    cells = Counter((row["gender"], row["age_group"], row["region"]) for row in anchors)
    assert len(cells) >= 50 and max(cells.values()) <= 2, "spread over the 56 cells, not only over their margins"
    first = Counter(row["gender"] for row in anchors[:28])
    assert first == {"female": 14, "male": 14}
    assert set(Counter(row["region"] for row in anchors[:28]).values()) == {4}
    vectors = np.array([row["face_embedding"] for row in anchors])
    for rank, row in enumerate(anchors):
        if rank:
            assert row["nearest_similarity"] == pytest.approx((vectors[:rank] @ vectors[rank]).max(), abs=1e-3)
    assert anchors[0]["nearest_similarity"] is None
    original = {row["identity_id"]: row for row in rows}
    for row in anchors:
        own = original[row["identity_id"]]
        assert row["image"] == own["image"] and row["quality"] == pytest.approx(own["detection_score"])
        assert row["source_file"] == own["source_file"] and row["region"] == own["region"] and row["traits"] is None
    assert Counter(one.reason for one in rejects) == {"surplus": 56}
    fewer, _, _ = chosen(tmp_path, rows, Settings(count=20))
    assert fewer == anchors[:20]


def test_the_funnel_adds_up_and_the_summary_can_be_shown(tmp_path):
    rows = people(40)
    for number, rule in enumerate(BREAKS):
        rows[number] |= BREAKS[rule]
    rows[20] |= {"face_embedding": unit("a", near=unit(30)).tolist()}
    before = [Reject("a.jpg", "damaged image", "x"), Reject("b.jpg", "no face"), Reject("c.jpg", "no face")]
    settings = Settings(count=10, require_labels=True)
    anchors, rejects, summary = chosen(tmp_path, rows, settings, before)
    funnel = {row["step"]: (row["dropped"], row["left"]) for row in summary.tables["Funnel"]}
    assert funnel["pictures"] == (0, 43) and funnel["anchors"] == (0, 10)
    assert funnel["no face"] == (2, 41) and funnel["damaged image"][0] == 1
    assert all(funnel[rule.replace("_", " ")][0] == 1 for rule in BREAKS)
    assert funnel["near duplicate"][0] == 1 and funnel["surplus"] == (40 - 7 - 1 - 10, 10)
    assert 43 - sum(dropped for dropped, _ in funnel.values()) == len(anchors) == 10
    assert len({one.item for one in rejects} | {row["identity_id"] for row in anchors}) == 40
    assert all(one.detail for one in rejects)
    assert sum(row["anchors"] for row in summary.tables["Balance"]) == 10
    assert sum(row["fit"] for row in summary.tables["Balance"]) == 32
    assert sum(row["identities"] for row in summary.tables["Demographics"]) == 30
    mine, drawn = summary.tables["Similarity to the nearest other"]
    assert (mine["set"], drawn["set"]) == ("anchors", "random draw") and mine["50 %"] <= drawn["50 %"] + 0.05
    json.dumps(summary.tables)
    assert summary.text.startswith("10 anchors of 40 candidates. Near duplicates have a cosine above ")
    assert "for a false match rate of 1e-06" in summary.text and "527 sampled pairs" in summary.text
    assert "(without 1 above 0.9: copies)" in summary.text
    for figure in summary.figures.values():
        assert len(figure) < 100_000 and Image.open(io.BytesIO(figure)).format == "PNG"


def test_fewer_than_wanted_is_said(tmp_path):
    anchors, _, summary = chosen(tmp_path, people(9), Settings(count=66))
    assert len(anchors) == 9 and "9 anchors (66 wanted: all that are fit were taken) of 9" in summary.text
    none, rejects, summary = chosen(tmp_path, [row | BREAKS["blurred"] for row in people(3)], Settings())
    assert none == [] and Counter(one.reason for one in rejects) == {"blurred": 3}
    assert summary.text.startswith("0 anchors (66 wanted")


def test_nobody_is_dropped_above_a_cosine_of_1(tmp_path):
    rows = [row | {"face_embedding": unit(1).tolist()} for row in people(5)]
    assert len(chosen(tmp_path, rows, Settings(duplicate_similarity=1))[0]) == 5
    assert len(chosen(tmp_path, rows, Settings(duplicate_similarity=0.999))[0]) == 1


def test_a_threshold_of_ones_own(tmp_path):
    rows = people(8)
    rows[3] |= {"face_embedding": unit("near", near=unit(4), apart=1.0).tolist()}  # cosine about 0.7
    for threshold, lost in ((0.5, 1), (0.9, 0)):
        anchors, rejects, summary = chosen(tmp_path, rows, Settings(duplicate_similarity=threshold))
        assert len(rejects) == lost and len(anchors) == 8 - lost
        assert f"above {threshold:.4f} (set by hand)" in summary.text


def test_changed_candidates_make_the_anchors_stale(tmp_path):
    store = Store(tmp_path)
    put(store, "candidates", schemas.CANDIDATES, people(3))
    before = stage.plan(Settings(), {"candidates": store.view("candidates", stage.KEY)})
    put(store, "candidates", schemas.CANDIDATES, people(4))
    assert stage.plan(Settings(), {"candidates": store.view("candidates", stage.KEY)}) != before


def test_anchors_of_drawn_candidates(tmp_path):
    wanted = {
        "candidates": candidates_stage.Settings(count=20, size=96),
        "anchors": Settings(count=14, min_face_size=40),
    }
    store = run_stages(Store(tmp_path), wanted)
    anchors = list(store.view("anchors", stage.KEY).rows())
    assert len(anchors) == 14 and all(row["traits"] and row["source"] == "procedural" for row in anchors)
    assert Counter(row["gender"] for row in anchors) == {"female": 7, "male": 7}
    assert len(Counter(row["region"] for row in anchors)) == 7
