"""The stage portraits: same bytes whatever the shards, the mix of formats, planted faults, scenes in words."""

import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from small_run import put

from salmu.data import keyed, schemas
from salmu.data.errors import UserError
from salmu.data.procedural.person import draw_person
from salmu.data.store import Store
from salmu.tasks.candidates.procedural import identity_ids, quota
from salmu.tasks.portraits import procedural, stage


def anchors(count: int, **columns) -> list[dict]:
    rows = []
    for index, identity_id in enumerate(identity_ids(0, count)):
        gender, age_group, region = quota(0, index)
        person = draw_person(keyed.generator("test", identity_id), gender, age_group, region)
        rows.append(
            {
                "identity_id": identity_id,
                "source": "procedural",
                "gender": gender,
                "age_group": age_group,
                "region": region,
                "age": person.age,
                "traits": person.model_dump_json(),
            }
            | columns
        )
    return rows


def upstream(folder, count: int = 3, **columns) -> dict:
    store = Store(folder)
    put(store, "anchors", schemas.ANCHORS, anchors(count, **columns))
    return {"anchors": store.view("anchors", "identity_id")}


def run_all(settings: stage.Settings, views: dict) -> list[dict]:
    return [row for shard in stage.plan(settings, views) for row in stage.run(shard, settings, views).rows]


SMALL = stage.Settings(per_identity=4, short_side=64, identities_per_shard=2, fault_share=0.3)


def test_portraits_do_not_depend_on_shards_order_or_other_identities(tmp_path):
    few, more = upstream(tmp_path / "few", 3), upstream(tmp_path / "more", 5)
    rows = run_all(SMALL, few)
    assert run_all(SMALL, few) == rows
    assert run_all(SMALL.model_copy(update={"identities_per_shard": 1}), more)[: len(rows)] == rows
    shards = stage.plan(SMALL, few)
    assert [row for shard in reversed(shards) for row in stage.run(shard, SMALL, few).rows][-8:] == rows[:8]
    by_name = {row["file_name"]: row for row in rows}
    longer = run_all(SMALL.model_copy(update={"per_identity": 5}), few)
    assert {row["file_name"]: row for row in longer if row["portrait_index"] <= 4} == by_name
    assert not {row["seed"] for row in run_all(SMALL.model_copy(update={"seed": 1}), few)} & {
        row["seed"] for row in rows
    }


def test_rows_say_what_the_files_are(tmp_path):
    rows = run_all(SMALL, upstream(tmp_path, 3))
    assert len({row["file_name"] for row in rows}) == 12 and len({row["image"] for row in rows}) == 12
    for row in rows:
        picture = Image.open(io.BytesIO(row["image"]))
        assert picture.format == "JPEG" and picture.size == (row["width"], row["height"]) and min(picture.size) == 64
        ratio = f"{row['width'] / row['height']:.2f}"
        assert row["file_name"] == f"{row['identity_id']}_{row['portrait_index']:03}_ar-{ratio}.jpg"
    store = Store(tmp_path)
    put(store, "portraits", stage.SCHEMA, rows)
    assert list(store.view("portraits", stage.KEY).rows(["seed"])) == [{"seed": row["seed"]} for row in rows]


def test_formats_are_those_of_the_published_set():
    """A third square, the rest from 0.35 to 3, half of them wide and half of them tall."""
    person = draw_person(keyed.generator("p"), "female", "20-29", "White")
    sizes = [
        procedural.size_of(procedural.draw_view(keyed.generator(seed), person).aspect_ratio, 128)
        for seed in range(3000)
    ]
    ratios = np.array([width / height for width, height in sizes])
    assert 0.30 < np.mean(ratios == 1) < 0.36 and ratios.min() == pytest.approx(0.35, abs=0.01) and ratios.max() == 3
    assert 0.4 < np.sum(ratios > 1) / np.sum(ratios != 1) < 0.6 and len(set(ratios)) > 10


def test_faults_are_planted_in_their_share_and_equally():
    found = Counter(procedural.planted_fault(keyed.integer("seed", number), 0.08) for number in range(20_000))
    faults = {fault: count for fault, count in found.items() if fault}
    assert sum(faults.values()) / 20_000 == pytest.approx(0.08, abs=0.01)
    assert set(faults) == set(procedural.FAULTS) and max(faults.values()) < 1.4 * min(faults.values())
    assert not any(procedural.planted_fault(number, 0) for number in range(100))
    assert all(procedural.planted_fault(number, 1) for number in range(100))


