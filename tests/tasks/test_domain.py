"""The domain check: corrections and tests against scipy and known distributions, and the stage on real pictures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import false_discovery_control, norm
from small_run import put

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.store import Store
from salmu.tasks.domain import stage
from salmu.tasks.domain.identities import cosines, draw_pairs, separation
from salmu.tasks.domain.likeness import (
    compare,
    correct,
    mean_difference,
    measures,
    pair_similarities,
    principal,
    smallest_seen,
)
from salmu.tasks.domain.sample import SCALARS, Sample, kept_sample

SAMPLES = Path(__file__).parents[1] / "fixtures" / "salmu_samples"


def units(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def sample(key, people: int, each: int = 1, shift: float = 0.0, spread: float = 1.0, size: int = 16) -> Sample:
    """People scattered about a common centre, their portraits about them."""
    rng = generator("domain test", key)
    centre = np.repeat(rng.normal(size=(people, size)), each, axis=0)
    faces = centre + spread * rng.normal(size=(people * each, size))
    pictures = rng.normal(size=(people * each, size))
    pictures[:, 0] += shift
    return Sample(
        np.repeat(np.arange(people), each),
        np.arange(people) * each,
        units(faces),
        units(pictures),
        {name: rng.normal(size=people * each) for name in SCALARS},
    )


def test_holm_by_hand_and_benjamini_hochberg_by_scipy():
    p = np.array([0.04, 0.01, 0.03, 0.005])
    assert correct(p, "holm") == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert correct(p, "benjamini-hochberg") == pytest.approx(false_discovery_control(p))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_bare_values_and_bonferroni(values):
    p = np.array(values)
    corrected = correct(p, "holm")
    assert (corrected >= p - 1e-12).all() and (corrected <= np.minimum(1, p * len(p)) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= -1e-12).all()


@pytest.mark.parametrize("correction", ["holm", "benjamini-hochberg"])
def test_equal_distributions_raise_few_alarms(correction):
    """Forty comparisons of 60 people with 25 references of the same kind, directions fitted on both together."""
    alarms = 0
    for number in range(40):
        tests = measures(sample(("ours", number), 60), sample(("reference", number), 25), 8, 100, number)
        alarms += any(row["differs"] for row in compare(tests, 0.05, correction))
    assert alarms <= 6  # of 40 at level 0.05: P(more than 6) < 0.4 %


def test_a_shift_is_found_and_sized():
    tests = measures(sample("ours", 200, shift=2.0), sample("reference", 100), 8, 1000, 0)
    results = {row["measure"]: row for row in compare(tests, 0.05, "holm")}
    assert len(results) == 8 + 1 + 8 + 1 + 3
    worst = max(results.values(), key=lambda row: row["KS"])
    assert worst["group"] == "CLIP embedding, direction" and worst["differs"] and abs(worst["mean difference"]) > 1
    assert not any(row["differs"] for row in results.values() if row["group"].startswith("face"))


def test_one_portrait_stands_for_a_person_and_one_pair_for_two():
    ours = sample("ours", 30, each=10)
    tests = measures(ours, sample("reference", 20), 4, 12, 0)
    assert {len(test.ours) for test in tests} == {12, 6} and {len(test.reference) for test in tests} == {20, 10}
    one_hot = np.eye(7)
    one_hot[1] = one_hot[0]
    assert pair_similarities(one_hot, 3).shape == (3,) and pair_similarities(one_hot, 3).sum() in (0, 1)


def test_principal_directions_are_uncorrelated_and_hold_all_variance():
    values = generator("principal").normal(size=(50, 6)) @ generator("mix").normal(size=(6, 6))
    found = principal(values, 6)
    covariance = np.cov(found.T)
    assert covariance == pytest.approx(np.diag(np.diag(covariance)), abs=1e-8)
    assert np.trace(covariance) == pytest.approx(np.trace(np.cov(values.T)))
    assert principal(np.ones((5, 3)), 3).shape == (5, 0)  # nothing varies


def test_numbers_that_say_how_much():
    assert mean_difference(np.array([1.0, 3.0]), np.array([0.0, 2.0])) == pytest.approx(1 / np.sqrt(2))
    assert mean_difference(np.ones(3), np.ones(3)) == 0
    assert smallest_seen(10_000, 10_000, 1, 0.05) == pytest.approx(1.358 * np.sqrt(2 / 10_000), rel=1e-3)
    assert smallest_seen(2, 2, 69, 0.05) == 1


def test_separation_of_known_distributions():
    """Identities on a circle: similarities of chosen pairs are normal, so all rates are known."""
    rng = generator("circle")
    genuine, impostor = rng.normal(0.6, 0.1, 20_000), rng.normal(0.3, 0.1, 20_000)
    angles = np.arccos(np.clip(np.concatenate([genuine, impostor]), -1, 1))
    points = np.concatenate([[[1.0, 0.0]], np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    pairs = np.stack([np.zeros(40_000, int), np.arange(1, 40_001)], axis=1)
    everybody = Sample(np.zeros(40_001, int), np.zeros(1, int), points, points, {})
    found = separation(everybody, type(draw_pairs(sample("x", 2, 2), 5, 0))(pairs[:20_000], pairs[20_000:]))
    assert found.d_prime == pytest.approx(3, abs=0.05)
    assert found.equal_error_rate == pytest.approx(norm.cdf(-1.5), abs=0.003)
    assert found.accepted_at[1e-3] == pytest.approx(1 - norm.cdf(norm.ppf(1 - 1e-3) - 3), abs=0.03)


def test_pairs_are_of_one_or_of_two_identities():
    ours = sample("pairs", 6, each=5)
    pairs = draw_pairs(ours, 40, 0)
    assert len(pairs.within) == 40 and 20 < len(pairs.between) <= 40
    assert (ours.person[pairs.within[:, 0]] == ours.person[pairs.within[:, 1]]).all()
    assert (pairs.within[:, 0] != pairs.within[:, 1]).all() and len(np.unique(pairs.within, axis=0)) == 40
    assert (ours.person[pairs.between[:, 0]] != ours.person[pairs.between[:, 1]]).all()
    assert len(draw_pairs(ours, 1000, 0).within) == 6 * 10
    expected = np.einsum("ij,ij->i", ours.faces[pairs.within[:, 0]], ours.faces[pairs.within[:, 1]])
    assert cosines(ours.faces, pairs.within) == pytest.approx(expected)


def run_of(folder, people: int = 12, each: int = 6, width: int = 128, settings: dict | None = None) -> dict:
    """Views of a run whose portraits were measured, one in six of them dropped."""
    store = Store(folder)
    ours = sample("run", people, each, spread=0.3, size=width)
    faces = sample("faces", people, each, spread=0.3, size=512).faces
    rows = [
        {
            "file_name": f"{ours.person[row]:08}_{row:03}.jpg",
            "identity_id": f"{ours.person[row]:08}",
            "kept": row % each != 0,
            "clip_embedding": ours.pictures[row].tolist(),
            "face_embedding": faces[row].tolist(),
        }
        | {name: float(values[row]) for name, values in ours.scalars.items()}
        for row in range(people * each)
    ]
    for name in ("anchors", "portraits", "analysis", "curation"):
        schema = getattr(schemas, name.upper())
        put(store, name, schema, [{key: row[key] for key in set(row) & set(schema.names)} for row in rows])
    if settings:
        manifest = store.manifest("analysis")
        store.write_manifest(manifest.model_copy(update={"settings": settings}))
    return {name: store.view(name, "file_name") for name in stage.UPSTREAM} | {"store": store}


def summary_of(settings: stage.Settings, views: dict, engine) -> tuple:
    (shard,) = stage.plan(settings, views)
    result = stage.run(shard, settings, views, engine)
    put(views["store"], "domain", schemas.DOMAIN, result.rows, result.rejects)
    return result, stage.summarise(settings, views["store"].view("domain", "file_name"), views)


def test_without_a_reference_the_rest_is_shown_and_what_is_missing_is_said(tmp_path):
    settings = stage.Settings()
    views = run_of(tmp_path)
    result, summary = summary_of(settings, views, stage.load_engine(settings))
    assert result.rows == [] and stage.models(settings) == [] and not stage.uses_gpu(settings)
    assert "not tested" in summary.text and "Diversity" in summary.text
    assert set(summary.figures) == {"Diversity", "Separation of identities"}
    (row,) = summary.tables["Separation of identities"]
    assert row["genuine pairs"] == 12 * 10 and row["d'"] > 3
    kept = kept_sample(views, 0, 16)
    assert len(kept.person) == 12 * 5 and len(kept.one_each) == 12 == len(set(kept.person[kept.one_each]))
    assert len(kept_sample(views, 0, 3).person) == 12 * 3


def test_real_pictures_as_a_reference(tmp_path):
    reference = tmp_path / "reference"
    (reference / "more").mkdir(parents=True)
    for number, path in enumerate(sorted(SAMPLES.glob("*.jpg"))):
        picture = Image.open(path)
        picture.save(reference / path.name)
        picture.resize((200, 260)).save(reference / "more" / f"{number}.png")
    (reference / "broken.jpg").write_bytes(b"\xff\xd8 no")
    (reference / "._broken.jpg").write_bytes(b"what a system adds")
    shutil.copy(reference / "more" / "0.png", reference / "odd\udcff.png")
    Image.new("L", (10, 6000)).save(reference / "strip.png")
    (reference / "notes.txt").write_text("no picture")
    settings = stage.Settings(reference=str(reference), alpha=0.2, directions=4)
    engine = stage.load_engine(settings)
    result, summary = summary_of(settings, run_of(tmp_path / "run"), engine)
    assert [row["file_name"] for row in result.rows] == [
        *(path.name for path in sorted(SAMPLES.glob("*.jpg"))), "more/0.png", "more/1.png"
    ]  # fmt: skip
    assert [(reject.item, reject.reason) for reject in result.rejects] == [
        ("broken.jpg", "picture is damaged"), ("strip.png", "picture is damaged"), ("odd\\xff.png", "name is not UTF-8")
    ]  # fmt: skip
    assert "image" not in schemas.DOMAIN.names and "3 are damaged" in summary.text
    assert "Likeness to the reference" in summary.tables and len(summary.figures) == 3
    assert all(len(figure) < 100_000 for figure in summary.figures.values())
    again, _ = summary_of(settings, run_of(tmp_path / "again"), engine)
    assert again == result


def test_the_shard_follows_the_pictures_and_not_their_place(tmp_path):
    views = run_of(tmp_path / "run")
    inputs = []
    for place, colour in (("a", "red"), ("b", "red"), ("b", "blue")):
        (tmp_path / place).mkdir(exist_ok=True)
        Image.new("RGB", (30, 30), colour).save(tmp_path / place / "1.png")
        inputs.append(stage.plan(stage.Settings(reference=str(tmp_path / place)), views)[0])
    assert inputs[0] == inputs[1] != inputs[2]


def test_wrong_references_and_models_are_one_line(tmp_path):
    views, empty = run_of(tmp_path / "run"), tmp_path / "empty"
    empty.mkdir()
    for folder, problem in ((empty, "no pictures here"), (tmp_path / "nowhere", "no such folder")):
        with pytest.raises(UserError, match=problem):
            stage.plan(stage.Settings(reference=str(folder)), views)
    other = run_of(tmp_path / "other", settings={"clip": "hf-hub:some/clip"})
    with pytest.raises(UserError, match=r"domain\.clip is 'embedded', but analysis .* 'hf-hub:some/clip'"):
        stage.plan(stage.Settings(reference=str(SAMPLES)), other)
    assert len(stage.plan(stage.Settings(), other)) == 1  # nothing is measured, so nothing is compared
    narrow, settings = run_of(tmp_path / "narrow", width=64), stage.Settings(reference=str(SAMPLES))
    with pytest.raises(UserError, match=r"domain\.clip gives embeddings of 128 values, but analysis\.clip gave 64"):
        stage.run(stage.plan(settings, narrow)[0], settings, narrow, stage.load_engine(settings))
