"""The leaderboard of a run is a function of its files."""

import copy
import json

import pytest

from data.errors import UserError
from evaluation.evaluate import evaluate, write_results
from evaluation.leaderboard import FILE, markdown, write_leaderboard
from evaluation.metrics.score import PUBLISHED, headline


@pytest.fixture
def run_folder(quick, model_dir, dataset_dir, tmp_path):
    """A run with Clean, Compromised and one method, whose numbers are set by hand."""
    results = evaluate(quick, model_dir, dataset_dir)
    results["extended"]["intervals"] = {"RetFail": [0.1, 0.3]}
    for name, retfail, inter in (("clean", 0.01, 0.1), ("compromised", 0.5, 0.9), ("finetuning-5x-s0", 0.4, 0.8)):
        own = copy.deepcopy(results)
        own["efficacy"]["1.1_RetFail"]["MRR"], own["utility"]["2.2_InterIdSim"]["mean"] = retfail, inter
        write_results(own, tmp_path / "results" / f"{name}.json")
    folder = tmp_path / "unlearned" / "finetuning-5x-s0"
    folder.mkdir(parents=True)
    (folder / "unlearning.json").write_text(
        json.dumps(
            {
                "method": "finetuning",
                "budget": 5.0,
                "seed": 0,
                "settings": {"learning_rate": 1},
                "pairs_seen": 240,
                "seconds": 2.5,
                "peak_memory_mb": 9,
            }
        )
    )
    return tmp_path


def test_one_flat_record_a_model_references_first(run_folder):
    write_leaderboard(run_folder)
    records = [json.loads(line) for line in (run_folder / FILE).read_text().splitlines()]
    assert [row["model"] for row in records] == ["clean", "compromised", "finetuning-5x-s0"]
    assert all(not isinstance(value, (dict, list)) for row in records for value in row.values())
    row = records[2]
    assert (row["method"], row["budget"], row["pairs_seen"], row["seconds"]) == ("finetuning", 5.0, 240, 2.5)
    assert (row["RetFail"], row["RetFail_low"], row["RetFail_high"]) == (0.4, 0.1, 0.3) and row["AssocStr_low"] is None
    assert row["verdict"] == "ineffective" and "verdict" not in records[0]
    assert row["settings_digest"] != records[0]["settings_digest"] == records[1]["settings_digest"]


def test_writing_again_changes_nothing_and_a_new_result_replaces_its_row(run_folder):
    before = write_leaderboard(run_folder)
    content = (run_folder / FILE).read_bytes()
    assert write_leaderboard(run_folder) == before and (run_folder / FILE).read_bytes() == content
    path = run_folder / "results" / "finetuning-5x-s0.json"
    write_results(json.loads(path.read_text().replace('"MRR": 0.4', '"MRR": 0.02')), path)
    after = write_leaderboard(run_folder)
    assert after[:2] == before[:2] and len(after) == 3 and after[2]["RetFail"] == 0.02


def test_the_table_has_the_ten_metrics(run_folder):
    records = write_leaderboard(run_folder)
    records[2]["FragSim"] = None
    lines = markdown(records).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["model", *PUBLISHED, "verdict"]
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert cells[0] == "finetuning-5x-s0" and cells[1] == "0.4000" and cells[-2:] == ["-", "ineffective"]


def test_results_of_the_published_evaluator_are_read_too():
    published = {"efficacy": {"1.1_RetFail": {"MRR": 0.2}}, "utility": {"2.1_GenKnow": {"ImageNet1k_Accuracy": 0.638}}}
    assert (
        headline(published, "GenKnow") == 0.638
        and headline(published, "RetFail") == 0.2
        and headline(published, "FragSim") is None
    )
    published["utility"]["2.1_GenKnow"]["ImageNet1k_Accuracy"] = -1
    assert headline(published, "GenKnow") is None


def test_a_damaged_result_file_is_named(run_folder):
    (run_folder / "results" / "clean.json").write_text("{")
    with pytest.raises(UserError, match="clean.json: damaged"):
        write_leaderboard(run_folder)
