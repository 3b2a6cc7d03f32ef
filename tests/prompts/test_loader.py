import shutil

import pytest
import yaml

from data.errors import UserError
from prompts import loader
from tasks.captions.generic import GenericPrompts
from tasks.captions.grammar import CaptionPrompts


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


@pytest.mark.parametrize("name, model", [("captions", CaptionPrompts), ("generic", GenericPrompts)])
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
        and f"{missing} must stand once" in message
        and sentence in message
    )


def test_an_unknown_placeholder_is_named(edited):
    edited("captions", lambda document: document["job"]["passive"].append("{name} of {town} is {value}."))
    message = refusal("captions", CaptionPrompts)
    assert "job.passive.15" in message and "{town}" in message


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


@pytest.mark.parametrize(
    "change, parts",
    [
        (lambda document: document["openings"].pop("any"), ("openings", "any is missing")),
        (lambda document: document["openings"]["any"].append("A photo"), ("openings", "{person} must stand once")),
        (lambda document: document["parts"]["light"].append("lit"), ("parts", "{value} must stand once")),
        (lambda document: document["phrases"].update(weather={"rain": ["in the rain"]}), ("phrases", "weather")),
        (lambda document: document["person"].pop("unknown"), ("person", "unknown is missing")),
    ],
)
def test_a_faulty_generic_file_is_named(edited, change, parts):
    edited("generic", change)
    message = refusal("generic", GenericPrompts)
    assert "generic.yaml" in message and all(part in message for part in parts)


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
