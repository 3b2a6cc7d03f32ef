"""The leaderboard of a run is a function of its files."""

import copy
import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from salmu.data.errors import UserError
from salmu.evaluation.metrics.score import METRICS, PUBLISHED, difference, headline
from salmu.evaluation.scoring.evaluate import evaluate, write_results
from salmu.evaluation.verdicts.leaderboard import FILE, SEEDS, TABLES, in_words, write_leaderboard
from salmu.evaluation.verdicts.tables import between_seeds, markdown
from salmu.evaluation.verdicts.targets import exact_of


@pytest.fixture(scope="module")
def results(quick, model_dir, dataset_dir):
    return evaluate(quick, model_dir, dataset_dir)


@pytest.fixture
def run_folder(results, tmp_path):
    """A run with Clean, Compromised and one method, whose numbers are set by hand."""
    results = copy.deepcopy(results)
    results["extended"]["intervals"] = {"RetFail": [0.1, 0.3]}
    results["utility"]["2.1_GenKnow"]["accuracy"] = 0.6  # the random model's is at chance: a worthless pair
    for name, retfail, inter in (("clean", 0.01, 0.1), ("compromised", 0.5, 0.9), ("finetuning-5x-s0", 0.4, 0.8)):
        own = copy.deepcopy(results)
        for metric, value in (("RetFail", retfail), ("InterIdSim", inter)):
            group, key, statistic = PUBLISHED[metric]
            sums, moved = own["extended"]["clusters"][metric], value - own[group][key][statistic]
            sums["sums"] = (np.array(sums["sums"]) + moved * np.array(sums["rows"])).tolist()
            own[group][key][statistic] = value
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
    assert row["verdict"] == row["failures"] == "ineffective" and "verdict" not in records[0]
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
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["model", *PUBLISHED, "gone", "kept", "verdict"]
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert cells[0] == "finetuning-5x-s0" and cells[1] == "0.4000" and cells[-4] == "-" and cells[-1] == "ineffective"


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


@pytest.mark.parametrize("content", ["- a", "word", "3"])
def test_settings_of_a_run_that_are_no_table_are_named(content, run_folder):
    (run_folder / "settings.yaml").write_text(content)
    with pytest.raises(UserError, match="settings.yaml: a table of settings .* is expected"):
        write_leaderboard(run_folder)


def test_differences_from_the_references_are_drawn_in_pairs(run_folder):
    path = run_folder / "results" / "finetuning-5x-s0.json"
    other = json.loads(path.read_text())
    sums = other["extended"]["clusters"]["AssocStr"]
    sums["sums"] = (np.array(sums["sums"]) + 0.25 * np.array(sums["rows"])).tolist()
    other["efficacy"]["1.2_AssocStr"]["mean"] += 0.25
    write_results(other, path)
    row = write_leaderboard(run_folder)[2]
    for reference in ("clean", "compromised"):
        for end in ("", "_low", "_high"):
            assert row[f"AssocStr_minus_{reference}{end}"] == pytest.approx(0.25, abs=1e-9)
        assert row[f"AssocAUC_minus_{reference}_low"] == row[f"AssocAUC_minus_{reference}_high"] == 0
    clean = json.loads((run_folder / "results" / "clean.json").read_text())
    clean["extended"]["dataset_digest"] = "another"
    assert difference(other, clean, "AssocStr") == (pytest.approx(0.25), None, None)
    assert difference(other, {}, "AssocStr") is None


def test_tables_for_spreadsheets_and_papers_lie_in_the_report(run_folder):
    records = write_leaderboard(run_folder)
    files = {name: (run_folder / "report" / name).read_text() for name in TABLES}
    read = list(csv.DictReader(io.StringIO(files["leaderboard.csv"])))
    assert [row["model"] for row in read] == [row["model"] for row in records]
    assert float(read[2]["RetFail"]) == 0.4 and read[0]["verdict"] == "" and read[2]["verdict"] == "ineffective"
    body = [line for line in files["leaderboard.tex"].splitlines() if line.endswith(r"\\")]
    assert len(body) == 4 and all(line.count(" & ") == 13 for line in body)
    assert r"$0.400 \pm 0.100$" in body[3] and files["leaderboard.md"] == markdown(records)


def test_names_hold_any_character_in_every_table(run_folder):
    name = "=a|b$c_*d*"
    (run_folder / "results" / "finetuning-5x-s0.json").rename(run_folder / "results" / f"{name}.json")
    write_leaderboard(run_folder)
    written = {end: (run_folder / "report" / f"leaderboard.{end}").read_text() for end in ("csv", "tex", "md")}
    assert list(csv.DictReader(io.StringIO(written["csv"])))[2]["model"] == f"'{name}"
    assert r"=a\textbar{}b\$c\_*d* & $0.400" in written["tex"]
    assert r"| =a\|b\$c\_\*d\* | 0.4000 |" in written["md"]
    assert json.loads((run_folder / FILE).read_text().splitlines()[2])["model"] == name


@pytest.mark.parametrize(
    "name, said",
    [
        ("negative_gradient-5x-s0", "negative gradient, budget 5, seed 0"),
        ("a-b-0.5x-s12", "a-b, budget 0.5, seed 12"),
        ("clean", "Clean"),
        ("s1-compromised", "Compromised, pair 1"),
        ("somebody's model", "somebody's model"),
    ],
)
def test_names_of_models_are_said_in_words(name, said):
    assert in_words(name) == said


def test_the_spread_between_seeds_is_students(run_folder):
    assert not (run_folder / SEEDS).exists()
    values = {0: 0.4, 1: 0.45, 2: 0.38}
    for seed, value in values.items():
        name = f"finetuning-5x-s{seed}"
        results = json.loads((run_folder / "results" / "finetuning-5x-s0.json").read_text())
        results["efficacy"]["1.1_RetFail"]["MRR"] = value
        results["extended"]["model_digest"] = f"weights {seed}"
        write_results(results, run_folder / "results" / f"{name}.json")
        training = json.loads((run_folder / "unlearned" / "finetuning-5x-s0" / "unlearning.json").read_text())
        training |= {"seed": seed, "settings": training["settings"] | {"seed": seed}}
        (run_folder / "unlearned" / name).mkdir(exist_ok=True)
        (run_folder / "unlearned" / name / "unlearning.json").write_text(json.dumps(training))
    (row,) = between_seeds(write_leaderboard(run_folder))
    found = list(values.values())
    low, high = stats.t.interval(0.95, 2, np.mean(found), stats.sem(found))
    assert (row["method"], row["runs"], row["seeds"]) == ("finetuning", 3, "0, 1, 2")
    assert [row["RetFail"], row["RetFail_low"], row["RetFail_high"]] == pytest.approx([np.mean(found), low, high])
    assert row["RetFail_sd"] == pytest.approx(np.std(found, ddof=1)) and row["AssocStr_sd"] == pytest.approx(
        0, abs=1e-12
    )
    assert json.loads((run_folder / SEEDS).read_text()) == row
    assert set(METRICS) <= row.keys()


def test_a_name_like_retraineds_is_a_method():
    assert exact_of(["clean", "retrained", "retrained-2", "retrained-by-me", "s1-retrained"]) == [
        "retrained",
        "retrained-2",
    ]
