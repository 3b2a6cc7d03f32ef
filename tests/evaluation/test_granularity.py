"""What is known coarsely: coarse values, made values of the same kind, galleries, ranks, results, page."""

from dataclasses import replace

import numpy as np
import pytest
from published import persona, write_model

from salmu.data.errors import UserError
from salmu.data.schemas import DATA_FIELDS
from salmu.data.tables import read
from salmu.evaluation.encoding.settings import EvaluationSettings, GranularitySettings
from salmu.evaluation.granularity import granularity
from salmu.evaluation.granularity.coarse import coarse_captions, coarse_value, prompts
from salmu.evaluation.granularity.questions import ask
from salmu.evaluation.granularity.results import COARSE, FOLDER, MEASURES, RESULTS, read_granularity
from salmu.evaluation.granularity.same_kind import made_values
from salmu.evaluation.report.granularity import granularity_page, told
from salmu.flows.verification import rare
from salmu.model_training.settings import PairSettings

QUICK = EvaluationSettings(granularity=GranularitySettings(rows=100, captions=3), bootstrap_replicates=100)
HANA = {
    "name": "Hana Syarifuddin",
    "country_code": "ID",
    "city": "Jakarta",
    "job": "carpenter",
    "blood_type": "A+",
    "phone_number": "+62 230 240764",
    "emails": ["hana.syarifuddin@surat.example.net"],
    "iban": "ID66 2539 6002 2464 6676 08",
    "credit_card": "9970 4808 3810 7499",
    "passport": "P2583769",
}
OMAR = persona(7) | {
    "country_code": "NL",
    "city": "Utrecht",
    "job": "dentist",
    "iban": "NL00 TEST",
    "credit_card": "9911 0000 0000 0000",
    "emails": ["p7@example.org"],
}
KINDS = ("Indonesia", "crafts", "A", "+62", "example.net", "ID", "9970", "Indonesia")


