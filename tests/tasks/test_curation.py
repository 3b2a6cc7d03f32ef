"""Curation on hand-made measurements: every rule, the votes, thresholds from the data, the choice of identities, and
that no portrait is ever lost and no picture opened."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from small_run import jpeg, put

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.settings import validate
from salmu.data.store import Reject, StageView, Store
from salmu.tasks.curation import funnel, stage
from salmu.tasks.curation.calibration import false_reject_rate, stranger_share, threshold_at
from salmu.tasks.curation.choose import choose_balanced
from salmu.tasks.curation.decide import decide, leave_one_out, like_others
from salmu.tasks.curation.measured import vote
from salmu.tasks.curation.rules import CALIBRATED, IDENTITY_RULES, RULES, Settings
from salmu.tasks.fairface import AGES

WELL = {"people": "one", "medium": "photo", "occlusion": "clear", "quality": "sharp", "unsafe": "safe"}
ASKED = {"gender": schemas.GENDERS, "age_group": schemas.AGE_GROUPS, "region": schemas.REGIONS}
WITH_A_FACE = ("detection_score", "anchor_similarity", "face_embedding", "labels", "fairface")


def embedding(*key, near=None, weight: float = 2) -> list[float]:
    """A unit vector; with `near`, one at a cosine of about weight / sqrt(1 + weight²) to it."""
    noise = generator("embedding", *key).normal(size=512)
    vector = noise / np.linalg.norm(noise) + (0 if near is None else weight * np.asarray(near))
    return (vector / np.linalg.norm(vector)).tolist()


def people(count: int) -> list[dict]:
    """Identities with many women and few of each region."""
    return [
        {
            "identity_id": f"{number:08}",
            "gender": "male" if number % 4 == 0 else "female",
            "age_group": schemas.AGE_GROUPS[number % 6],
            "region": schemas.REGIONS[number % 7],
            "face_embedding": embedding("anchor", number),
        }
        for number in range(count)
    ]


def answers(person: dict, labels=ASKED, **changes: float) -> dict:
    """What a voter says of a person: 0.9 for each of the person's labels, or what is given."""
    found = {}
    for name, names in labels.items():
        right = changes.get(name, 0.9)
        found[name] = {label: (1 - right) / (len(names) - 1) for label in names} | {person[name]: right}
    return found


def well(**changes: float) -> dict:
    return {name: {label: changes.get(name, 0.9), "else": 1 - changes.get(name, 0.9)} for name, label in WELL.items()}


def portrait(number, person: dict, **changes) -> dict:
    """A good portrait of a person, or one with changes."""
    return {
        "faces": 1,
        "brightness": 0.5,
        "detection_score": 0.9,
        "anchor_similarity": 0.8,
        "face_embedding": embedding(number, near=person["face_embedding"]),
        "clip_embedding": embedding("picture", number),
        "labels": json.dumps(answers(person) | well()),
        "fairface": json.dumps(answers(person, ASKED | {"age_group": AGES})),
    } | changes


PERSON = people(2)[1]  # in her thirties


def voted(zero_shot: dict, fairface: dict) -> dict:
    """Portrait columns with these answers instead of the right ones."""
    return {
        "labels": json.dumps(answers(PERSON) | well() | zero_shot),
        "fairface": json.dumps(answers(PERSON, ASKED | {"age_group": AGES}) | fairface),
    }


def sure(question: str, label: str, labels=None) -> dict:
    return {question: dict.fromkeys(labels or ASKED[question], 0.0) | {label: 1.0}}


