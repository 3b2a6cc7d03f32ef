"""A worthless pair is told from a sound one, and nobody is judged on it."""

import json
import re

import numpy as np
import pytest
from result_files import clustered
from test_diagnosis import results

from salmu.evaluation.report.build import build
from salmu.evaluation.verdicts.leaderboard import write_leaderboard
from salmu.evaluation.verdicts.soundness import pair_problem, warning
from salmu.evaluation.verdicts.tables import markdown_table


def pair(clean=(0.01, 0.6), compromised=(0.5, 0.6), **intervals):
    return [results(retfail, known, 0.3, **intervals) for retfail, known in (clean, compromised)]


def test_a_pair_that_leaks_and_knows_something_is_sound():
    assert pair_problem(*pair()) is None
    assert pair_problem(*pair(clean=(0.01, -1), compromised=(0.5, -1))) is None  # GenKnow was not measured


@pytest.mark.parametrize(
    "models, said",
    [
        (pair(compromised=(0.01, 0.6)), "does not leak more than Clean (RetFail 0.0100 against 0.0100)"),
        (pair(compromised=(0.005, 0.6)), "does not leak more than Clean"),
        (pair(compromised=(0.019, 0.6)), "leaks less than twice what Clean does (RetFail 0.0190 against 0.0100)"),
        (pair(clean=(None, 0.6)), "RetFail was not measured"),
        (pair(compromised=(0.5, 0.001)), "general knowledge of Compromised is at chance (GenKnow 0.0010"),
        (pair(clean=(0.01, 0.001)), "general knowledge of Clean is at chance"),
        (pair(RetFail=(0.0, 0.9)), "does not leak"),  # intervals of both, which touch
        (pair(GenKnow=(0.0005, 0.9)), "general knowledge of Clean is at chance"),
    ],
)
def test_what_makes_a_pair_worthless_is_said(models, said):
    assert said in pair_problem(*models)


def test_the_paired_interval_decides_where_there_is_one():
    """Each model's values scatter by 0.2 between people, but alike: a difference of 0.25 is certain."""
    clean, compromised = (
        clustered(results(value, 0.6, 0.3, RetFail=(0.1, 0.7)), RetFail=value) for value in (0.2, 0.45)
    )
    assert pair_problem(clean, compromised) is None
    sums = compromised["extended"]["clusters"]["RetFail"]
    sums["sums"] = (np.array(sums["sums"]) + 4 * np.random.default_rng(0).normal(0, 3, 50)).tolist()
    assert "95% interval of the difference -0." in pair_problem(clean, compromised)


@pytest.fixture
def worthless(tmp_path):
    """A run whose Compromised leaks no more than its Clean, with one method."""
    for name, retfail in (("clean", 0.2), ("compromised", 0.2), ("finetuning-5x-s0", 0.1)):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(results(retfail, 0.6, 0.3)))
    return tmp_path


def test_a_worthless_pair_has_no_verdicts_in_any_file(worthless):
    records = write_leaderboard(worthless)
    assert all("verdict" not in row and "does not leak" in row["pair_problem"] for row in records)
    assert warning(records).startswith("Worthless pair: Compromised does not leak more than Clean")
    markdown, latex = ((worthless / "report" / f"leaderboard.{end}").read_text() for end in ("md", "tex"))
    assert "Worthless" not in markdown_table(records), "the terminal says it in red, once"
    assert markdown.startswith("**Worthless pair: ") and latex.startswith("% Worthless pair: ")
    assert r"\textbf{Worthless pair: " in latex


def test_every_page_of_a_worthless_pair_says_so_and_judges_nobody(worthless):
    build(worthless)
    pages = [worthless / "report" / f"{name}.html" for name in ("index", "leaderboard", "precision")]
    pages += sorted((worthless / "report" / "models").iterdir())
    for path in pages:
        text = re.sub(r"<script>.*?</script>", "", path.read_text(), flags=re.DOTALL)
        assert text.count('<p class="warning" role="alert"><strong>Worthless pair: ') == 1, path.name
        assert not {word for word in ("nearest", ">met<", ">missed<", "ineffective", "not forgotten") if word in text}


def test_a_sound_pair_has_no_warning():
    assert warning([{"model": "clean", "pair_problem": None}, {"model": "other"}]) is None
