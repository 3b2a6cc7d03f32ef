"""The contract of a method, asked of every file in evaluation/unlearning/methods/. A new file that fails here is told
what it lacks."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.readers import Dataset, open_dataset
from salmu.data.settings import validate
from salmu.evaluation.unlearning import methods as own_methods
from salmu.evaluation.unlearning import registry
from salmu.evaluation.unlearning.method import Batch, Method, Work
from salmu.evaluation.unlearning.pair_streams import Pool
from salmu.evaluation.unlearning.registry import UnlearningSettings, get, methods
from salmu.evaluation.unlearning.runner import pairs_of, unlearn
from salmu.evaluation.unlearning.settings import SPLITS, GradientSettings, MethodSettings
from salmu.evaluation.unlearning.training import spend
from salmu.model_training.loading.clip import load_model

SMALL = {"budget": 0.5, "batch_size": 8, "threads": 1}
PAIRS = 24  # half of the 48 forget pairs of the dataset
COLUMNS = {
    "forget": {"file_name", "image", "text", "identity_id", "data_field", "value"},
    "retain": {"file_name", "image", "text"},
}
COUNTS = ("strangers", "others", "looks", "made_portraits", "made_scenes")
WEIGHTS = "open_clip_model.safetensors"
every_method = pytest.mark.parametrize("name", [*sorted(methods()), "held_grad_diff"])


def test_all_methods_are_there():
    assert not registry.catalogue().broken and registry.own_names() == list(methods())
    assert set(methods()) >= {
        "alignment_calibration",
        "as_retrained",
        "cliperase",
        "delete",
        "descent_to_delete",
        "direct_similarity_minimisation",
        "finetuning",
        "fisher_fence",
        "generic_captions",
        "grad_diff",
        "munba",
        "neg_merge",
        "negative_gradient",
        "npo",
        "null_space_editing",
        "rmu",
        "salmubench_cliperase",
        "salmubench_delete",
        "salun",
        "scrub",
        "shuffled_captions",
        "simnpo",
        "slug",
        "ssd",
        "stranger_targets",
        "task_vector_negation",
        "text_rotation",
        "vlunlearn",
    }


@every_method
def test_a_method_says_what_it_is(name):
    method = get(name)
    assert isinstance(method, Method) and method.description.endswith("."), "describe the method in a sentence"
    assert re.search(r"\d{4}", method.source), "name the paper with its year, and where the defaults come from"
    assert method.sees and method.sees <= set(SPLITS), f"`sees` must name some of {sorted(SPLITS)}"
    assert method.loss or method.edit, "a method has a `loss`, an `edit`, or both"
    assert issubclass(method.settings, GradientSettings if method.loss else MethodSettings)
    undescribed = [field for field, info in method.settings.model_fields.items() if not info.description]
    assert not undescribed, f"describe the settings {undescribed}"
    with pytest.raises(UserError, match="unknown key 'no_such_knob'"):
        validate(method.settings, {"no_such_knob": 1}, "unlearning")


@every_method
def test_a_method_can_be_tuned(name):
    method = get(name)
    assert method.search, "give the settings that a tuning tries, in `search`"
    assert {"batch_size", "most_a_step"} & set(method.space), "a fixed budget can be spent in few or in many steps"
    for setting, space in method.space.items():
        tried = [space.at(place) for place in (0.0, 0.5, 0.999)]
        assert len({str(value) for value in tried}) > 1
        for value in tried:
            validate(method.settings, {setting: value}, name)


@every_method
def test_a_method_keeps_its_promises(name, dataset_dir, model_dir, tmp_path, monkeypatch):
    """It reads what it declares and no more, stays within its budget, and gives a model that loads; the same seed gives
    the same bytes, another seed others."""
    method, read, table = get(name), set(), Dataset.table

    def watched(self, split, columns=None):
        read.update((split, column) for column in (columns or ["everything"]))
        return table(self, split, columns)

    monkeypatch.setattr(Dataset, "table", watched)
    before = {path.name: path.read_bytes() for path in model_dir.iterdir()}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(folder))  # global random state is of no account
        torch.rand(len(read))
        few = {field: 6 for field in COUNTS if field in method.settings.model_fields}
        unlearn(name, method.settings(**SMALL, **few, seed=seed), model_dir, dataset_dir, tmp_path / folder)

    allowed = {(SPLITS[part], column) for part in method.sees for column in COLUMNS[part]}
    assert read <= allowed | {("forget", "file_name")}, "the size of the forget set, which decides the budget, is known"
    assert {path.name: path.read_bytes() for path in model_dir.iterdir()} == before, "the start model was changed"

    record = json.loads((tmp_path / "a" / "unlearning.json").read_text())
    assert record["method"] == name and record["budget"] == 0.5 and record["settings"]["batch_size"] == 8
    assert set(record["saw"]) == set(method.sees), "it declares pairs that it does not use"
    assert all(0 < part["times"] <= PAIRS for part in record["saw"].values()), "the budget was overspent"
    assert record["pairs_seen"] == sum(part["times"] for part in record["saw"].values())
    assert all(math.isfinite(point["loss"]) for point in record["curve"]) and bool(record["curve"]) == bool(method.loss)
    assert record["model_digest"] != record["source_model_digest"], "the weights are those of the start model"
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 0 and len(record["dataset_digest"]) >= 32

    old, new = load_file(model_dir / WEIGHTS), load_file(tmp_path / "a" / WEIGHTS)
    assert {key: (value.shape, value.dtype) for key, value in old.items()} == {
        key: (value.shape, value.dtype) for key, value in new.items()
    }
    assert torch.equal(old["logit_scale"], new["logit_scale"]), "a lower temperature would look like forgetting"
    assert all(torch.isfinite(value).all() for value in new.values())
    network, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'a'}")
    assert all(torch.equal(value, new[key]) for key, value in network.state_dict().items())

    same, same_again, other = ((tmp_path / folder / WEIGHTS).read_bytes() for folder in "abc")
    assert same == same_again != other


@pytest.fixture(scope="module")
def loaded(dataset_dir, model_dir):
    """The small model, its dataset, and the retain pairs, decoded once."""
    clip, dataset = load_model(model_dir), open_dataset(dataset_dir)
    return clip, dataset, Pool(clip, dataset, "retain")


@every_method
@pytest.mark.parametrize("rows", [(0, -1), (0, 1, -1)], ids=len)
def test_a_forget_set_smaller_than_a_batch(name, rows, loaded):
    """No pair comes twice in a step, the model changes, and the budget is kept."""
    (clip, dataset, retain), method = loaded, get(name)
    rows = np.arange(dataset.table("forget", ["file_name"]).num_rows)[list(rows)]
    pools = {part: Pool(clip, dataset, part, rows) if part == "forget" else retain for part in method.sees}
    few = {field: 6 for field in COUNTS if field in method.settings.model_fields}
    settings = method.settings(budget=5, threads=1, **few)
    work, taken = Work(method, settings, clip, pools, pairs_of(settings, len(rows))), []
    for stream in work.streams.values():
        stream.take = lambda *asked, take=stream.take: taken.append(take(*asked)) or taken[-1]
    try:
        record = spend(work)
        assert any(not torch.equal(weight, work.start[key]) for key, weight in work.weights.items())
    finally:
        work.restore()
    assert taken and all(len(set(batch.indices.tolist())) == len(batch) <= 5 * len(rows) for batch in taken)
    assert all(0 < part["times"] <= 5 * len(rows) for part in record["saw"].values())


@pytest.mark.parametrize(
    ("name", "budget", "rows", "said"),
    [
        ("finetuning", 0.1, 2, "a budget of 0.1 on a forget set of 2 rounds to no pair; give at least 0.5"),
        ("npo", 5, 1, "npo: it changed nothing: its loss has no gradient on so few pairs"),
        ("salun", 1, 2, "salun: it changed nothing: raise the budget"),
        ("structure_distillation", 5, 2, "it compares forget pairs of different people, and all are of one person"),
    ],
)
def test_a_method_that_can_do_nothing_is_refused(name, budget, rows, said, loaded):
    (clip, dataset, retain), method = loaded, get(name)
    pools = {part: Pool(clip, dataset, part, np.arange(rows)) if part == "forget" else retain for part in method.sees}
    settings = method.settings(budget=budget, threads=1)
    with pytest.raises(UserError, match=said):
        work = Work(method, settings, clip, pools, pairs_of(settings, rows))
        try:
            spend(work)
        finally:
            work.restore()


def test_a_broken_file_in_the_folder_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    for path in (Path(own_methods.__file__).parent / f"{name}.py" for name in ("finetuning", "npo")):
        shutil.copy(path, tmp_path)
    (tmp_path / "forgetful.py").write_text("METHOD = None\n")
    monkeypatch.setattr(own_methods, "__path__", [str(tmp_path)])
    found = registry.catalogue.__wrapped__()
    assert list(found.methods) == ["finetuning", "npo"]
    place = tmp_path / "forgetful.py"
    assert found.broken == {"forgetful": f"{place}: must define METHOD = Method(name='forgetful', ...)"}


def test_a_method_with_captions_held_adds_their_drift_to_its_loss(loaded):
    """The hold term by its formula, at weights that differ from the start model's; the rest is the method's own."""
    (clip, dataset, _), method = loaded, get("held_negative_gradient")
    assert get("held_negative_gradient") is method and "held_negative_gradient" not in methods()
    settings = method.settings(budget=1, batch_size=8, threads=1, strangers=4, others=10, paraphrases=2, hold=3.0)
    assert settings.learning_rate == get("negative_gradient").settings().learning_rate
    work = Work(method, settings, clip, {"forget": Pool(clip, dataset, "forget")}, 48)
    aims, rng = work.prepared.aims, np.random.default_rng(0)
    assert [aim.each for aim in aims] == [4, 2, 1] and len(aims[2].tokens) == 2 * len(
        set(work.forget.pool.facts.tolist())
    )
    try:
        with torch.no_grad():
            for weight in work.weights.values():
                weight += torch.as_tensor(rng.normal(0, 0.01, weight.shape), dtype=weight.dtype)
        batch = Batch(work, 8, 0, 0.0)
        loss = method.loss(batch, settings).item()
        drift = 0.0
        for number, aim in enumerate(aims):
            rows = generator(*batch.key, "neighbours", number).integers(len(aim.tokens), size=aim.each * 8)
            with torch.no_grad():
                now = clip.network.encode_text(aim.tokens[rows], normalize=True).numpy()
            drift += ((now - aim.wanted[rows].numpy()) ** 2).sum(1).mean()
        own = get("negative_gradient").loss(batch, settings).item()
    finally:
        work.restore()
    assert drift > 1e-3 and loss == pytest.approx(own + 3 * drift, rel=1e-4)


def test_what_cannot_be_held_is_refused():
    for name, why in (("stranger_targets", "it holds captions"), ("ssd", "it has no loss")):
        with pytest.raises(UserError, match=f"held_{name}: {name} cannot be wrapped: {why}"):
            get(f"held_{name}")
    with pytest.raises(UserError, match="no unlearning method 'held:npo'; did you mean 'held_npo'"):
        get("held:npo")
    settings = UnlearningSettings(methods={"held_npo": {"hold": 4}}, budgets=(1,))
    assert settings.runs()[0].folder == "held_npo-1x-s0" and settings.runs()[0].settings.hold == 4


def test_a_profile_names_methods_and_budgets():
    settings = validate(
        UnlearningSettings,
        {
            "seed": 7,
            "budgets": [0.1, 5],
            "threads": 1,
            "methods": {"finetuning": {"learning_rate": 0.5}, "negative_gradient": {}},
        },
        "profile",
    )
    runs = settings.runs()
    assert [run.folder for run in runs] == [
        "finetuning-0.1x-s7",
        "finetuning-5x-s7",
        "negative_gradient-0.1x-s7",
        "negative_gradient-5x-s7",
    ]
    chosen = runs[1].settings
    assert (chosen.learning_rate, chosen.budget, chosen.seed, chosen.threads) == (0.5, 5, 7, 1)
    one = settings.run("generic_captions", 2, 3)
    assert one.folder == "generic_captions-2x-s3" and one.settings.seed == 3
    for asked, said in (
        ({"finetuning": {"learning_rat": 1}}, "unlearning.methods.finetuning: unknown key 'learning_rat'"),
        ({"finetunning": {}}, "no unlearning method 'finetunning'; did you mean 'finetuning'"),
        ({"scrub": {"keep_at": [1, 5]}}, "keep_at must be between 0 and the budget, 5"),
    ):
        with pytest.raises(UserError, match=said):
            validate(UnlearningSettings, {"methods": asked}, "profile").runs()
    with pytest.raises(UserError, match="unlearning.methods.scrub: .*keep_at must be between 0 and the budget, 1"):
        validate(UnlearningSettings, {"methods": {"scrub": {"keep_at": [2]}}}, "profile").run("scrub", 1, 0)