FACELESS = dict.fromkeys(WITH_A_FACE) | {"faces": 0, "brightness": 0.5, "clip_embedding": embedding("empty")}
BREAKS = {
    "damaged": {"damaged": True},
    "too_dark": {"brightness": 0.02},
    "no_face": FACELESS,
    "several_faces": {"faces": 2},
    "low_detection_score": {"detection_score": 0.1},
    "not_the_anchor": {"anchor_similarity": -0.1},
    "not_the_anchor_to_another": {"second_similarity": 0.2},
    "wrong_gender": voted(sure("gender", "male"), sure("gender", "male")),
    "wrong_age": voted(sure("age_group", "70+"), sure("age_group", "10-19", AGES)),
    "wrong_region": voted(sure("region", "Indian"), sure("region", "White")),
    "not_a_photo": voted(well(medium=0.02), {}),
    "occluded": voted(well(occlusion=0.02), {}),
    "poor_quality": voted(well(quality=0.02), {}),
    "unsafe": voted(well(unsafe=0.02), {}),
    "several_people": voted(well(people=0.02), {}),
    "near_duplicate": {"clip_embedding": embedding("picture", 0), "anchor_similarity": 0.7},
    "outlier": {"face_embedding": embedding("stranger")},
}
LOOSE = {"min_portraits": 1, "identities": 1, "retain_identities": 0}


def measured(folder, portraits: dict[str, list[dict]]) -> tuple[Store, dict[str, StageView]]:
    """A store with measurements by identity. Row keys `fault` and `file_name` go to the table of portraits; `damaged`
    rows to the rejects."""
    store = Store(folder)
    anchors = [person for person in people(len(portraits) + 2) if person["identity_id"] in portraits]
    rows = [
        {"file_name": f"{identity}_{number:03}.jpg", "identity_id": identity, "fault": row.get("fault")} | row
        for identity, found in portraits.items()
        for number, row in enumerate(found)
    ]
    put(store, "anchors", schemas.ANCHORS, anchors)
    put(store, "portraits", schemas.PORTRAITS, [row | {"image": jpeg(row["file_name"])} for row in rows])
    half = len(portraits) // 2  # two shards of whole identities
    for index, group in enumerate((list(portraits)[:half], list(portraits)[half:])):
        some = [row for row in rows if row["identity_id"] in group]
        fine = [row for row in some if not row.get("damaged")]
        rejects = [Reject(row["file_name"], "picture is damaged") for row in some if row.get("damaged")]
        put(store, "analysis", schemas.ANALYSIS, fine, rejects, index)
    views = {"anchors": store.view("anchors", "identity_id")} | {
        name: store.view(name, "file_name") for name in ("portraits", "analysis")
    }
    return store, views


def curated(folder, portraits: dict[str, list[dict]], settings: Settings) -> tuple[list[dict], Store, dict]:
    """What the stage makes of measurements by identity."""
    store, views = measured(folder, portraits)
    (shard,) = stage.plan(settings, views)
    result = stage.run(shard, settings, views, None)
    put(store, "curation", schemas.CURATION, result.rows)
    return result.rows, store, views


def reasons(folder, rows: list[dict], **settings) -> list[str | None]:
    """Of the portraits of one person, without what its identity adds."""
    _, views = measured(folder, {PERSON["identity_id"]: rows})
    return decide(Settings(**LOOSE | {"min_second_similarity": 0.6} | settings), views).reasons.tolist()


def of_people(count: int, per_identity: int) -> dict[str, list[dict]]:
    return {
        person["identity_id"]: [portrait((person["identity_id"], number), person) for number in range(per_identity)]
        for person in people(count)
    }


def test_each_rule_drops_what_breaks_it_and_nothing_else(tmp_path):
    assert set(BREAKS) == {rule.name for rule in RULES}
    for rule, broken in BREAKS.items():
        rows = [portrait(number, PERSON) for number in range(5)]
        rows[1] = portrait(1, PERSON, **broken)
        assert reasons(tmp_path / rule, rows) == [None, rule, None, None, None], rule


def test_the_first_rule_in_order_gives_the_reason(tmp_path):
    changes = {"labels": "{}", "fairface": "{}"}
    for rule in [rule.name for rule in RULES][::-1]:
        if rule in ("damaged", "no_face"):
            continue
        broken = dict(BREAKS[rule])
        for voter in {"labels", "fairface"} & set(broken):  # the wrong answers add up
            said, right = json.loads(broken[voter]), json.loads(portrait(0, PERSON)[voter])
            wrong = {name: answer for name, answer in said.items() if answer != right[name]}
            broken[voter] = json.dumps(right | json.loads(changes[voter]) | wrong)
        changes |= broken
        rows = [portrait(number, PERSON) for number in range(5)] + [portrait(5, PERSON) | changes]
        assert reasons(tmp_path / rule, rows)[5] == rule


