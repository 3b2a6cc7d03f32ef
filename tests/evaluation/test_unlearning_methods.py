"""The contract of a method, asked of every file in evaluation/unlearning/, and the losses by definition."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from data.errors import UserError
from data.readers import Dataset
from data.settings import validate
from evaluation.unlearning.losses import info_nce, mean_cosine
from evaluation.unlearning.method import SPLITS, Encoded, MethodSettings
from evaluation.unlearning.registry import METHODS, UnlearningSettings, get
from evaluation.unlearning.runner import unlearn

SMALL = {"budget": 0.5, "batch_size": 8, "threads": 1}
every_method = pytest.mark.parametrize("name", sorted(METHODS))


@every_method
def test_a_method_says_what_it_is(name):
    method = get(name)
    assert method.source and method.sees and method.sees <= set(SPLITS)
    assert issubclass(method.settings, MethodSettings) and method.settings().learning_rate > 0
    undescribed = [field for field, info in method.settings.model_fields.items() if not info.description]
    assert not undescribed
    with pytest.raises(UserError, match="unknown key 'no_such_knob'"):
        validate(method.settings, {"no_such_knob": 1}, "unlearning")


@every_method
def test_a_method_changes_the_weights_and_reads_only_what_it_may_see(
    name, dataset_dir, model_dir, tmp_path, monkeypatch
):
    read = set()
    table = Dataset.table

    def watched(self, split, columns=None):
        read.update((split, column) for column in (columns or ["everything"]))
        return table(self, split, columns)

    monkeypatch.setattr(Dataset, "table", watched)
    before = {path.name: path.read_bytes() for path in model_dir.iterdir()}
    unlearn(name, get(name).settings(**SMALL), model_dir, dataset_dir, tmp_path / "out")

    allowed = {(SPLITS[part], column) for part in get(name).sees for column in ("file_name", "image", "text")}
    assert read <= allowed | {("forget", "file_name")}  # how many there are decides the budget
    assert {path.name: path.read_bytes() for path in model_dir.iterdir()} == before
    old, new = (load_file(folder / "open_clip_model.safetensors") for folder in (model_dir, tmp_path / "out"))
    assert old.keys() == new.keys() and torch.equal(old["logit_scale"], new["logit_scale"])
    assert any(not torch.equal(old[key], new[key]) for key in old) and all(
        torch.isfinite(value).all() for value in new.values()
    )
    network, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    assert torch.equal(network.text_projection, new["text_projection"])

    record = json.loads((tmp_path / "out" / "unlearning.json").read_text())
    assert record["method"] == name and record["budget"] == 0.5 and record["settings"]["batch_size"] == 8
    assert set(record["saw"]) == set(get(name).sees) and record["pairs_seen"] == 24 * len(get(name).sees)
    assert (
        record["model_digest"] != record["source_model_digest"]
        and record["curve"]
        and record["seconds"] >= 0
        and record["peak_memory_mb"] > 0
    )


@every_method
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name, dataset_dir, model_dir, tmp_path):
    weights = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(weights))  # global random state is of no account
        unlearn(name, get(name).settings(**SMALL, seed=seed), model_dir, dataset_dir, tmp_path / folder)
        weights.append((tmp_path / folder / "open_clip_model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_info_nce_is_the_mean_of_two_cross_entropies_and_mean_cosine_that_of_the_pairs():
    images, texts = torch.nn.functional.normalize(
        torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    pairs = Encoded(images, texts)
    logits = 14 * (images.double() @ texts.double().T)
    expected = -(logits.log_softmax(0).diag() + logits.log_softmax(1).diag()).mean() / 2
    assert info_nce(pairs, torch.tensor(14.0)).item() == pytest.approx(expected.item(), abs=1e-5)
    assert mean_cosine(pairs).item() == pytest.approx(
        torch.nn.functional.cosine_similarity(images, texts).mean().item(), abs=1e-6
    )


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
    assert (
        runs[1].settings.learning_rate == 0.5
        and runs[1].settings.budget == 5
        and runs[1].settings.seed == 7
        and runs[1].settings.threads == 1
    )
    one = settings.run("generic_captions", 2, 3)
    assert one.folder == "generic_captions-2x-s3" and one.settings.seed == 3
    for methods, said in (
        ({"finetuning": {"learning_rat": 1}}, "unlearning.methods.finetuning: unknown key 'learning_rat'"),
        ({"finetunning": {}}, "no unlearning method 'finetunning'"),
    ):
        with pytest.raises(UserError, match=said):
            validate(UnlearningSettings, {"methods": methods}, "profile")
