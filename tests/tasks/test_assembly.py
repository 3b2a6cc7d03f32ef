from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import assembled, put, small_run

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.tasks.assembly import stage
from salmu.tasks.assembly.splits import fact_sides, identity_roles, pair_sides

SENSITIVE = {"forget", "holdout_association", "holdout_identity"}
IDENTITIES = st.lists(
    st.tuples(st.sampled_from(schemas.GENDERS), st.sampled_from([*schemas.REGIONS, None])), min_size=4, max_size=60
)


def rows_of(identities):
    return [
        {"identity_id": f"{number:08}", "gender": gender, "region": region}
        for number, (gender, region) in enumerate(identities)
    ]


@given(IDENTITIES, st.integers(0, 5), st.data())
@settings(max_examples=60, deadline=None)
def test_a_fact_never_straddles_and_sides_follow_the_roles(identities, seed, data):
    roles = identity_roles(rows_of(identities), seed)
    facts = st.lists(st.sampled_from(schemas.DATA_FIELDS), min_size=1, max_size=20)
    pairs = {
        f"{identity_id}_{n}": {"identity_id": identity_id, "data_field": field}
        for identity_id in roles
        for n, field in enumerate(data.draw(facts))
    }
    by_fact, by_pair = fact_sides(pairs, roles, seed), pair_sides(pairs, roles, seed)
    assert by_fact.keys() == by_pair.keys() == pairs.keys()
    sides = defaultdict(set)
    for name, row in pairs.items():
        sides[row["identity_id"], row["data_field"]].add(by_fact[name])
    assert all(len(found) == 1 for found in sides.values())
    for scheme in (by_fact, by_pair):
        for name, side in scheme.items():
            role = roles[pairs[name]["identity_id"]]
            assert side in ({"forget", "holdout_association"} if role == "association" else {role})
    for identity_id, role in roles.items():
        if role == "association":
            own = Counter(by_pair[name] for name, row in pairs.items() if row["identity_id"] == identity_id)
            assert 0 <= own["forget"] - own["holdout_association"] <= 1
            counts = Counter(side for (owner, _), (side,) in sides.items() if owner == identity_id)
            assert 0 <= counts["forget"] - counts["holdout_association"] <= 1