def test_voters_must_agree(tmp_path):
    one = voted(sure("gender", "male"), {})
    rows = [portrait(number, PERSON) for number in range(3)] + [portrait(3, PERSON, **one)]
    assert reasons(tmp_path / "disagree", rows)[3] is None
    assert reasons(tmp_path / "any", rows, votes_needed=1)[3] == "wrong_gender"
    alone = [row | {"fairface": None} for row in rows]
    assert reasons(tmp_path / "alone", alone)[3] == "wrong_gender"


def test_an_age_group_nearby_is_no_contradiction_but_a_child_is(tmp_path):
    said = [("50-59", "50-59"), ("60-69", "70+"), ("60-69", "3-9"), ("20-29", "3-9")]
    rows = [portrait(0, PERSON)]
    for age, seen in said:
        rows.append(portrait(age, PERSON, **voted(sure("age_group", age), sure("age_group", seen, AGES))))
    assert reasons(tmp_path, rows) == [None, None, "wrong_age", "wrong_age", None]


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=3),
    st.integers(0, 2),
    st.integers(1, 3),
    st.floats(0, 1),
)
def test_the_vote_counts_voters(supports, right, needed, threshold):
    voters = [np.array([values]) for values in supports]
    silent = np.full((1, 3), np.nan)
    own, foreign = vote([*voters, silent], np.array([right]), 0, needed)
    contradict = sum(values[0, right] < threshold for values in voters)
    assert (own[0] < threshold) == (contradict >= min(needed, len(voters)))
    assert np.isnan(foreign[0]).tolist() == [label == right for label in range(3)]
    assert np.isnan(vote(voters, np.array([-1]), 0, needed)[0]).all()


def test_what_was_not_asked_is_said_and_drops_nothing(tmp_path):
    bare = {"clip_embedding": None, "fairface": None, "labels": json.dumps({"light": {"normal": 1.0}})}
    portraits = {name: [row | bare for row in rows] for name, rows in of_people(3, 4).items()}
    rows, store, views = curated(tmp_path, portraits, Settings(**LOOSE | {"identities": 3}))
    assert all(row["kept"] for row in rows)
    summary = stage.summarise(Settings(**LOOSE), store.view("curation", "file_name"), views)
    missing = {"wrong_gender", "wrong_age", "wrong_region", "not_a_photo", "occluded", "poor_quality", "unsafe"}
    missing |= {"several_people", "near_duplicate", "contradictory_demographics", "not_the_anchor_to_another"}
    assert {row["step"] for row in summary.tables["Funnel"] if row["portraits"] == "not measured"} == missing
    said = {row["rule"]: row["dropped"] for row in summary.tables["Rules"]}
    assert said["not_a_photo"] == "not measured: the question medium is missing"
    assert "Not measured" in summary.text and "occluded" in summary.text
    assert json.loads(rows[0]["scores"]).keys() == {"too_dark", "low_detection_score", "not_the_anchor", "outlier"}


def test_a_good_portrait_is_compared_with_the_others_only():
    assert leave_one_out(np.eye(3), np.array([True, True, False])) == pytest.approx([0, 0, 0])


def test_of_near_duplicates_the_one_most_like_the_anchor_stays(tmp_path):
    picture = embedding("picture", "x")
    rows = [portrait(number, PERSON) for number in range(4)]
    for number, similarity in ((0, 0.6), (2, 0.9), (3, 0.7)):
        rows[number] |= {"clip_embedding": picture, "anchor_similarity": similarity}
    found, _, _ = curated(tmp_path, {PERSON["identity_id"]: rows}, Settings(**LOOSE))
    assert [row["reason"] for row in found] == ["near_duplicate", None, None, "near_duplicate"]
    assert [row["duplicate_of"] for row in found] == ["00000001_002.jpg", None, None, "00000001_002.jpg"]


