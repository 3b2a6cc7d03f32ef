"""The evaluator end to end on a folder in the published layout."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from published import write_model
from safetensors.torch import load_file, save_file

from salmu.data.errors import UserError
from salmu.data.procedural.scenes import CLASS_NAMES
from salmu.evaluation.metrics.score import EXTENDED, PUBLISHED, headline, interval
from salmu.evaluation.scoring.evaluate import evaluate, evaluate_once, write_results

LAYOUT = {
    "efficacy": {
        "1.1_RetFail": {"MRR", "R@1", "outcomes"},
        "1.2_AssocStr": {"mean", "scores"},
        "1.3_ACS": {"acs_accuracy"},
        "1.4_IdZSC": {"identity_classification_accuracy"},
        "1.5_CoreAssoc": {"mean", "scores"},
    },
    "utility": {
        "2.1_GenKnow": {"ImageNet1k_Accuracy"},
        "2.2_InterIdSim": {"mean"},
        "2.3_IntraIdSim": {"mean"},
        "2.4_VisIdInt": {"mean"},
        "2.5_FragSim": {"mean"},
    },
}


def numbers(results: dict) -> dict:
    """All but what a run costs, the model's name, and the seal of the file."""
    left_out = ("cost", "model", "content_digest")
    return results | {"extended": {key: value for key, value in results["extended"].items() if key not in left_out}}


@pytest.fixture(scope="module")
def results(quick, model_dir, dataset_dir) -> dict:
    return evaluate(quick, model_dir, dataset_dir)


def test_the_published_layout(results, tmp_path):
    write_results(results, tmp_path / "results.json")
    read = json.loads((tmp_path / "results.json").read_text())
    for group, sections in LAYOUT.items():
        assert list(read[group]) == list(sections)
        for key, statistics in sections.items():
            assert statistics <= set(read[group][key])
    captions = read["extended"]["captions"]
    assert captions["distinct"] > 48 and captions["alike"] == 0
    rows = read["extended"]["rows"]
    assert rows == {
        "forget": 48,
        "holdout_association": 24,
        "holdout_identity": 24,
        "retain_synth": 27,
        "forget_identity": 24,
        "retain_joint": 9,
        "retain_disjoint": 18,
        "fragile_set": 1,
    }
    assert (
        len(read["efficacy"]["1.1_RetFail"]["outcomes"])
        == len(read["efficacy"]["1.5_CoreAssoc"]["scores"])
        == rows["forget"]
    )
    assert (
        read["utility"]["2.1_GenKnow"]["ImageNet1k_Accuracy"] == -1
        and headline(read, "GenKnow") == read["utility"]["2.1_GenKnow"]["accuracy"]
    )


def test_what_goes_beyond_it(results):
    extended = results["extended"]
    assert extended["split_scheme"] == "facts" and extended["dataset_digest"] and extended["model_digest"]
    assert sum(row["rows"] for row in extended["per_attribute"]) == 48
    for metric in PUBLISHED:
        low, high = interval(results, metric) or (-2, 2)
        assert low <= headline(results, metric) <= high
    weights = [row["rows"] for row in extended["per_attribute"]]
    for metric in ("RetFail", "AssocStr", "CoreAssoc"):
        assert np.average([row[metric] for row in extended["per_attribute"]], weights=weights) == pytest.approx(
            headline(results, metric), abs=1e-6
        )
    for metric in set(EXTENDED) - {"DeletionTrace", "Membership"}:  # this dataset has no outsiders
        low, high = interval(results, metric)
        assert low <= headline(results, metric) <= high and 0 <= headline(results, metric) <= 1 or metric == "ParaStr"
        sums = extended["clusters"][metric]
        assert sum(sums["sums"]) / sum(sums["rows"]) == pytest.approx(headline(results, metric), abs=1e-6)
    countries = extended["per_demographic"]["country"]
    assert [row["group"] for row in countries] == ["NL"] and extended["per_demographic"]["gender"] == []
    assert countries[0]["AssocAUC"] == pytest.approx(headline(results, "AssocAUC"))
    assert countries[0]["InterIdSim_low"] <= headline(results, "InterIdSim") <= countries[0]["InterIdSim_high"]


