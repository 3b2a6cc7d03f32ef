"""The runner owns order, budget, schedule, stop, resume and the folder."""

import json
import shutil

import numpy as np
import pytest
from published import write_splits

from data.errors import UserError
from data.readers import open_dataset
from evaluation.embeddings import load_model
from evaluation.unlearning import runner
from evaluation.unlearning.registry import get
from evaluation.unlearning.runner import Pool, unlearn


def settings(method, **values):
    return get(method).settings(**{"budget": 0.5, "batch_size": 8, "threads": 1} | values)


def record_of(folder) -> dict:
    return json.loads((folder / "unlearning.json").read_text())


def test_every_pass_sees_every_pair_once_in_an_order_of_its_own(dataset_dir, model_dir):
    pool = Pool(load_model(model_dir), open_dataset(dataset_dir), "retain_synth")
    order = pool.order(60, 0, "key")
    assert len(order) == 60 and sorted(order[:27]) == sorted(order[27:54]) == list(range(27))
    assert order[:27].tolist() != order[27:54].tolist()
    assert pool.order(30, 0, "key").tolist() == order[:30].tolist()


def test_the_budget_counts_passes_over_the_forget_set(dataset_dir, model_dir, tmp_path):
    unlearn("finetuning", settings("finetuning", budget=1.25), model_dir, dataset_dir, tmp_path / "out")
    record = record_of(tmp_path / "out")
    assert (
        record["pairs_seen"] == 60
        and record["steps"] == 8
        and record["saw"] == {"retain": {"split": "retain_synth", "scenes": 0, "pairs": 27, "times": 60}}
    )
    unlearn(
        "finetuning", settings("finetuning", budget=1.25, retain_scenes=10), model_dir, dataset_dir, tmp_path / "scenes"
    )
    assert record_of(tmp_path / "scenes")["saw"] == {
        "retain": {"split": "retain_synth", "scenes": 10, "pairs": 37, "times": 60}
    }


def test_learning_rate_rises_then_falls_to_nothing():
    shares = [runner._schedule(step, 100, 0.1) for step in range(100)]
    assert np.argmax(shares) == 10 and shares[10] == 1 and 0 < shares[0] < 0.2 and 0 < shares[-1] < 0.001
    assert (np.diff(shares[:11]) > 0).all() and (np.diff(shares[10:]) < 0).all()
    assert runner._schedule(0, 1, 0.0) == 1


def test_the_stop_ends_a_run_before_its_budget_is_spent(dataset_dir, model_dir, tmp_path):
    unlearn(
        "negative_gradient", settings("negative_gradient", stop_at_cosine=1.0), model_dir, dataset_dir, tmp_path / "out"
    )
    record = record_of(tmp_path / "out")
    assert (
        record["stopped_early"]
        and record["steps"] == record["pairs_seen"] == 0
        and record["model_digest"] == record["source_model_digest"]
    )


def test_a_finished_folder_is_left_alone_and_made_again_when_anything_changes(
    dataset_dir, model_dir, tmp_path, monkeypatch
):
    out, trained = tmp_path / "out", []
    train = runner._train
    monkeypatch.setattr(runner, "_train", lambda *inputs: trained.append(1) or train(*inputs))
    unlearn("finetuning", settings("finetuning"), model_dir, dataset_dir, out)
    unlearn("finetuning", settings("finetuning"), model_dir, dataset_dir, out)
    assert len(trained) == 1
    unlearn("finetuning", settings("finetuning", learning_rate=1e-5), model_dir, dataset_dir, out)
    assert len(trained) == 2 and record_of(out)["settings"]["learning_rate"] == 1e-5
    (out / "open_clip_model.safetensors").unlink()
    unlearn("finetuning", settings("finetuning", learning_rate=1e-5), model_dir, dataset_dir, out)
    assert len(trained) == 3


def test_nothing_is_left_of_a_run_that_fails(dataset_dir, model_dir, tmp_path):
    with pytest.raises(UserError, match="learning_rate"):
        unlearn("finetuning", settings("finetuning", learning_rate=1e30), model_dir, dataset_dir, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(dataset_dir, model_dir, tmp_path):
    with pytest.raises(UserError, match="no unlearning method 'forget_all'; there are .*finetuning"):
        unlearn("forget_all", settings("finetuning"), model_dir, dataset_dir, tmp_path / "out")
    with pytest.raises(UserError, match="no such folder"):
        unlearn("finetuning", settings("finetuning"), tmp_path / "nowhere", dataset_dir, tmp_path / "out")
    shutil.copytree(dataset_dir, tmp_path / "dataset")
    generic = tmp_path / "dataset" / "sensitive_set_generic_captions.json"
    generic.write_text("{}")
    with pytest.raises(UserError, match="sensitive_set_generic_captions.json has no caption for"):
        unlearn("generic_captions", settings("generic_captions"), model_dir, tmp_path / "dataset", tmp_path / "out")
    write_splits(tmp_path / "dataset", {"retain_synth": []})
    with pytest.raises(UserError, match="split retain_synth has no rows"):
        unlearn("finetuning", settings("finetuning"), model_dir, tmp_path / "dataset", tmp_path / "out")