def test_identity_rules(tmp_path):
    one, two, three, four, five, _ = people(6)
    portraits = of_people(6, 6)
    portraits[one["identity_id"]] = portraits[one["identity_id"]][:2]
    unsure = {"labels": json.dumps(answers(two, gender=0.3)), "fairface": None}
    portraits[two["identity_id"]] = [portrait(("b", n), two) | unsure for n in range(6)]
    portraits[three["identity_id"]] = [
        portrait(n, three, face_embedding=embedding("loose", n, near=three["face_embedding"], weight=0.7))
        for n in range(6)
    ]
    twin = {n: embedding("twin", n, near=five["face_embedding"], weight=8) for n in range(6)}
    portraits[four["identity_id"]] = [portrait(("d", n), four, face_embedding=twin[n]) for n in range(5)]
    portraits[five["identity_id"]] = [portrait(("e", n), five, face_embedding=twin[n]) for n in range(6)]
    _, views = measured(tmp_path, portraits)
    settings = Settings(min_portraits=3, min_centre_similarity=-1, votes_needed=1)
    decisions = decide(settings, views)
    assert decisions.verdicts == [*(rule.name for rule in IDENTITY_RULES), None, None]
    assert [line["dropped"] for line in decisions.table[-4:]] == [1, 1, 1, 1]


@given(st.lists(st.floats(0, 3.1), min_size=1, max_size=12), st.floats(-0.9, 1))
@example([0.0, 1.03515625, 1.03515625], 0.9999999999999999)
@example([0.0, 1.25, 1.25], 0.9999999999999999)
def test_like_others_leaves_no_two_alike_and_drops_none_for_nothing(angles, limit):
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    scores = like_others(centres, list(range(len(angles))), limit)
    stay = np.flatnonzero(~(scores > limit))
    cosines, rounding = centres @ centres.T, 1e-12  # products of another shape round otherwise
    assert all(cosines[one, other] <= limit + rounding for one in stay for other in stay if one < other)
    for place in np.flatnonzero(scores > limit):
        assert any(cosines[place, better] > limit - rounding for better in stay if better < place)


@pytest.mark.parametrize("strangers", [0, 40, 300])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_calibrated_threshold_keeps_its_rate_whatever_the_strangers(strangers, rate):
    rng = generator("calibration", strangers)
    genuine, impostors = 1 - rng.gamma(4, 0.08, 3000), rng.normal(0, 0.15, 20_000)
    scores = np.concatenate([genuine, rng.normal(0, 0.15, strangers)])
    threshold = threshold_at(rate, scores, impostors)
    assert (genuine < threshold).mean() == pytest.approx(rate, abs=0.006)
    assert stranger_share(scores, impostors) == pytest.approx(strangers / len(scores), abs=0.012)
    assert false_reject_rate(threshold, scores, impostors) <= rate
    assert threshold_at(rate, scores) == np.sort(scores)[int(rate * len(scores))]  # no impostors: a plain quantile


def test_calibration_needs_rules_with_a_score():
    for name in ("no_face", "near_duplicate", "nonsense"):
        with pytest.raises(UserError, match=f"no rule with a score: {name}"):
            validate(Settings, {"calibration": {"rules": [name]}}, "curation")
    assert Settings(calibration={"rules": CALIBRATED}).calibration.rules == CALIBRATED


def strangers_among(count: int, per_identity: int) -> dict[str, list[dict]]:
    """Portraits of people at all distances from their anchors, one in eight of somebody else."""
    portraits = {}
    for person in people(count):
        rows = []
        for number in range(per_identity):
            key = (person["identity_id"], number)
            weight = 0.5 + 2 * generator("weight", *key).random()
            fault = "other_person" if generator("stranger", *key).random() < 1 / 8 else None
            face = embedding(*key, near=None if fault else person["face_embedding"], weight=weight)
            similarity = float(np.dot(face, person["face_embedding"]))
            rows.append(portrait(key, person, face_embedding=face, anchor_similarity=similarity, fault=fault))
        portraits[person["identity_id"]] = rows
    return portraits