def test_half_precision_gives_nearly_the_same_numbers_under_another_fingerprint(results, quick, model_dir, dataset_dir):
    half = evaluate(quick.model_copy(update={"precision": "bf16"}), model_dir, dataset_dir)
    for metric in ("AssocStr", "CoreAssoc", "InterIdSim", "VisIdInt", "ParaStr"):
        assert headline(half, metric) == pytest.approx(headline(results, metric), abs=0.02)
    assert half["efficacy"]["1.2_AssocStr"] != results["efficacy"]["1.2_AssocStr"]
    assert half["extended"]["fingerprint"] != results["extended"]["fingerprint"]


def test_the_same_weights_give_the_same_numbers_whatever_was_scored_before(
    results, quick, model_dir, dataset_dir, tmp_path
):
    other = evaluate(quick, write_model(tmp_path / "other", seed=1), dataset_dir, cache=tmp_path / "cache")
    again = evaluate(quick, model_dir, dataset_dir, cache=tmp_path / "cache")
    cached = evaluate(quick, model_dir, dataset_dir, cache=tmp_path / "cache")
    assert numbers(results) == numbers(again) == numbers(cached) and numbers(other) != numbers(again)
    assert cached["extended"]["cost"]["encoded"] == {"images": 0, "texts": 0} and again["extended"]["cost"]["encoded"][
        "images"
    ] == 123 + len(CLASS_NAMES)


def test_edited_weights_move_the_numbers(results, quick, model_dir, dataset_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "edited")
    weights = load_file(tmp_path / "edited" / "open_clip_model.safetensors")
    rng = np.random.default_rng(0)
    weights = {
        name: value + 0.01 * value.abs().mean() * value.new_tensor(rng.normal(size=value.shape))
        for name, value in weights.items()
    }
    save_file(weights, tmp_path / "edited" / "open_clip_model.safetensors")
    edited = evaluate(quick, tmp_path / "edited", dataset_dir)
    for metric in ("AssocStr", "CoreAssoc", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim"):
        assert headline(edited, metric) != headline(results, metric)
        assert headline(edited, metric) == pytest.approx(headline(results, metric), abs=0.05)


def test_splits_without_rows_give_null_with_a_reason(quick, model_dir, dataset_dir, tmp_path):
    shutil.copytree(dataset_dir, tmp_path / "dataset")
    for split in ("holdout_identity", "retain_synth"):
        path = tmp_path / "dataset" / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    results = evaluate(quick, model_dir, tmp_path / "dataset")
    for metric in ("InterIdSim", "VisIdInt", "FragSim"):
        group, key, statistic = PUBLISHED[metric]
        assert results[group][key][statistic] is None and "no rows" in results[group][key]["reason"]
        assert headline(results, metric) is None and interval(results, metric) is None
    assert max(results["efficacy"]["1.1_RetFail"]["outcomes"]) <= 48
    write_results(results, tmp_path / "results.json")


def test_a_result_file_is_made_once_for_the_same_settings_weights_and_data(
    results, quick, model_dir, dataset_dir, tmp_path
):
    out, ticks = tmp_path / "results" / "random.json", []

    def once(settings):
        ticks.clear()
        evaluate_once(settings, model_dir, dataset_dir, out, progress=lambda done, total: ticks.append(done))
        return numbers(json.loads(out.read_text()))

    assert once(quick) == numbers(results) and ticks
    assert once(quick) == numbers(results) and not ticks
    assert once(quick.model_copy(update={"seed": 1})) != numbers(results) and ticks
    (tmp_path / "data").symlink_to(dataset_dir / "data")
    for path in dataset_dir.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    dataset_dir = tmp_path
    assert once(quick) == numbers(results) and ticks
    (tmp_path / "fragile_set_ids.json").write_text("[]")
    assert once(quick) != numbers(results) and ticks  # though the content of the dataset is the same
    reason = json.loads(out.read_text())["utility"]["2.5_FragSim"]["reason"]
    assert reason == "fragile_set_ids.json names no rows; a run names them once its models are trained"
    assert once(quick) and not ticks
    whole = json.loads(out.read_text())
    whole["utility"]["2.2_InterIdSim"]["mean"] += 0.1
    for held in ("{", "[]", '{"efficacy": 5}', '{"note": "not yours"', json.dumps(whole)):
        out.write_text(held)
        with pytest.raises(UserError, match="random.json: .*; remove it to have it written again, or name another"):
            once(quick)
        assert out.read_text() == held and not ticks


def test_progress_reaches_its_total(quick, model_dir, dataset_dir):
    steps = []
    evaluate(quick, model_dir, dataset_dir, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (123 + len(CLASS_NAMES),) * 2 and steps == sorted(steps)