@given(IDENTITIES, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_roles_have_their_shares_of_every_gender_in_any_order_of_the_input(identities, seed):
    rows = rows_of(identities)
    roles = identity_roles(rows, seed)
    assert roles == identity_roles(rows[::-1], seed)
    for gender in (None, *schemas.GENDERS):
        own = Counter(roles[row["identity_id"]] for row in rows if gender in (None, row["gender"]))
        total = own.total()
        assert abs(own["association"] - total / 2) <= 1
        assert abs(own["forget"] - total / 4) < 1 and abs(own["holdout_identity"] - total / 4) < 1


def test_published_shares():
    roles = Counter(identity_roles(rows_of([("female", None)] * 774), 0).values())
    assert roles == {"association": 387, "holdout_identity": 194, "forget": 193}


@pytest.mark.parametrize("seed", [0, 1])
def test_every_kept_portrait_once_with_a_caption_of_its_own_identity(tmp_path, seed):
    store = small_run(tmp_path, sensitive=8, retain=2, per_identity=41, assemble=False)
    rows, rejects = assembled(store, stage.Settings(seed=seed, joint_share=0.05))
    kept = {row["file_name"]: row for row in store.view("curation", "file_name").rows() if row["kept"]}
    assert not rejects and sorted(kept) == [row["file_name"] for row in rows]
    texts = {row["text"]: row for row in store.view("captions", "caption_id").rows()}
    forget = {
        column: {row["identity_id"] for row in rows if row[column] == "forget"}
        for column in ("split", "split_published")
    }
    for row in rows:
        owner = kept[row["file_name"]]
        generic = f"A person, picture {int(row['file_name'][9:12])}."
        assert row["generic_text"] == generic and row["gender"] == owner["gender"]
        assert (row["kind"] == "sensitive") == (row["split"] in SENSITIVE) == (row["split_published"] in SENSITIVE)
        if row["kind"] == "sensitive":
            caption = texts[row["text"]]
            assert row["identity_id"] == owner["identity_id"] == caption["identity_id"]
            assert (row["data_field"], row["value"]) == (caption["data_field"], caption["value"])
        else:
            assert row["text"] == generic and row["value"] is None and row["data_field"] is None
        if row["kind"] == "retain_joint":
            assert row["identity_id"] == owner["identity_id"]
            assert row["identity_id"] in forget["split"] & forget["split_published"]
        if row["kind"] == "retain_disjoint":
            assert row["identity_id"] is None and owner["role"] == "retain"
    kinds = Counter(row["kind"] for row in rows)
    assert kinds == {"sensitive": 304, "retain_joint": 16, "retain_disjoint": 80}


def test_facts_share_the_portraits_evenly_and_use_all_five_variants(tmp_path):
    rows, _ = assembled(small_run(tmp_path, per_identity=41, assemble=False), stage.Settings(joint_share=0))
    facts = defaultdict(list)
    for row in rows:
        if row["kind"] == "sensitive":
            facts[row["identity_id"], row["data_field"]].append(row["caption_style"])
    assert len(facts) == 6 * 8
    assert all(len(styles) == 5 == len(set(styles)) for styles in facts.values())


def test_another_seed_draws_otherwise_and_the_same_seed_alike(tmp_path):
    store = small_run(tmp_path, assemble=False)
    first, again, other = (assembled(store, stage.Settings(seed=seed))[0] for seed in (3, 3, 4))
    assert first == again
    assert [row["text"] for row in first] != [row["text"] for row in other]


def test_portraits_without_captions_are_rejected_with_a_reason(tmp_path):
    store = small_run(tmp_path, assemble=False)
    captions = list(store.view("captions", "caption_id").rows())
    lost = "00000007_005_ar-1.33.jpg"
    put(
        store,
        "captions",
        schemas.CAPTIONS,
        [
            row
            for row in captions
            if row["file_name"] != lost and not (row["identity_id"] == "00000001" and row["data_field"] != "generic")
        ],
    )
    rows, rejects = assembled(store, stage.Settings())
    assert Counter(reject.reason for reject in rejects) == {"no generic caption": 1, "identity without captions": 9}
    assert len(rows) == 8 * 9 - 10


def test_too_few_identities_is_one_line(tmp_path):
    with pytest.raises(UserError, match="3 sensitive identities"):
        assembled(small_run(tmp_path, sensitive=3, assemble=False), stage.Settings())


@given(IDENTITIES, st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_outsiders_are_the_share_asked_for_and_the_others_keep_theirs(identities, seed, share):
    rows = rows_of(identities)
    roles = identity_roles(rows[::-1], seed, share)
    counts = Counter(roles.values())
    assert roles == identity_roles(rows, seed, share) and roles.keys() == {row["identity_id"] for row in rows}
    assert counts["outsiders"] == min(int(share * len(rows) + 1e-9), len(rows) - 4)
    left = len(rows) - counts["outsiders"]
    assert abs(counts["association"] - left / 2) <= 1 and abs(counts["forget"] - left / 4) <= 1


def test_outsiders_are_a_split_of_their_own_with_captions_in_both_schemes(tmp_path):
    rows, _ = assembled(small_run(tmp_path, assemble=False), stage.Settings(outsider_share=0.34))
    away = [row for row in rows if row["split"] == "outsiders"]
    people = {row["identity_id"] for row in away}
    assert len(people) == 2 and all(row["kind"] == "outsider" and row["data_field"] for row in away)
    assert all(row["split_published"] == "outsiders" for row in away)
    assert not people & {row["identity_id"] for row in rows if row["split"] != "outsiders"}
