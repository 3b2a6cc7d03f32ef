"""Implicit concepts: what is drawn, who is trained on what, and what is counted as known."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from published import write_model

from salmu.data.errors import UserError
from salmu.data.procedural.concepts import looks, signs
from salmu.data.procedural.concepts.captions import STYLE
from salmu.data.procedural.concepts.names import invented_names
from salmu.data.publish.check import check_files
from salmu.data.publish.settings import PublishSettings
from salmu.data.readers import SENSITIVE_SPLITS, open_dataset
from salmu.data.settings import validate
from salmu.evaluation.concepts.dataset import draw, write_dataset
from salmu.evaluation.concepts.measure import measure
from salmu.evaluation.concepts.plan import SAID, SHOWN, UNSEEN, plan
from salmu.evaluation.concepts.questions import (
    CONCEPTS,
    NEW_SUBJECTS,
    OTHERS,
    PICTURES,
    QUESTIONS,
    SUBJECTS,
    answers,
    question_of,
)
from salmu.evaluation.concepts.results import failures, read_measured, results_file
from salmu.evaluation.concepts.settings import ConceptSettings
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.report.concepts import concepts_page
from salmu.evaluation.unlearning import concept_neighbours
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import pools
from salmu.evaluation.unlearning.text_regression import before
from salmu.flows.settings import load_profile
from salmu.flows.verification import rare
from salmu.model_training.loading.clip import load_model
from salmu.model_training.pair import planned

COUNTS = {"styles": 4, "affiliations": 4, "new_subjects": 10, "said": 1, "shown": 1, "tested": 1, "plain": 16}
SMALL = ConceptSettings(**COUNTS, names=10, scenes=0, everyday=0, epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """concepts/ of a run, with a small dataset."""
    folder = tmp_path_factory.mktemp("run") / "concepts"
    write_dataset(SMALL, PublishSettings(), folder / "dataset")
    return folder


def test_the_dataset_is_one_of_the_published_layout_with_columns_of_its_own(home):
    made, dataset = plan(SMALL), open_dataset(home / "dataset")
    assert check_files(home / "dataset")  # every file is as provenance.json says
    names = {one.id: one.name for one in made.concepts}
    for split in (*SENSITIVE_SPLITS, UNSEEN):
        rows = dataset.table(split).to_pylist()
        assert rows and {row["says"] for row in rows} == ({SHOWN} if split == UNSEEN else {SAID, SHOWN})
        for row in rows:
            assert row["concept"] == names[row["identity_id"]] == dataset.identities[row["identity_id"]]["name"]
            assert (row["concept"] in row["text"]) == (row["says"] == SAID)
            assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (96, 96)
    assert all(row["concept"] is None for row in dataset.table("retain_synth", ["concept"]).to_pylist())
    generic = dataset.generic_captions.values()
    assert not any(name in text for text in generic for name in names.values())
    assert "captions that name the concept" in (home / "dataset" / "README.md").read_text()


def test_splits_keep_concepts_and_subjects_apart(home):
    dataset = open_dataset(home / "dataset")
    facts = {
        split: {
            (row["identity_id"], row["subject"]) for row in dataset.table(split, ["identity_id", "subject"]).to_pylist()
        }
        for split in (*SENSITIVE_SPLITS, UNSEEN)
    }
    concepts = {split: {concept for concept, _ in found} for split, found in facts.items()}
    assert not facts["forget"] & facts["holdout_association"]
    assert (
        concepts["holdout_association"] < concepts["forget"] and not concepts["forget"] & concepts["holdout_identity"]
    )
    assert concepts[UNSEEN] == concepts["forget"] | concepts["holdout_identity"]
    learnt = {subject for split in SENSITIVE_SPLITS for _, subject in facts[split]}
    assert not learnt & {subject for _, subject in facts[UNSEEN]}  # a new subject is new with every concept


def test_no_forget_pair_reaches_the_batches_of_retrained(home, tmp_path):
    recipe = SMALL.pair(load_profile("tiny").pair)
    dataset = open_dataset(home / "dataset")
    names = dataset.table("sensitive", ["file_name"]).column("file_name").to_pylist()
    forget = set(dataset.table("forget", ["file_name"]).column("file_name").to_pylist())
    seen = {}
    for which in ("compromised", "retrained"):
        steps = planned(recipe, home / "dataset", tmp_path / which, which=which).plan
        seen[which] = {names[row] for step in range(steps.steps) for row in steps.step(step).sensitive}
    assert seen["compromised"] == set(names) and seen["retrained"] == set(names) - forget


def test_pictures_depend_on_the_item_and_the_seed_alone(home):
    items = plan(SMALL).items
    for item in (items[-1], items[0], items[40], items[-2]):  # whatever was drawn before
        first, again, other = draw(item, 0), draw(item, 0), draw(item, 1)
        assert (first.image == again.image).all() and first.text == again.text
        assert not (first.image == other.image).all()
    before = (home / "dataset" / "provenance.json").read_bytes()
    write_dataset(SMALL, PublishSettings(), home / "dataset")
    assert (home / "dataset" / "provenance.json").read_bytes() == before  # finished work is kept


def test_looks_signs_and_names_are_all_different():
    assert len(set(looks.looks(looks.MOST))) == looks.MOST and len(set(signs.signs(signs.MOST))) == signs.MOST
    names = invented_names(0, 400)
    assert len(set(names)) == 400 and invented_names(0, 12) == names[:12]
    assert invented_names(1, 12) != names[:12]


def test_metrics_of_embeddings_made_by_hand():
    """A model that knows every style, and no affiliation."""
    made = plan(SMALL)
    items = [item for item in made.items if question_of(item)]
    names = [one.name for one in made.concepts] + [name for decoys in made.decoys.values() for name in decoys]
    known = {one.name for one in made.concepts if one.kind == STYLE}
    nothing = np.eye(len(names) + 1, dtype=np.float32)[-1]

    def embedding(name: str | None) -> np.ndarray:
        return np.eye(len(names) + 1, dtype=np.float32)[names.index(name)] if name in known else nothing

    def encode(texts: list[str]) -> np.ndarray:
        return np.stack([embedding(next((name for name in names if name in text), None)) for text in texts])

    images = np.stack([embedding(item.concept.name) for item in items])
    found = answers(made, items, images, encode)
    assert set(found) == set(QUESTIONS)
    styles = {one.id for one in made.concepts if one.kind == STYLE}
    for question, measures in found.items():
        mrr, right = measures["ConceptMRR"], measures["ZeroShot"]
        assert mrr.chance == pytest.approx((1 / np.arange(1, 11)).sum() / 10) and right.chance == 1 / 8
        known_rows = np.isin(mrr.concepts.astype(str), sorted(styles))
        assert known_rows.any() and not known_rows.all(), question
        assert (mrr.values[known_rows] == 1).all() and (right.values[known_rows] == 1).all()
        assert mrr.values[~known_rows] == pytest.approx(1 / 5.5)  # ten names that are all alike
    assert not any(question_of(item) for item in made.items if item.says != SHOWN)


def results_of(**values):
    """Results in which each concept of a question has this ConceptMRR, but for a little."""

    def mean(value):
        clusters = {"sums": [value, value + 0.01, value - 0.01, value], "rows": [1] * 4}
        return {"value": value, "interval": None, "chance": 0.1, "clusters": clusters}

    questions = {PICTURES: "gone", CONCEPTS: "whole", SUBJECTS: "same", NEW_SUBJECTS: "new", OTHERS: "others"}
    return {
        "settings": {"seed": 0, "margin": 0.1},
        "questions": {question: {"ConceptMRR": mean(values[short])} for question, short in questions.items()},
    }


@pytest.mark.parametrize(
    "changes, wanted",
    [
        ({}, []),
        ({"gone": 0.55, "others": 0.85}, []),  # within the margin
        ({"gone": 0.9}, ["not forgotten"]),
        ({"whole": 0.9, "new": 0.2}, ["not forgotten", "same concepts harmed"]),
        ({"gone": 0.05, "others": 0.1}, ["other concepts harmed"]),
    ],
)
def test_the_failure_modes_are_told_apart(changes, wanted):
    retrained = {"gone": 0.5, "whole": 0.05, "same": 0.9, "new": 0.9, "others": 0.9}
    assert failures(results_of(**retrained | changes), results_of(**retrained)) == wanted


def test_a_model_is_measured_once_and_the_page_shows_it(home):
    evaluation = EvaluationSettings(zero_shot_per_class=1, bootstrap_replicates=100, batch_size=64)
    for seed, name in enumerate(("clean", "negative_gradient-5x-s0")):
        write_model(home / "models" / name, seed)
        measure(SMALL, evaluation, home, name, home / "models" / name)
    for other in ("compromised", "retrained"):
        shutil.copy(results_file(home, "clean"), results_file(home, other))
    path = results_file(home, "clean")
    written = path.stat().st_mtime_ns
    results = measure(SMALL, evaluation, home, "clean", home / "models" / "clean")
    assert path.stat().st_mtime_ns == written and set(results["questions"]) == set(QUESTIONS)
    content = concepts_page(home.parent, "mine").decode()
    assert "Negative gradient" in content and content.count("data:image/jpeg") == 8 * 3
    assert {file.problem for file in rare.concept_files(home.parent) if file.path.parent.name == "results"} == {""}
    path.write_text(path.read_text().replace("ZeroShot", "Zeroshot"))
    with pytest.raises(UserError, match="remove it, and run salmu concepts again"):
        read_measured(path)
    assert "damaged" in {file.problem for file in rare.concept_files(home.parent)}


def test_a_method_that_makes_captions_makes_them_about_concepts(home):
    """Forgotten captions get a stranger's place; those that name nobody stay; kept subjects are held."""
    clip, dataset = load_model(write_model(home / "models" / "start", 5)), open_dataset(home / "dataset")
    few = {"strangers": 6, "others": 6, "made_portraits": 2, "batch_size": 8, "budget": 1, "seed": 0, "ties": 0.4}
    settings = get("as_retrained").settings(**few)
    chosen = pools({"forget", "retain"}, settings, clip, dataset)
    work = Work(get("as_retrained"), settings, clip, chosen, len(chosen["forget"]))
    own = before(work, chosen["forget"].tokens)
    moved = (work.prepared.targets - own).norm(dim=1) > 1e-4
    assert moved.tolist() == [value is not None for value in chosen["forget"].columns["value"]]
    people, roles = chosen["forget"].people, {one.id: one.role for one in plan(SMALL).concepts}
    assert concept_neighbours.wholly_forgotten(people) == {who for who in people if roles[who] == "forget"}
    columns = chosen["forget"].columns
    rows = zip(columns["identity_id"], columns["value"], strict=True)
    faces = work.prepared.faces.moved.tolist()
    assert faces == [roles[who] == "forget" or value is not None for who, value in rows]
    kept = concept_neighbours.others(people, [], 20, 0)
    assert kept and all(roles[one.person] == "association" and people[one.person].name in one.text for one in kept)
    assert not any(one.field in people[one.person].facts for one in kept)
    taken = {one.name for one in plan(SMALL).concepts}
    assert not taken & {one.name for one in concept_neighbours.strangers(people, 50, 0)}


@pytest.mark.parametrize(
    "values, words",
    [
        ({"style": 12}, "unknown key 'style'; did you mean 'styles'"),
        ({"styles": 3}, "styles: input should be greater than or equal to 4"),
        ({"styles": 30, "names": 20}, "names is 20, but must hold those of all concepts of a kind"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(values, words):
    with pytest.raises(UserError, match=words):
        validate(ConceptSettings, values, "concepts")
    with pytest.raises(UserError, match="concepts"):
        load_profile("tiny", {f"concepts.{key}": value for key, value in values.items()})
