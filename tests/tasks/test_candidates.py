"""The stage candidates: who is drawn, what is said of the people on the pictures, and that each is opened once."""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from candidate_pictures import NO_MODELS, face, picture, reading, run_all, save
from checkpoints import make_fairface
from face_pack import make_face_pack
from helpers import run_stages
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.procedural.person import Person
from salmu.data.schemas import GENDERS, REGIONS
from salmu.data.store import Shard, Store
from salmu.tasks.candidates import images, procedural, stage
from salmu.tasks.candidates.demographics import of_age, of_age_group, of_fairface, of_zero_shot, settle


def test_drawn_candidates_are_balanced_unique_and_described(finds):
    rows, rejects = run_all(stage.Settings(count=14, size=96))
    assert not rejects and len({row["identity_id"] for row in rows}) == 14
    assert all(len(row["identity_id"]) == 8 and row["identity_id"].isdigit() for row in rows)
    assert len({(row["gender"], row["region"]) for row in rows}) == 14
    for row in rows:
        person = Person.model_validate_json(row["traits"])
        assert (person.gender, person.age, person.region) == (row["gender"], row["age"], row["region"])
        assert row["age"] >= 20 and row["adult"] and row["labels_from"] == "drawn"
        assert np.linalg.norm(row["face_embedding"]) == pytest.approx(1)
        assert len(row["box"]) == 4 and len(row["landmarks"]) == 10
    kept = Image.open(io.BytesIO(rows[0]["image"]))
    assert kept.format == "JPEG" and kept.size == (96, 96)


def test_72_are_drawn_unless_told_otherwise():
    assert sum(len(shard.items) for shard in stage.plan(stage.Settings(), {})) == 72


def test_every_combination_comes_once_before_any_comes_again():
    assert len({procedural.quota(1, index) for index in range(84)}) == 84
    assert procedural.quota(1, 84) == procedural.quota(1, 0)


@pytest.mark.parametrize("count", [14, 66, 100])
def test_every_count_is_balanced(count):
    people = [procedural.quota(3, index) for index in range(count)]
    for place in range(3):
        sizes = Counter(person[place] for person in people).values()
        assert max(sizes) - min(sizes) <= 2


def test_fewer_identities_or_other_shards_are_the_same_people():
    settings = stage.Settings(count=10, size=96, seed=5)
    engine = stage.load_engine(settings)
    rows, _ = run_all(settings, engine)
    assert run_all(settings.model_copy(update={"count": 7, "shard_size": 3}), engine)[0] == rows[:7]
    other, _ = run_all(settings.model_copy(update={"seed": 6, "count": 3}), engine)
    assert not {row["identity_id"] for row in rows} & {row["identity_id"] for row in other}


def test_what_the_pack_says_of_a_drawn_person_changes_nothing_that_is_known(finds):
    finds(face(), says=("female", 12))
    rows, rejects = run_all(stage.Settings(count=4, size=96))
    assert not rejects and {row["gender"] for row in rows} == {"female", "male"}
    assert min(row["age"] for row in rows) >= 20 and all(row["adult"] for row in rows)


def test_a_drawn_candidate_without_a_face_is_rejected(finds):
    finds()
    rows, rejects = run_all(stage.Settings(count=2, size=96))
    assert not rows and [reject.reason for reject in rejects] == ["no face", "no face"]


def test_the_embedded_pack_finds_and_measures_the_drawn_faces():
    settings = stage.Settings(count=12)
    rows, rejects = run_all(settings, stage.load_engine(settings))
    assert not rejects and len(rows) == 12
    for row in rows:
        x1, y1, x2, y2 = row["box"]
        eyes = row["landmarks"][:4]
        assert x1 < eyes[0] < eyes[2] < x2 and y1 < eyes[1] < y2 and x2 - x1 > 50
        assert row["faces"] == 1 and row["second_face"] == 0 and row["detection_score"] > 0.8
        assert row["face_size"] == pytest.approx(min(x2 - x1, y2 - y1)) and row["sharpness"] > 30
        assert abs(row["yaw"]) < 12 and abs(row["roll"]) < 12


ATTRIBUTES = """\
\ufeffImage Filename,Sex,Age,Race,prompt
images/SFHQ_00000001.jpg,F,33.7,Latino,"a, b"
SFHQ_00000002,male,8,east_asian,
00000003.png,Woman,19,Klingon,
00000004.jpg,,,,
elsewhere.jpg,m,120,white,
"""


