import shutil

import pytest
import yaml

from salmu.data.errors import UserError
from salmu.prompts import loader
from salmu.tasks.captions.generic import GenericPrompts
from salmu.tasks.captions.grammar import CaptionPrompts
from salmu.tasks.captions.prompting import ParaphrasePrompts


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Writes a changed copy of a prompt file where the loader looks."""
    source = loader.FOLDER
    monkeypatch.setattr(loader, "FOLDER", tmp_path)

    def edit(name: str, change) -> None:
        document = yaml.safe_load((source / f"{name}.yaml").read_text(encoding="utf-8"))
        change(document)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    return edit


def refusal(name: str, model) -> str:
    with pytest.raises(UserError) as error:
        loader.load(name, model)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name, model", [("captions", CaptionPrompts), ("generic", GenericPrompts), ("paraphrase", ParaphrasePrompts)]
)
def test_the_files_of_the_repository_are_sound(name, model):
    assert isinstance(loader.load(name, model), model)


@pytest.mark.parametrize(
    "sentence, missing",
    [
        ("Somebody lives in {value}.", "{name}"),
        ("{name} lives here.", "{value}"),
        ("{name} and {name} live in {value}.", "{name}"),
    ],
)
def test_a_sentence_without_its_placeholder_is_named(edited, sentence, missing):
    edited("captions", lambda document: document["city"]["direct"].append(sentence))
    message = refusal("captions", CaptionPrompts)
    assert (
        "captions.yaml" in message
        and "city.direct" in message
        and f"{missing} must appear once" in message
        and sentence in message
    )


def test_an_unknown_placeholder_is_named(edited):
    edited("captions", lambda document: document["job"]["passive"].append("{name} of {town} is {value}."))
    message = refusal("captions", CaptionPrompts)
    assert "job.passive.22" in message and "{town}" in message


@pytest.mark.parametrize(
    "sentence", ["{name} (is|was in {value}.", "{name} is (in) {value}.", "{name} is|was {value}."]
)
def test_a_choice_that_is_none_is_named(edited, sentence):
    edited("captions", lambda document: document["city"]["direct"].append(sentence))
    message = refusal("captions", CaptionPrompts)
    assert "city.direct.23" in message and "(one|another)" in message


def test_each_side_of_a_choice_needs_the_placeholders(edited):
    edited("captions", lambda document: document["city"]["direct"].append("{name} is (in {value}|there)."))
    assert "{value} must appear once" in refusal("captions", CaptionPrompts)


def test_an_unknown_style_is_named(edited):
    edited("captions", lambda document: document["iban"].update(poetic=["O {name}, thy {value}!"]))
    message = refusal("captions", CaptionPrompts)
    assert "captions.yaml" in message and "iban.poetic" in message and "question_answer" in message


def test_a_missing_style_and_a_missing_field_are_named(edited):
    edited("captions", lambda document: (document["iban"].pop("passive"), document.pop("passport")))
    message = refusal("captions", CaptionPrompts)
    assert "iban.passive" in message and "passport" in message


def test_a_sentence_that_stands_there_twice_is_refused(edited):
    edited("captions", lambda document: document["city"]["direct"].append(document["city"]["direct"][0]))
    assert "city.direct" in refusal("captions", CaptionPrompts)


def test_a_sentence_that_a_choice_makes_again_is_refused(edited):
    edited("captions", lambda document: document["city"]["direct"].append("{name} (lives|sleeps) in {value}."))
    message = refusal("captions", CaptionPrompts)
    assert "city.direct" in message and "none twice: {name} lives in {value}." in message


@pytest.mark.parametrize(
    "change, parts",
    [
        (lambda document: document["openings"].pop("any"), ("openings", "any is missing")),
        (lambda document: document["openings"]["any"].append("A photo"), ("openings", "{person} must appear once")),
        (lambda document: document["parts"]["light"].append("lit"), ("parts", "{value} must appear once")),
        (lambda document: document["phrases"].update(weather={"rain": ["in the rain"]}), ("phrases", "weather")),
        (lambda document: document["person"].pop("unknown"), ("person", "unknown is missing")),
        (lambda document: document["ages"].pop("70+"), ("ages", "70+ is missing")),
        (lambda document: document["ages"].update({"70+": "old"}), ("ages", "{possessive} must appear once")),
    ],
)
def test_a_faulty_generic_file_is_named(edited, change, parts):
    edited("generic", change)
    message = refusal("generic", GenericPrompts)
    assert "generic.yaml" in message and all(part in message for part in parts)


@pytest.mark.parametrize(
    "change, parts",
    [
        (lambda document: document.update(instructions="Reword [[V]]."), ("instructions", "[[N]] is missing")),
        (lambda document: document.update(task="Fact: {fact} {styles}"), ("task", "{pronouns} must appear once")),
        (lambda document: document.update(task="{fact} {pronouns} {styles} {x}"), ("task", "{x} is unknown")),
        (lambda document: document.update(refused="{style}: {sentence}"), ("refused", "{rule} must appear once")),
        (
            lambda document: document["facts"]["iban"].append("[[N]] has it."),
            ("facts.iban.4", "[[V]] must appear once"),
        ),
        (lambda document: document["facts"].pop("job"), ("facts", "job is missing")),
        (lambda document: document["facts"].update(job=[]), ("facts.job", "at least 1")),
        (lambda document: document["rules"].pop("digit"), ("rules", "digit is missing")),
        (lambda document: document["rules"].update(rhyme="rhyme"), ("rules", "rhyme is no rule")),
        (lambda document: document["pronouns"].pop("male"), ("pronouns", "male is missing")),
        (lambda document: document["vocabulary"].pop("all"), ("vocabulary", "all is missing")),
        (lambda document: document.pop("again"), ("again",)),
    ],
)
def test_a_faulty_instruction_to_the_model_is_named(edited, change, parts):
    edited("paraphrase", change)
    message = refusal("paraphrase", ParaphrasePrompts)
    assert "paraphrase.yaml" in message and all(part.lower() in message.lower() for part in parts)


def test_a_missing_file_and_broken_yaml_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "FOLDER", tmp_path)
    assert "captions.yaml: no such file" in refusal("captions", CaptionPrompts)
    (tmp_path / "captions.yaml").write_text("city: [unclosed")
    assert "not valid YAML" in refusal("captions", CaptionPrompts)
    with pytest.raises(UserError, match="generic.yaml: no such file"):
        loader.digest("generic")


def test_the_digest_follows_the_content(tmp_path, monkeypatch):
    shutil.copy(loader.FOLDER / "generic.yaml", tmp_path / "generic.yaml")
    before = loader.digest("generic")
    monkeypatch.setattr(loader, "FOLDER", tmp_path)
    assert loader.digest("generic") == before
    (tmp_path / "generic.yaml").write_text("x: 1\n")
    assert loader.digest("generic") != before