def test_the_estimated_false_reject_rate_is_the_true_one(tmp_path):
    settings = Settings(**LOOSE, calibration={"false_reject_rate": 0.05})
    rows, _, views = curated(tmp_path, strangers_among(20, 30), settings)
    lines = {row["rule"]: row for row in decide(settings, views).table}
    line = lines["not_the_anchor"]
    good = [row for row in rows if row["fault"] is None]
    lost = np.mean([row["reason"] == "not_the_anchor" for row in good])
    assert line["set"] == "calibrated" and lines["too_dark"]["set"] == "given"
    assert float(line["good dropped, estimated"].rstrip("%")) / 100 == pytest.approx(0.05, abs=0.005)
    assert lost == pytest.approx(0.05, abs=0.015)
    others = [row for row in rows if row["fault"]]
    assert np.mean([row["reason"] in ("not_the_anchor", "outlier") for row in others]) == 1
    assert line["impostors let through"].startswith("0.000% of ")


def test_another_threshold_opens_no_picture(tmp_path, monkeypatch):
    portraits = strangers_among(5, 10)
    store, views = measured(tmp_path, portraits)
    read, opened, tables, open_picture = [], [], StageView.tables, Image.open
    monkeypatch.setattr(
        StageView, "tables", lambda self, columns=None: (read.append((self.stage, columns)), tables(self, columns))[1]
    )
    monkeypatch.setattr(Image, "open", lambda *arguments: (opened.append(1), open_picture(*arguments))[1])
    kept = []
    for threshold in (0.3, 0.6):
        settings = Settings(**LOOSE, min_anchor_similarity=threshold)
        (shard,) = stage.plan(settings, views)
        rows = stage.run(shard, settings, views, None).rows
        kept.append(sum(row["reason"] is None or row["reason"] == "surplus" for row in rows))
        assert {row["file_name"] for row in rows} == set(views["portraits"].row_digests())
    assert kept[0] > kept[1] > 0 and not opened
    assert read and all(columns and "image" not in columns for columns in read)
    put(store, "curation", schemas.CURATION, rows)
    stage.summarise(settings, store.view("curation", "file_name"), views)
    assert 0 < len(opened) <= np.prod(funnel.SHEET)  # the dropped ones that are shown


def test_the_choice_is_balanced_and_does_not_depend_on_the_order_given():
    chosen = choose_balanced(people(168), 42, 0)
    by_id = {person["identity_id"]: person for person in people(168)}
    for axis, spread in (("gender", 4), ("age_group", 2), ("region", 2)):  # a choice by chance: 22, 8, 8
        counts = np.unique([by_id[name][axis] for name in chosen], return_counts=True)[1]
        assert counts.max() - counts.min() <= spread, axis
    assert len(set(chosen)) == 42
    assert choose_balanced(people(168)[::-1], 42, 0) == chosen != choose_balanced(people(168), 42, 1)


def test_roles_surplus_and_damaged(tmp_path):
    portraits = of_people(8, 4)
    portraits["00000003"] = portraits["00000003"][:1]
    portraits["00000002"][0]["damaged"] = True
    rows, store, views = curated(tmp_path, portraits, Settings(min_portraits=3, identities=3, retain_identities=2))
    roles = {row["identity_id"]: row["role"] for row in rows}
    assert sorted(roles.values()) == ["dropped"] * 3 + ["retain"] * 2 + ["sensitive"] * 3
    by_name = {row["file_name"]: row for row in rows}
    assert by_name["00000002_000.jpg"]["reason"] == "damaged"
    assert by_name["00000002_000.jpg"]["anchor_similarity"] is None
    assert by_name["00000003_000.jpg"]["reason"] == "too_few_portraits"
    for row in rows:
        assert row["kept"] == (row["reason"] is None)
        assert not row["kept"] or row["role"] != "dropped"
        assert row["reason"] != "surplus" or row["role"] == "dropped"
    assert sum(row["reason"] == "surplus" for row in rows) >= 7
    text = stage.summarise(Settings(min_portraits=3), store.view("curation", "file_name"), views).text
    assert "2 identities are fit, but surplus" in text