def test_the_attributes_file_says_who_is_on_the_pictures(tmp_path, finds):
    finds(face(), says=("male", 50))
    for name in ("SFHQ_00000001.jpg", "SFHQ_00000002.jpg", "00000003.jpg", "00000004.jpg"):
        save(tmp_path / "people" / name)
    (tmp_path / "people.csv").write_text(ATTRIBUTES)
    settings = reading(tmp_path / "people", attributes=str(tmp_path / "people.csv"))
    rows, _ = run_all(settings)
    told = {
        row["identity_id"]: [row[k] for k in ("gender", "age", "age_group", "region", "adult", "labels_from")]
        for row in rows
    }
    assert told == {
        "00000001": ["female", 33, "30-39", "Latino_Hispanic", True, "attributes"],
        "00000002": ["male", 8, None, "East Asian", False, "attributes"],
        "00000003": ["female", 19, "20-29", None, True, "attributes"],
        "00000004": ["male", 50, "50-59", None, True, "pack"],
    }
    store = run_stages(Store(tmp_path / "run"), {"candidates": settings})
    summary = stage.summarise(settings, store.view("candidates", stage.KEY), {})
    assert summary.tables["Unknown attributes"] == [{"column": "Race", "value": "Klingon", "lines": 1}]
    assert {"labels from": "attributes", "candidates": 3} in summary.tables["Who says so"]


def test_age_groups_of_the_attributes_file_are_fairfaces(tmp_path, finds):
    for name in "abc":
        save(tmp_path / f"{name}.jpg")
    (tmp_path / "people.csv").write_text("file_name,age group\na.jpg,10-19\nb.jpg,more than 70\nc.jpg,20-29\n")
    rows, _ = run_all(reading(tmp_path, attributes=str(tmp_path / "people.csv")))
    assert [(row["age_group"], row["adult"]) for row in rows] == [(None, False), ("70+", True), ("20-29", True)]