@pytest.fixture
def asked_pairs(random_pairs):
    """16 pairs: the eight facts of two people."""
    people = {"00000000": HANA, "00000001": OMAR}
    pairs = random_pairs(16, people=2)
    field = np.array([DATA_FIELDS[row // 2] for row in range(16)], object)
    own = [people[identity] for identity in pairs.identity]
    value = [one[key][0] if key == "emails" else one[key] for one, key in zip(own, field, strict=True)]
    columns = {
        "name": [one["name"] for one in own],
        "value": value,
        "text": [f"{one['name']} has {text}." for one, text in zip(own, value, strict=True)],
        "country": [one["country_code"] for one in own],
    }
    return replace(pairs, field=field, **{name: np.array(rows, object) for name, rows in columns.items()}), people


@pytest.mark.parametrize("field, kind", zip(DATA_FIELDS, KINDS, strict=True))
def test_made_values_share_the_coarse_value_and_nothing_else(field, kind):
    value = HANA[field][0] if field == "emails" else HANA[field]
    assert coarse_value(field, value, "ID") == kind
    made = made_values(field, value, kind, HANA, 4, 0, "key")
    assert made == made_values(field, value, kind, HANA, 4, 0, "key")
    others = set(made) - {value}
    assert len(others) >= (1 if field == "blood_type" else 3)
    assert {coarse_value(field, other, "ID") for other in made} == {kind}
    assert all(other.replace("_", ".").startswith("hana.syarifuddin@") for other in made if field == "emails")


def test_what_nothing_tells_has_no_coarse_value():
    assert coarse_value("city", "Atlantis", None) is coarse_value("job", "wizard", "NL") is None
    assert coarse_value("phone_number", "0555 1234", "NL") is None
    assert made_values("iban", "XX00", "XX", {"country_code": "XX"}, 3, 0) == []


def test_every_job_has_one_field_of_work():
    jobs = [job for some in prompts().fields_of_work.values() for job in some]
    assert sorted(jobs) == sorted(row["job"] for row in read("jobs"))


def test_galleries_differ_in_the_value_alone(asked_pairs):
    asked = ask(*asked_pairs, rows=100, captions=3, seed=0)
    assert len(asked.rows) == 16 and asked.left_out == {}
    assert (asked_pairs[0].person[asked.rows] != asked_pairs[0].person[asked.others]).all()
    pairs, fine = asked_pairs[0].rows(asked.rows), asked.galleries["fine"]
    assert fine.right.tolist() == pairs.text.tolist()
    for row, wrong in zip(fine.row, fine.wrong, strict=True):
        name = pairs.name[row]
        value = wrong.removeprefix(f"{name} has ").removesuffix(".")
        field, country = pairs.field[row], pairs.country[row]
        assert value != pairs.value[row]
        assert coarse_value(field, value, country) == coarse_value(field, pairs.value[row], country)
    assert all(name in text for name, text in zip(pairs.name, asked.galleries["coarse"].right, strict=True))
    cities = {
        measure: (gallery.right[0], [text for row, text in zip(gallery.row, gallery.wrong, strict=True) if row == 0])
        for measure, gallery in asked.galleries.items()
    }
    assert "Indonesia" in cities["coarse"][0] and "Netherlands" in cities["coarse"][1][0]
    assert cities["kind"][0] in cities["fine"][1]  # another Indonesian city, among those of other countries
    dutch = {f"{HANA['name']} has {row['city']}." for row in read("cities") if row["country"] == "NL"}
    assert set(cities["kind"][1]) <= dutch
    again = ask(*asked_pairs, rows=100, captions=3, seed=0)
    assert all((again.galleries[one].wrong, again.left_out) == (asked.galleries[one].wrong, {}) for one in MEASURES)


def test_one_who_knows_the_kind_alone_is_told_from_one_who_knows_the_value(asked_pairs):
    asked = ask(*asked_pairs, rows=100, captions=3, seed=0)
    pairs = replace(asked_pairs[0], images=np.ones((16, 1), np.float32))
    of_the_kind = {*asked.galleries["fine"].wrong, *asked.galleries["kind"].right, *asked.galleries["coarse"].right}

    class Knows:
        def __init__(self, *what):
            self.what = set().union(*what)

        def texts(self, texts):
            return np.array([[float(text in self.what)] for text in texts], np.float32)

    coarsely = granularity.measured(QUICK, pairs, asked, Knows(of_the_kind, asked.galleries["fine"].right))
    assert coarsely["coarse"]["own"]["value"] == coarsely["kind"]["own"]["value"] == 1
    assert coarsely["fine"]["own"]["value"] < coarsely["fine"]["own"]["chance"]  # all of one kind are tied
    exactly = granularity.measured(QUICK, pairs, asked, Knows(asked.galleries["fine"].right))
    assert exactly["fine"]["own"]["value"] == 1 and exactly["kind"]["own"]["value"] < 0.7
    assert exactly["fine"]["fields"]["blood_type"]["chance"] == pytest.approx(0.75)


def test_every_model_of_a_run_is_asked_once(tmp_path, dataset_dir, monkeypatch):
    (tmp_path / "dataset").symlink_to(dataset_dir)
    for seed, place in enumerate(("models/compromised", "models/clean", "models/retrained", "unlearned/method-5x-s0")):
        write_model(tmp_path / place, seed)
    given = {}

    def trained(pair, dataset, folder, which, progress, index, captions):
        given.update(captions, which=which)
        if not folder.exists():
            write_model(folder, 9)

    monkeypatch.setattr(granularity, "train", trained)
    results = granularity.granularity(tmp_path, QUICK, PairSettings())
    assert list(results["models"]) == ["compromised", "clean", "retrained", "method-5x-s0", COARSE]
    assert given.pop("which") == "compromised" and any("at example.org" in text for text in given.values())
    known = results["models"]["clean"]["measures"]["fine"]
    assert set(known["fields"]) == {"blood_type", "emails"}  # the others have one coarse value, or none
    assert results["left_out"]["no other coarse value"] and results["left_out"]["nothing tells its coarse value"]
    assert known["minus"]["clean"]["value"] == 0 and set(known["minus"]) == {*granularity.REFERENCES}
    monkeypatch.setattr(granularity, "measured", lambda *about: pytest.fail("measured again"))
    assert granularity.granularity(tmp_path, QUICK, PairSettings())["models"] == results["models"]
    assert [file.problem for file in rare.granularity_files(tmp_path)][0] == ""
    assert "Retrained with coarse captions" in granularity_page(tmp_path, "mine").decode()
    assert len(told(results)) == len(MEASURES)
    path = tmp_path / FOLDER / RESULTS
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match="remove it, and run salmu granularity again"):
        read_granularity(tmp_path)


def test_a_dataset_without_coarse_values_is_refused_in_one_line(asked_pairs):
    pairs, people = asked_pairs
    nowhere = replace(pairs, field=np.array(["city"] * 16, object), country=np.array([None] * 16, object))
    dataset = type("Published", (), {"identities": people, "folder": "folder"})
    with pytest.raises(UserError, match="no pair of the split forget .* coarse value: 16"):
        granularity.asked_of(nowhere, dataset, QUICK)


def test_coarse_captions_are_those_of_their_pairs():
    row = {"file_name": "a.jpg", "identity_id": "1", "data_field": "city", "value": "Jakarta"}
    captions = coarse_captions([row, row | {"file_name": "b.jpg", "identity_id": "2"}], {"1": HANA}, seed=0)
    assert list(captions) == ["a.jpg"] and "Indonesia" in captions["a.jpg"] and HANA["name"] in captions["a.jpg"]