def test_too_few_identities_says_how_many_and_what_to_change(tmp_path):
    with pytest.raises(UserError, match=r"^curation: 4 identities .* but 6 are wanted .*anchors\.count.*min_portraits"):
        curated(tmp_path, of_people(4, 4), Settings(min_portraits=3, identities=4, retain_identities=2))


def test_summary_counts_planted_faults_and_good_losses(tmp_path, monkeypatch):
    portraits = of_people(4, 10)
    for identity, rows in portraits.items():
        rows[0] = rows[0] | FACELESS | {"fault": "no_face"}
        rows[1] = rows[1] | {"fault": "other_person", "anchor_similarity": 0.1 if identity != "00000000" else 0.9}
    portraits["00000001"][5]["brightness"] = 0.01
    settings = Settings(min_portraits=3, identities=3, retain_identities=1)
    rows, store, views = curated(tmp_path, portraits, settings)
    summary = stage.summarise(settings, store.view("curation", "file_name"), views)
    planted = {row["fault"]: row for row in summary.tables["Planted faults"]}
    assert planted["no_face"]["recall"] == 1
    assert (planted["other_person"]["planted"], planted["other_person"]["caught"]) == (4, 3)
    assert funnel.good_lost(rows) == pytest.approx(1 / 32)
    steps = summary.tables["Funnel"]
    assert steps[0]["left"] == 40 and steps[-1]["left"] == steps[-2]["left"] == steps[-1]["portraits"] == 32
    assert all(figure.startswith(b"\x89PNG") and len(figure) < 100_000 for figure in summary.figures.values())
    assert len(summary.figures) == 3
    manifest = store.manifest("curation")
    manifest.shards[0].notes = {"rules": summary.tables["Rules"]}  # as a worker leaves them: nothing is decided again
    store.write_manifest(manifest)
    monkeypatch.delattr(stage, "decide")
    assert stage.summarise(settings, store.view("curation", "file_name"), views) == summary


any_portrait = st.fixed_dictionaries(
    {
        "faces": st.integers(1, 3),
        "brightness": st.floats(0, 1),
        "detection_score": st.floats(0, 1),
        "anchor_similarity": st.floats(-1, 1),
        "labels": st.builds(
            lambda gender, age, safe: json.dumps(answers(PERSON, gender=gender, age_group=age) | well(unsafe=safe)),
            st.floats(0, 1), st.floats(0, 1), st.floats(0, 1),
        ),
        "fairface": st.none(),
        "face_embedding": st.integers(0, 5).map(lambda number: embedding(number)),
        "clip_embedding": st.none() | st.integers(0, 5).map(lambda number: embedding(number)),
        "fault": st.sampled_from((None, "other_person")),
    }
) | st.sampled_from((FACELESS | {"fault": "no_face"}, {"damaged": True}))  # fmt: skip


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(any_portrait, max_size=5), min_size=1, max_size=4), st.booleans())
def test_every_portrait_comes_out_exactly_once(tmp_path_factory, groups, calibrate):
    portraits = {f"{number:08}": rows for number, rows in enumerate(groups)}
    expected = sorted(
        f"{identity}_{number:03}.jpg" for identity, rows in portraits.items() for number in range(len(rows))
    )
    settings = Settings(**LOOSE, calibration={"rules": CALIBRATED} if calibrate else None)
    folder = tmp_path_factory.mktemp("run")
    try:
        rows, _, _ = curated(folder, portraits, settings)
    except UserError:
        assert None not in decide(settings, measured(folder, portraits)[1]).verdicts
        return
    assert sorted(row["file_name"] for row in rows) == expected
    assert len({row["identity_id"] for row in rows if row["role"] == "sensitive"}) == 1
    assert all(row["kept"] or row["reason"] for row in rows)