def test_a_line_of_the_attributes_file_makes_its_shard_stale_and_no_other(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.jpg")
    table = tmp_path / "people.csv"
    table.write_text("file,age\n0.jpg,20\n3.jpg,20\n")
    settings = reading(tmp_path, attributes=str(table), shard_size=2)
    before = stage.plan(settings, {})
    table.write_text("file,age\n0.jpg,20\n3.jpg,21\n")
    after = stage.plan(settings, {})
    assert after[0] == before[0] and after[1] != before[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,gender\n1.jpg,male\n", "no column file, .* image_filename; its columns are name, gender"),
        (b"file,sexe\n1.jpg,male\n", "no column gender, .* its columns are file, sexe"),
        (b"", "its columns are none"),
        (b"file,gender\n\xff\xfe,male\n", "no CSV file in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_attributes_file_is_one_clear_line(tmp_path, content, message):
    save(tmp_path / "1.jpg")
    if content is not None:
        (tmp_path / "people.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"candidates.attributes.*people.csv.*{message}"):
        stage.plan(reading(tmp_path, attributes=str(tmp_path / "people.csv")), {})


def test_the_first_who_knows_is_believed():
    child, adult = of_age(12), of_age(44)
    assert settle({"attributes": {"region": "Indian"}, "pack": adult | {"gender": "male"}}) == {
        "gender": "male", "age": 44, "age_group": "40-49", "adult": True, "region": "Indian",
        "labels_from": "attributes+pack",
    }  # fmt: skip
    assert settle({"fairface": of_age_group("10-19"), "pack": adult})["adult"] is False
    assert settle({"fairface": of_age_group("20-29"), "pack": child}) | {"labels_from": ""} == {
        "gender": None, "age": None, "age_group": "20-29", "adult": True, "region": None, "labels_from": "",
    }  # fmt: skip
    looks = settle({"zero-shot": {"gender": "female", "age_group": "20-29"}, "pack": child | {"gender": "male"}})
    assert (looks["gender"], looks["age_group"], looks["adult"]) == ("female", None, False)
    assert settle({}) == dict.fromkeys(("gender", "age", "age_group", "adult", "region", "labels_from"))


def test_models_answer_with_their_likeliest_class():
    said = of_fairface({"gender": {"male": 0.4, "female": 0.6}, "age_group": {"3-9": 0.7, "20-29": 0.3}})
    assert said == {"gender": "female", "age_group": None, "adult": False}
    asked = {"gender": {"male": 0.9, "female": 0.1}, "age_group": {"70+": 0.6, "20-29": 0.4}, "region": {"Indian": 1.0}}
    assert of_zero_shot(asked) == {"gender": "male", "age_group": "70+", "region": "Indian"}


def test_fairface_is_asked_before_the_pack(tmp_path):
    for name in ("1.jpg", "2.jpg"):
        save(tmp_path / "people" / name)
    checkpoint = make_fairface(tmp_path / "fairface")
    pack = {"pack": str(make_face_pack(tmp_path / "pack", threshold=-2)), "detection_size": 160}
    settings = reading(tmp_path / "people", faces=pack, fairface={"checkpoint": str(checkpoint)})
    rows, _ = run_all(settings, stage.load_engine(settings))
    assert len(rows) == 2
    for row in rows:
        assert row["labels_from"] == "fairface" and row["gender"] in GENDERS and row["region"] in REGIONS
        assert row["adult"] is (row["age_group"] is not None) and row["age"] is None
    assert (
        stage.revisions(settings)["fairface"] != stage.revisions(reading(tmp_path / "people", faces=pack))["fairface"]
    )


def test_the_embedded_zero_shot_model_answers_where_nobody_knows_better(tmp_path):
    person, image = procedural.draw(0, 0, "00000000", 128)
    Image.fromarray(image).save(tmp_path / "1.png")
    settings = reading(tmp_path, clip="embedded")
    ((row,), _) = run_all(settings, stage.load_engine(settings))
    assert row["gender"] == person.gender and row["labels_from"] == "zero-shot+pack" and row["adult"]


class Opens:
    """Counts, through Python's audit hook, how often each picture file of a folder is opened."""

    def __init__(self):
        self.folder, self.counts = None, Counter()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open" and self.folder and str(arguments[0]).startswith(self.folder):
            self.counts[Path(str(arguments[0])).name] += 1


OPENS = Opens()


def test_every_picture_is_opened_once_over_a_kill_and_further_stages(tmp_path, finds, monkeypatch):
    people = tmp_path / "people"
    for number in range(9):
        save(people / f"{number}.jpg", b"damaged" if number == 2 else None)
    settings, store = reading(people, shard_size=3), Store(tmp_path / "run")
    monkeypatch.setattr(OPENS, "counts", Counter())
    monkeypatch.setattr(OPENS, "folder", str(people))
    made = stage.run

    def killed(shard: Shard, *others):
        if shard.index == 2:
            raise KeyboardInterrupt
        return made(shard, *others)

    monkeypatch.setattr(stage, "run", killed)
    monkeypatch.setattr(stage, "load_engine", lambda settings: NO_MODELS)
    with pytest.raises(KeyboardInterrupt):
        run_shards(store, settings)
    assert set(OPENS.counts) == {f"{number}.jpg" for number in range(6)}
    monkeypatch.setattr(stage, "run", made)
    run_shards(store, settings)
    run_shards(store, settings)
    assert OPENS.counts == {f"{number}.jpg": 1 for number in range(9)}
    monkeypatch.setattr(OPENS, "folder", None)


def run_shards(store: Store, settings: stage.Settings) -> None:
    """As the flow does it: each shard is committed when it is back."""
    from salmu.flows.running.stages import finished, planned

    plan = planned(store, stage.NAME, settings)
    done = finished(store, stage.NAME, plan)
    for shard, expected in plan:
        if shard.index not in done:
            result = stage.run(shard, settings, {}, stage.load_engine(settings))
            manifest = store.manifest(stage.NAME)
            manifest.shards.append(store.write_shard(stage.NAME, stage.SCHEMA, shard, result, expected, seconds=0.0))
            store.write_manifest(manifest)


def test_few_pictures_are_decoded_ahead():
    begun = []
    results = images.ahead(lambda item: begun.append(item) or item, range(1000), threads=2)
    assert next(results) == 0
    assert len(begun) <= 2 * images.DECODED_AHEAD + 2
    assert list(results) == list(range(1, 1000))


def test_summary_counts_and_shows(tmp_path, finds):
    save(tmp_path / "pictures/1.jpg")
    save(tmp_path / "pictures/2.jpg", picture(2, size=(40, 40)))
    for copies in ("images1024x1024", "in-the-wild-images", "thumbnails128x128"):  # as FFHQ has them
        save(tmp_path / "pictures" / copies / "3.png", picture(3, size=(50, 50), kind="PNG"))
    settings = reading(tmp_path / "pictures")
    store = run_stages(Store(tmp_path / "run"), {"candidates": settings})
    summary = stage.summarise(settings, store.view("candidates", stage.KEY), {})
    assert summary.text.startswith("1 candidates among 3 pictures of source 'images'")
    assert "2 further pictures, such as in-the-wild-images/3.png, repeat others or show no faces" in summary.text
    assert summary.tables["Rejected"] == [{"reason": "too small", "pictures": 2}]
    assert {"group": "region", "value": "unknown", "candidates": 1} in summary.tables["Demographics"]
    figure = summary.figures["Candidates"]
    assert len(figure) < 100_000 and Image.open(io.BytesIO(figure)).format == "PNG"
    json.dumps(summary.tables)


def test_the_models_are_named_with_their_licences(tmp_path):
    settings = reading(
        tmp_path, faces={"pack": "buffalo_l"}, fairface={"checkpoint": "ORG/fairface-age"}, clip="hf-hub:a/b"
    )
    licences = {model.name: model.licence for model in stage.models(settings)}
    assert "non-commercial" in licences["buffalo_l"] and len(licences) == 3
    assert len(stage.models(stage.Settings())) == 1
