"""Profiles and overrides: everything unknown or out of range is refused in one line that says where and what to do."""

import pytest
import yaml

from salmu.data.errors import UserError
from salmu.flows.names import profiles
from salmu.flows.settings import SECTIONS, RunSettings, build, load_profile, load_run, parse_assignment, save


@pytest.mark.parametrize("name", profiles())
def test_every_profile_is_valid_and_every_setting_is_described(name):
    settings = load_profile(name)
    assert settings.unlearning.runs()  # its methods are there, and know the settings that it gives them
    assert settings.profile == name
    models = [RunSettings, *SECTIONS.values()]
    assert not [
        f"{model.__name__}.{key}"
        for model in models
        for key, field in model.model_fields.items()
        if not field.description
    ]


def test_the_seed_reaches_every_section_unless_it_has_its_own():
    settings = load_profile("tiny", {"seed": 7, "captions.seed": 9})
    assert settings.portraits.seed == settings.pair.seed == settings.evaluation.seed == 7
    assert settings.captions.seed == 9


@pytest.mark.parametrize(
    "overrides, words",
    [
        ({"portraits.per_identtiy": 3}, ["portraits.per_identtiy", "per_identity"]),
        ({"portrait.per_identity": 3}, ["portrait", "portraits"]),
        ({"portraits.per_identity": -3}, ["portraits.per_identity", "-3"]),
        ({"candidates.source": "sfhq2"}, ["candidates.source", "procedural"]),
        ({"seed.x": 1}, ["seed.x", "not a section"]),
        ({"unlearning.methods": {"oblivion": {}}}, ["oblivion", "finetuning"]),
    ],
)
def test_a_bad_setting_is_one_line_with_the_key_and_what_is_known(overrides, words):
    with pytest.raises(UserError) as caught:
        load_profile("tiny", overrides)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_profiles_and_runs_that_do_not_exist(tmp_path):
    with pytest.raises(UserError, match="no profile 'huge'; there are: .*tiny"):
        load_profile("huge")
    with pytest.raises(UserError, match="no such file"):
        load_profile(str(tmp_path / "mine.yaml"))
    with pytest.raises(UserError, match="salmu run --run gone"):
        load_run(tmp_path / "gone")
    (tmp_path / "bad.yaml").write_text("seed: [1")
    with pytest.raises(UserError, match="not valid YAML"):
        load_profile(str(tmp_path / "bad.yaml"))
    with pytest.raises(UserError, match="must be a mapping"):
        build(["seed"], None, "list.yaml")


def test_a_saved_run_loads_as_it_was(tmp_path):
    settings = load_profile("tiny", {"seed": 3, "portraits.per_identity": 5})
    save(settings, tmp_path)
    assert load_run(tmp_path) == settings
    assert load_run(tmp_path, {"portraits.per_identity": 6}).portraits.per_identity == 6
    assert yaml.safe_load((tmp_path / "settings.yaml").read_text())["seed"] == 3


def test_assignments_are_yaml():
    assert parse_assignment("a.b=3") == ("a.b", 3)
    assert parse_assignment("a.b=[1, x]") == ("a.b", [1, "x"])
    assert parse_assignment("a.b=") == ("a.b", None)
    for text in ("a.b", "=3", "a b=3", "a=[1"):
        with pytest.raises(UserError, match="--set"):
            parse_assignment(text)
