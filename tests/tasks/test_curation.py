"""Curation on hand-made measurements: every rule, their order, the choice of identities, and that no portrait is ever
lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from small_run import jpeg, put

from data import schemas
from data.errors import UserError
from data.keyed import generator
from data.store import Reject, Store
from tasks.curation import funnel, stage
from tasks.curation.rules import PORTRAIT_RULES, Settings, centre_similarities, choose_balanced, judge_identity

GOOD = {
    "faces": 1,
    "brightness": 0.5,
    "detection_score": 0.9,
    "anchor_similarity": 0.8,
    "gender": "female",
    "gender_score": 0.95,
    "age_group": "30-39",
    "age_group_score": 0.9,
}
IDENTITY = {"identity_id": "00000001", "gender": "female", "age_group": "30-39", "region": "White"}
FACELESS = {name: None for name in GOOD if name not in ("faces", "brightness")} | {"faces": 0, "face_embedding": None}
BREAKS = {
    "damaged": dict.fromkeys([*GOOD, "face_embedding"]),
    "too_dark": {"brightness": 0.02},
    "no_face": FACELESS,
    "several_faces": {"faces": 2},
    "low_detection_score": {"detection_score": 0.1},
    "not_the_anchor": {"anchor_similarity": -0.1},
    "wrong_gender": {"gender": "male"},
    "wrong_age": {"age_group": "70+"},
}
RULES = Settings(min_portraits=3)


def embedding(*key, near=None) -> list[float]:
    """A unit vector; with `near`, one at a cosine of about 0.9 to it."""
    noise = generator("embedding", *key).normal(size=512)
    vector = noise / np.linalg.norm(noise) + (0 if near is None else 2 * np.asarray(near))
    return (vector / np.linalg.norm(vector)).tolist()


CENTRE = embedding("centre")


def portrait(number: int, **changes) -> dict:
    return GOOD | {"face_embedding": embedding(number, near=CENTRE)} | changes


def reasons(rows: list[dict], settings: Settings = RULES) -> list[str | None]:
    return [reason for reason, _ in judge_identity(rows, IDENTITY, settings)[0]]


@pytest.mark.parametrize("rule", PORTRAIT_RULES)
def test_each_rule_drops_what_breaks_it_and_nothing_else(rule):
    rows = [portrait(0), portrait(1, **BREAKS[rule]), portrait(2), portrait(3)]
    assert reasons(rows) == [None, rule, None, None]


def test_the_first_rule_in_order_gives_the_reason():
    broken = {}
    for rule in reversed([rule for rule in PORTRAIT_RULES if rule not in ("damaged", "no_face")]):
        broken |= BREAKS[rule]
        assert reasons([portrait(0), portrait(1), portrait(2), portrait(3, **broken)])[3] == rule


def test_an_unsure_label_or_a_near_age_group_does_not_drop():
    rows = [
        portrait(0),
        portrait(1),
        portrait(2, gender="male", gender_score=0.6),
        portrait(3, age_group="70+", age_group_score=0.5),
        portrait(4, age_group="50-59"),
    ]
    assert reasons(rows) == [None] * 5


def test_a_stranger_who_passes_the_anchor_is_an_outlier():
    rows = [portrait(number) for number in range(6)] + [portrait(6, face_embedding=embedding("stranger"))]
    found, verdict = judge_identity(rows, IDENTITY, RULES)
    assert [reason for reason, _ in found] == [None] * 6 + ["outlier"] and verdict is None
    assert min(similarity for _, similarity in found[:6]) > 0.8
    assert found[6][1] < 0.3


def test_a_good_portrait_is_compared_with_the_others_only():
    embeddings = np.eye(3)
    found = centre_similarities(embeddings, np.array([True, True, False]))
    assert found == pytest.approx([0, 0, 0])


def test_identity_rules():
    few = [portrait(0), portrait(1), portrait(2, **FACELESS)]
    assert judge_identity(few, IDENTITY, RULES)[1] == "too_few_portraits"
    unsure = {"gender": "male", "gender_score": 0.6}
    contradictory = [portrait(0), portrait(1, **unsure), portrait(2, **unsure), portrait(3, **unsure)]
    assert judge_identity(contradictory, IDENTITY, RULES)[1] == "contradictory_demographics"
    assert judge_identity([portrait(number) for number in range(3)], IDENTITY, RULES)[1] is None


def people(count: int) -> list[dict]:
    """Identities with many women and few of each region."""
    return [
        {
            "identity_id": f"{number:08}",
            "gender": "male" if number % 4 == 0 else "female",
            "age_group": schemas.AGE_GROUPS[number % 6],
            "region": schemas.REGIONS[number % 7],
        }
        for number in range(count)
    ]


def test_the_choice_is_balanced_and_does_not_depend_on_the_order_given():
    chosen = choose_balanced(people(168), 42, 0)
    by_id = {person["identity_id"]: person for person in people(168)}
    for axis, spread in (("gender", 4), ("age_group", 2), ("region", 2)):  # a choice by chance: 22, 8, 8
        counts = np.unique([by_id[name][axis] for name in chosen], return_counts=True)[1]
        assert counts.max() - counts.min() <= spread, axis
    assert len(set(chosen)) == 42
    assert choose_balanced(people(168)[::-1], 42, 0) == chosen != choose_balanced(people(168), 42, 1)


def curated(
    folder, portraits: dict[str, list[dict]], settings: Settings, damaged: tuple[str, ...] = ()
) -> tuple[list[dict], Store]:
    """Run the stage on measurements by identity; row keys `fault` and `file_name` go to the table of portraits."""
    store = Store(folder)
    anchors = [person for person in people(len(portraits)) if person["identity_id"] in portraits]
    rows = [
        {"file_name": f"{identity}_{number:03}.jpg", "identity_id": identity, "fault": row.get("fault")} | row
        for identity, found in portraits.items()
        for number, row in enumerate(found)
    ]
    put(store, "anchors", schemas.ANCHORS, anchors)
    put(
        store, "portraits", schemas.PORTRAITS, [row | {"image": jpeg(row["file_name"]), "gender": None} for row in rows]
    )
    put(
        store,
        "analysis",
        schemas.ANALYSIS,
        [row for row in rows if row["file_name"] not in damaged],
        [Reject(name, "picture is damaged") for name in damaged],
    )
    views = {"anchors": store.view("anchors", "identity_id")} | {
        name: store.view(name, "file_name") for name in ("portraits", "analysis")
    }
    (shard,) = stage.plan(settings, views)
    result = stage.run(shard, settings, views, None)
    put(store, "curation", schemas.CURATION, result.rows)
    return result.rows, store


def of_people(count: int, per_identity: int) -> dict[str, list[dict]]:
    return {
        person["identity_id"]: [
            portrait(number, gender=person["gender"], age_group=person["age_group"]) for number in range(per_identity)
        ]
        for person in people(count)
    }


def test_roles_surplus_and_damaged(tmp_path):
    portraits = of_people(8, 4)
    portraits["00000003"] = portraits["00000003"][:1]
    rows, _ = curated(
        tmp_path, portraits, Settings(min_portraits=3, identities=3, retain_identities=2), damaged=("00000002_000.jpg",)
    )
    roles = {row["identity_id"]: row["role"] for row in rows}
    assert sorted(roles.values()) == ["dropped"] * 3 + ["retain"] * 2 + ["sensitive"] * 3
    by_name = {row["file_name"]: row for row in rows}
    assert (
        by_name["00000002_000.jpg"]["reason"] == "damaged"
        and by_name["00000003_000.jpg"]["reason"] == "too_few_portraits"
    )
    for row in rows:
        assert row["kept"] == (row["reason"] is None)
        assert not row["kept"] or row["role"] != "dropped"
        assert row["reason"] != "surplus" or row["role"] == "dropped"
    assert sum(row["reason"] == "surplus" for row in rows) >= 7


def test_too_few_identities_says_how_many_and_what_to_change(tmp_path):
    with pytest.raises(UserError, match=r"^curation: 4 identities .* but 6 are wanted .*anchors\.count.*min_portraits"):
        curated(tmp_path, of_people(4, 4), Settings(min_portraits=3, identities=4, retain_identities=2))


def test_summary_counts_planted_faults_and_good_losses(tmp_path):
    portraits = of_people(4, 10)
    for identity, rows in portraits.items():
        rows[0] = portrait(0, **FACELESS, fault="no_face", brightness=0.5)
        rows[1] = rows[1] | {"fault": "other_person", "anchor_similarity": 0.1 if identity != "00000000" else 0.9}
    portraits["00000001"][5]["brightness"] = 0.01
    rows, store = curated(tmp_path, portraits, Settings(min_portraits=3, identities=3, retain_identities=1))
    views = {name: store.view(name, "file_name") for name in ("portraits", "analysis")}
    summary = stage.summarise(Settings(), store.view("curation", "file_name"), views)
    planted = {row["fault"]: row for row in summary.tables["Planted faults"]}
    assert (planted["no_face"]["recall"], planted["other_person"]["planted"], planted["other_person"]["caught"]) == (
        1,
        4,
        3,
    )
    assert funnel.good_lost(rows) == pytest.approx(1 / 32)
    steps = summary.tables["Funnel"]
    assert steps[0]["left"] == 40 and steps[-1]["left"] == steps[-2]["left"] == steps[-1]["portraits"] == 32
    assert (
        all(figure.startswith(b"\x89PNG") and len(figure) < 100_000 for figure in summary.figures.values())
        and len(summary.figures) == 3
    )


measured = st.fixed_dictionaries(
    {
        "faces": st.integers(1, 3),
        "brightness": st.floats(0, 1),
        "detection_score": st.floats(0, 1),
        "anchor_similarity": st.floats(-1, 1),
        "gender": st.sampled_from(schemas.GENDERS),
        "gender_score": st.floats(0.5, 1),
        "age_group": st.sampled_from(schemas.AGE_GROUPS),
        "age_group_score": st.floats(0, 1),
        "face_embedding": st.integers(0, 5).map(lambda number: embedding(number)),
        "fault": st.sampled_from((None, "other_person")),
    }
) | st.just(FACELESS | {"brightness": 0.4, "fault": "no_face"})


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(measured, max_size=5), min_size=1, max_size=4))
def test_every_portrait_comes_out_exactly_once(tmp_path_factory, groups):
    portraits = {f"{number:08}": rows for number, rows in enumerate(groups)}
    expected = sorted(
        f"{identity}_{number:03}.jpg" for identity, rows in portraits.items() for number in range(len(rows))
    )
    try:
        rows, _ = curated(
            tmp_path_factory.mktemp("run"), portraits, Settings(min_portraits=1, identities=1, retain_identities=0)
        )
    except UserError:
        fit = [
            identity
            for number, (identity, rows) in enumerate(portraits.items())
            if judge_identity(
                [dict.fromkeys(GOOD) | row for row in rows], people(4)[number], Settings(min_portraits=1)
            )[1]
            is None
        ]
        assert not fit
        return
    assert sorted(row["file_name"] for row in rows) == expected
    assert len({row["identity_id"] for row in rows if row["role"] == "sensitive"}) == 1
    assert all(row["kept"] or row["reason"] for row in rows)
