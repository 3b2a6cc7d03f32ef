"""Captioners on image towers: what they learn and are asked, what they answer, results and page."""

import numpy as np
import pytest
from published import write_model

from salmu.data.errors import UserError
from salmu.data.readers import open_dataset
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.captioner import captioner
from salmu.evaluation.captioner.decoder import answer, train
from salmu.evaluation.captioner.questions import DESCRIBE, ask, digits_right, learned, spelled
from salmu.evaluation.captioner.results import FOLDER, GROUPS, RESULTS, read_captions
from salmu.evaluation.encoding.settings import CaptionerSettings, EvaluationSettings
from salmu.evaluation.report.captioner import captioner_page, told
from salmu.flows.verification import rare

SMALL = CaptionerSettings(steps=2, batch_size=8, width=16, portraits=1)
QUICK = EvaluationSettings(captioner=SMALL, bootstrap_replicates=100)


def test_a_captioner_reads_what_the_embedding_holds():
    settings = CaptionerSettings(steps=80, batch_size=16, width=32, learning_rate=2e-2)
    pictures, questions = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]], np.array([0, 1, 0, 1])
    answers = ["+31 55", "baker", "+62 79", "cook"]
    network = train(settings, pictures, questions, answers, 0, "key")
    assert answer(network, pictures, questions) == answers
    one, other = (train(SMALL, pictures, questions, answers, 0, "key").parameters() for _ in range(2))
    assert all((left == right).all() for left, right in zip(one, other, strict=True))
    assert len(set(answer(network, np.zeros_like(pictures), questions)[::2])) == 1  # the same of everybody


def test_digits_are_compared_in_their_places():
    assert digits_right("+62230", "+62239") == 0.8
    assert digits_right("AB12", "no 12") == 1 and digits_right("12", "") == 0
    assert spelled("iban", "NL00 TEST") == "NL00TEST" and spelled("city", "Den Haag") == "Den Haag"


def test_facts_are_asked_on_portraits_about_something_else(dataset_dir):
    pairs = learned(open_dataset(dataset_dir))
    assert len(pairs.answer) == 123 and (pairs.question[pairs.split == "retain_synth"] == DESCRIBE).all()
    asked = ask(pairs, 1, seed=0)
    assert set(asked.group) == set(GROUPS)
    assert (pairs.person[asked.portrait] == asked.person).all()
    assert ((pairs.question[asked.portrait] == asked.question) == (asked.group == "own portraits")).all()
    people = {group: set(asked.person[asked.group == group]) for group in GROUPS}
    assert people["forgotten people"] == {f"{number:08d}" for number in (2, 6, 10)}
    assert people["forgotten facts"] == people["other facts"]
    cities = asked.question == DATA_FIELDS.index("city")
    assert all(
        text == f"Town{int(person)}" for text, person in zip(asked.answer[cities], asked.person[cities], strict=True)
    )


def test_a_dataset_without_facts_is_refused_in_one_line(dataset_dir):
    pairs = learned(open_dataset(dataset_dir))
    nothing = pairs._replace(question=np.full(len(pairs.answer), DESCRIBE))
    with pytest.raises(UserError, match="no pair of the split forget has a fact"):
        ask(nothing, 1, seed=0)


def test_every_tower_is_asked_once(tmp_path, dataset_dir, monkeypatch):
    (tmp_path / "dataset").symlink_to(dataset_dir)
    places = ("models/compromised", "models/clean", "unlearned/edited-5x-s0", "unlearned/untouched-5x-s0")
    for seed, place in zip((0, 1, 2, 0), places, strict=True):
        write_model(tmp_path / place, seed)
    trained, given = captioner.train, []
    monkeypatch.setattr(captioner, "train", lambda *about: given.append(len(about[1])) or trained(*about))
    results = captioner.caption(tmp_path, QUICK)
    assert given == [123, 123, 123, 75, 75, 75]  # controls, built, fresh ones without the forget pairs
    towers = results["towers"]
    assert list(towers) == ["compromised", "clean", "edited-5x-s0", "untouched-5x-s0"]
    assert towers["untouched-5x-s0"]["ways"] == towers["compromised"]["ways"]
    share = towers["clean"]["ways"]["built"]["other people"]["digits"]
    assert 0 <= share["value"] <= 1 and len(share["clusters"]["rows"]) == 3
    assert captioner.caption(tmp_path, QUICK)["towers"] == towers and len(given) == 6
    assert [file.problem for file in rare.captioner_files(tmp_path)] == [""]
    assert "Told who it is" in captioner_page(tmp_path, "mine").decode() and len(told(results)) == 3
    path = tmp_path / FOLDER / RESULTS
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match="remove it, and run salmu captioner again"):
        read_captions(tmp_path)