def test_faults_show_in_the_picture_and_in_their_column_only():
    person = draw_person(keyed.generator("p"), "female", "30-39", "Indian")
    seen = {}
    for seed in range(200):
        good, bad = procedural.portrait(person, seed, 64, 0.0), procedural.portrait(person, seed, 64, 1.0)
        assert {key: value for key, value in good.items() if key not in ("image", "fault")} == {
            key: value for key, value in bad.items() if key not in ("image", "fault")
        }
        one, other = (np.asarray(Image.open(io.BytesIO(made["image"]))).astype(float) for made in (good, bad))
        seen.setdefault(bad["fault"], []).append((np.abs(one - other).mean(), other.mean()))
        if len(seen) == len(procedural.FAULTS):
            break
    assert set(seen) == set(procedural.FAULTS)
    assert all(change > 2 for made in seen.values() for change, _ in made)
    assert all(level < 12 for _, level in seen["near_black"])


def test_the_scene_is_told_without_the_identity(tmp_path):
    rows = run_all(SMALL, upstream(tmp_path, 3))
    for row in rows:
        scene = json.loads(row["scene"])
        assert set(scene) == {
            "place",
            "background",
            "clothing",
            "clothing_colour",
            "light",
            "framing",
            "expression",
            "pose",
            "person",
        }
        assert scene["person"].split()[0] in ("young", "middle-aged", "older") and scene["person"].split()[-1] in (
            "woman",
            "man",
        )
        assert row["identity_id"] not in row["prompt"] + row["scene"]
        assert scene["clothing"] in row["prompt"] and scene["person"] in row["prompt"]
    assert len({row["prompt"] for row in rows}) == len(rows)


def test_prompts_are_english():
    scene = {
        "framing": "close-up",
        "person": "older man",
        "background": "park",
        "clothing_colour": "orange",
        "clothing": "sweater",
        "pose": "facing the camera",
        "expression": "talking",
        "light": "golden hour",
    }
    assert procedural.prompt_of(scene) == (
        "A close-up portrait photo of an older man in a park, wearing an orange sweater, facing the camera, talking, "
        "golden hour"
    )


def test_anchors_of_pictures_need_another_engine(tmp_path):
    with pytest.raises(UserError, match="ip_adapter_faceid_plus") as caught:
        stage.plan(SMALL, upstream(tmp_path, 2, source="folder", traits=None))
    assert "'folder'" in str(caught.value) and "candidates.source" in str(caught.value)


def test_no_anchors_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no anchors"):
        stage.plan(SMALL, upstream(tmp_path, 0))


def test_a_changed_anchor_makes_its_shard_stale_and_no_other(tmp_path):
    before = stage.plan(SMALL, upstream(tmp_path / "a", 4))
    store = Store(tmp_path / "b")
    rows = anchors(4)
    rows[3]["quality"] = 0.5
    put(store, "anchors", schemas.ANCHORS, rows)
    after = stage.plan(SMALL, {"anchors": store.view("anchors", "identity_id")})
    assert after[0] == before[0] and after[1] != before[1]


def test_summary_counts_and_shows(tmp_path):
    views = upstream(tmp_path, 3)
    rows = run_all(SMALL, views)
    put(views["anchors"].store, "portraits", stage.SCHEMA, rows)
    summary = stage.summarise(SMALL, views["anchors"].store.view("portraits", stage.KEY), views)
    planted = Counter(row["fault"] for row in rows)
    assert summary.text.startswith("12 portraits of 3 identities")
    assert f"{12 - planted[None]} with a planted fault" in summary.text
    listed = {row["fault"]: row["portraits"] for row in summary.tables["Planted faults"]}
    assert listed == {fault: planted[fault] for fault in procedural.FAULTS}
    assert sum(row["portraits"] for row in summary.tables["Demographics"] if row["group"] == "gender") == 12
    (figure,) = summary.figures.values()
    assert len(figure) < 100_000 and Image.open(io.BytesIO(figure)).format == "PNG"
