"""Profiles and overrides: everything unknown or out of range is refused in one line that says where and what to do."""

import pytest
import yaml

from salmu.data.errors import UserError
from salmu.data.suggestions import salmu_command
from salmu.flows.checks import check_before_start
from salmu.flows.names import PARTS, parts_until, profiles
from salmu.flows.scale import scaled
from salmu.flows.settings import (
    SECTIONS,
    RunSettings,
    build,
    load_profile,
    load_run,
    parse_assignment,
    require_run,
    save,
)


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


PICTURES = {"candidates.source": "images", "portraits.engine": "ip_adapter_faceid_plus"}


@pytest.mark.parametrize(
    "overrides, words",
    [
        ({"anchors.count": 20}, ["anchors.count is 20", "72 identities are wanted"]),
        ({"candidates.count": 20}, ["the number of candidates is 20", "72 identities"]),
        ({"portraits.per_identity": 6}, ["portraits.per_identity is 6", "curation.min_portraits", "10"]),
        ({"curation.identities": 3}, ["curation.identities is 3", "4"]),
        ({"pair.scenes": 0, "pair.everyday": 0, "pair.batch_size": 4096}, ["pair.batch_size is 4096", "2016 retain"]),
        ({"pair.accumulate": 3}, ["pair.batch_size 64 does not divide", "pair.accumulate 3"]),
        ({"pair.processes": 2}, ["pair.sensitive_group 1 does not divide"]),
        ({"pair.loss": "siglip"}, ["salmu-small has no init_logit_bias", "set pair.loss to clip"]),
        ({"pair.model": "ViT-B-16-SigLIP"}, ["has an init_logit_bias", "set pair.loss to siglip"]),
        ({"pair.model": "ViT-Huge"}, ["pair.model: no model configuration 'ViT-Huge'; there are salmu-small"]),
        ({"portraits.engine": "ip_adapter_faceid_plus", "portraits.short_side": 500}, ["500", "64", "set it to 512"]),
        ({"personas.countries": ["FR", "XX"]}, ["personas.countries: XX"]),
        ({"domain.reference": "/", "domain.clip": "a/b"}, ["domain.clip differs from analysis.clip"]),
        ({"domain.reference": "/no/such"}, ["domain.reference: /no/such: no such file or folder"]),
        ({"evaluation.zero_shot": "/no/such"}, ["evaluation.zero_shot: /no/such: no such file or folder"]),
        ({"analysis.faces.pack": "/no/such"}, ["analysis: ", "no face pack"]),
        ({"pair.retain": [{"kind": "webdataset", "urls": "/no/such"}]}, ["pair.retain: /no/such"]),
        ({"candidates.source": "images", "candidates.images": ["/no/such"]}, ["candidates.images: /no/such", "engine"]),
        (PICTURES, ["candidates.images names no folder"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(overrides, words):
    with pytest.raises(UserError) as caught:
        check_before_start(load_profile("tiny", overrides))
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_second_opinion_that_nobody_gives_is_told():
    with pytest.raises(UserError, match="min_second_similarity needs a second pack: set analysis.second_faces"):
        check_before_start(load_profile("tiny", {"curation.min_second_similarity": 0.6}))


def test_only_the_parts_that_are_made_are_judged_and_all_problems_are_told():
    bad = load_profile("tiny", {"portraits.per_identity": 6, "anchors.count": 20, "pair.processes": 2})
    assert not check_before_start(bad, parts_until("analysis"))
    with pytest.raises(UserError, match="anchors.count is 20.*per_identity is 6.*sensitive_group"):
        check_before_start(bad)


@pytest.mark.parametrize("name", profiles())
def test_the_projects_profiles_can_work(name):
    parts = parts_until("anchors") if name == "photographs" else PARTS  # portraits of its people need another pack
    warnings = check_before_start(load_profile(name), parts, here=False)
    assert all("no such file" in line or "no face pack" in line for line in warnings), warnings


def test_photographs_with_the_embedded_models_and_pictures_that_are_not_read_are_told(tmp_path):
    for number in range(78):
        (tmp_path / f"{number:08}.jpg").touch()
    warnings = check_before_start(
        load_profile("tiny", PICTURES | {"candidates.images": [str(tmp_path)], "candidates.count": 75})
    )
    assert "75 of 78 pictures are read, the first ones (candidates.count)" in warnings
    assert "anchors.count is 79, but there are only 75 candidates (candidates.count)" in warnings
    assert any(line.startswith("CANDIDATES USES THE EMBEDDED FACE MODELS") for line in warnings)
    assert not any("EMBEDDED" in line for line in check_before_start(load_profile("tiny")))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["pair.learning_rate", "portraits.fault_share", "unlearning.budgets"])
def test_numbers_are_finite(key, value):
    with pytest.raises(UserError, match=f"{key}.*finite number"):
        load_profile("tiny", {key: [value] if key.endswith("s") else value})


def test_a_budget_below_zero_is_refused():
    with pytest.raises(UserError, match="unlearning.budgets.*greater than 0"):
        load_profile("tiny", {"unlearning.budgets": [-1]})


@pytest.mark.parametrize("factor", [0.1, 0.3, 2])
def test_a_scaled_profile_still_works_and_its_sizes_keep_their_proportion(factor):
    plain = load_profile("tiny")
    changed = load_profile("tiny", scaled("tiny", factor, {"pair.everyday": 7}))
    assert not [line for line in check_before_start(changed) if "retain_scenes" not in line]
    for section, name in (("anchors", "count"), ("portraits", "per_identity"), ("pair", "scenes")):
        before, after = (getattr(getattr(settings, section), name) for settings in (plain, changed))
        assert abs(after - factor * before) <= 1
    assert changed.pair.everyday == 7
    assert changed.unlearning.methods["finetuning"]["retain_scenes"] == 2000 * factor


def test_a_scale_that_leaves_too_little_or_has_no_profile_is_refused():
    for profile, factor, words in (
        ("tiny", 0.05, "curation.identities would be 3"),
        ("tiny", float("nan"), "a number above 0"),
        ("tiny", -1, "a number above 0"),
        (None, 0.5, "name it with --profile"),
    ):
        with pytest.raises(UserError, match=words):
            scaled(profile, factor, {})


def test_a_run_is_suggested_for_one_that_is_misspelt(tmp_path, monkeypatch):
    save(load_profile("tiny"), tmp_path / "mine")
    with pytest.raises(UserError, match="did you mean 'mine'"):
        load_run(tmp_path / "mien")
    with pytest.raises(UserError, match="no run in .*mien; did you mean 'mine'"):
        require_run(str(tmp_path), "mien", None)
    require_run(str(tmp_path), "mien", "tiny")
    assert salmu_command("run", tmp_path / "mine") == f"salmu run --run mine --runs {tmp_path}"
    monkeypatch.chdir(tmp_path)
    assert salmu_command("stage captions", tmp_path / "runs" / "a b") == "salmu stage captions --run 'a b'"
