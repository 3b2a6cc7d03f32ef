"""Targets: equal to the reference within a margin, on both sides, and what is left of the forgotten pairs."""

import numpy as np
import pytest
from result_files import clustered, document

from salmu.evaluation.encoding.settings import Margins
from salmu.evaluation.metrics.score import METRICS
from salmu.evaluation.verdicts.equivalence import compare, holm
from salmu.evaluation.verdicts.leaderboard import records
from salmu.evaluation.verdicts.targets import (
    GONE,
    GROUPS,
    KEPT,
    TRACES,
    leak_paths,
    met_of,
    nearest_first,
    outcomes,
    remains,
    trace_paths,
)

VALUES = {  # of the models of a pair, by metric of what must be gone (RetFail, NameMRR) and kept (InterIdSim, GenKnow)
    "clean": {"RetFail": 0.002, "NameMRR": 0.29, "InterIdSim": 0.0, "GenKnow": 0.8},
    "compromised": {"RetFail": 0.21, "NameMRR": 0.84, "InterIdSim": 0.75, "GenKnow": 0.75},
    "retrained": {"RetFail": 0.012, "NameMRR": 0.35, "InterIdSim": 0.75, "GenKnow": 0.75},
    "retrained-2": {"RetFail": 0.013, "NameMRR": 0.34, "InterIdSim": 0.74, "GenKnow": 0.78},
}


def run(methods: dict[str, dict], exact: int = 2, noise: float = 0.0) -> dict[str, dict]:
    """Records by model: the pair, so many Retrained, and methods by their values; 50 people each, alike in every model
    but for `noise`."""
    names = ["clean", "compromised", "retrained", "retrained-2"][: 2 + exact]
    models = {name: VALUES[name] for name in names} | methods
    files = {}
    for number, (name, values) in enumerate(models.items()):
        files[name] = clustered(document(values), **values)
        for metric, sums in files[name]["extended"]["clusters"].items():
            scatter = np.random.default_rng([number, len(metric)]).normal(0, noise, 50)
            sums["sums"] = (np.array(sums["sums"]) + 4 * (scatter - scatter.mean())).tolist()
    return {row["model"]: row for row in records(files, {})}


def states(row) -> dict[str, str]:
    return {metric: one.state for metric, one in outcomes(row).items()}


def test_every_target_belongs_to_one_group_and_has_a_margin():
    assert not set(GONE) & set(KEPT) and {*GONE, *KEPT} <= set(METRICS)
    assert set(Margins.model_fields) == {*GONE, *KEPT, *TRACES, "attacks"}


def test_an_exact_answer_meets_all_compromised_nothing_of_gone_and_clean_misses_kept():
    rows = run({})
    for name in ("retrained", "retrained-2"):
        assert met_of(rows[name], "gone") == (2, 2) and met_of(rows[name], "kept") == (2, 2)
    assert met_of(rows["compromised"], "gone") == (0, 2) and met_of(rows["compromised"], "kept") == (2, 2)
    assert states(rows["clean"])["InterIdSim"] == "below"
    assert met_of(rows["clean"], "kept") == (1, 2)


def test_a_margin_wider_than_the_leak_does_not_let_compromised_meet_a_target():
    """IdZSC's margin is 0.24; what leaks here is 0.1, so half of that is the margin."""
    values = {"clean": 0.05, "compromised": 0.2, "retrained": 0.1, "retrained-2": 0.1, "half": 0.14, "worse": 0.16}
    rows = run({name: VALUES.get(name, VALUES["retrained"]) | {"IdZSC": values[name]} for name in values})
    found = {name: states(rows[name])["IdZSC"] for name in values}
    assert found["compromised"] == found["worse"] == "above" and found["half"] == found["retrained"] == "met"
    assert outcomes(rows["worse"])["IdZSC"].wanted == "0.0500 to 0.1500"


def test_what_compromised_does_not_have_is_no_target():
    names = ("clean", "compromised", "retrained", "retrained-2", "any")
    rows = run({name: VALUES.get(name, VALUES["retrained"]) | {"ImgRes": 0.2} for name in names})
    assert "ImgRes" not in outcomes(rows["any"]) and met_of(rows["any"], "gone") == (2, 2)


def test_a_target_is_missed_on_either_side():
    rows = run({"good": VALUES["retrained"], "less": VALUES["retrained"] | {"NameMRR": 0.14}})
    assert set(states(rows["good"]).values()) == {"met"} and rows["good"]["verdict"] == "successful"
    assert states(rows["less"])["NameMRR"] == "below" and rows["less"]["verdict"] == "over-forgotten"
    assert "NameMRR is 0.140 where the reference has 0.345" in rows["less"]["reason"]
    more = run({"more": VALUES["retrained"] | {"GenKnow": 0.99}})["more"]
    assert states(more)["GenKnow"] == "above" and more["verdict"] == "partial" and "GenKnow above" in more["reason"]


def test_within_the_margin_without_certainty_is_open_and_earns_no_good_mark():
    row = run({"noisy": VALUES["retrained"]}, noise=0.3)["noisy"]
    assert states(row)["InterIdSim"] == "open" and row["verdict"] == "undecided"
    assert met_of(row, "kept")[0] < 2


def test_the_more_methods_the_more_certain_each_must_be():
    """Each alone is sure at 5 %; a hundred like it are not."""
    one = {"NameMRR": 0.345, **{metric: VALUES["retrained"][metric] for metric in ("RetFail", "InterIdSim", "GenKnow")}}
    alone, many = (run({f"m{number}": one for number in range(count)}) for count in (1, 100))
    assert states(alone["m0"])["NameMRR"] == "met" and states(many["m0"])["NameMRR"] == "open"


def test_without_retrained_clean_and_compromised_stand_in_and_it_is_said():
    near = VALUES["compromised"] | {"RetFail": 0.005, "NameMRR": 0.31}
    rows = run({"near": near, "erased": VALUES["clean"]}, exact=0)
    assert {row["reference"] for row in rows.values()} == {"clean and compromised"}
    assert states(rows["near"]) == {"RetFail": "met", "NameMRR": "met", "InterIdSim": "met", "GenKnow": "met"}
    assert states(rows["compromised"]) == {"RetFail": "above", "NameMRR": "above"}
    assert states(rows["erased"])["InterIdSim"] == "below"


def test_with_one_retrained_it_is_the_reference_and_is_not_judged():
    rows = run({}, exact=1)
    assert not outcomes(rows["retrained"]) and rows["compromised"]["NameMRR_goal"] == pytest.approx(0.35)


def test_results_without_sums_by_person_are_judged_by_their_numbers():
    plain = {name: document(values) for name, values in (VALUES | {"good": VALUES["retrained"]}).items()}
    row = next(row for row in records(plain, {}) if row["model"] == "good")
    assert set(states(row).values()) == {"met"} and row["RetFail_apart_low"] is None


def test_holms_adjustment_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.6, 0.9]) == [1.0, 1.0]


def test_the_comparison_is_paired_and_with_the_mean_of_the_references():
    files = [clustered(document({"NameMRR": value}), NameMRR=value) for value in (0.5, 0.3, 0.4)]
    found = compare(files[0], files[1:], "NameMRR", 0.1)
    assert found.difference == pytest.approx(0.15) == pytest.approx(found.low) == pytest.approx(found.high)
    assert found.p > 0.99 and compare(files[0], files[1:], "NameMRR", 0.2).p < 0.01
    assert compare(files[0], [], "NameMRR", 0.1) is None and compare(files[0], files[1:], "IdZSC", 0.1) is None


def test_what_remains_has_one_of_four_labels():
    good = VALUES["retrained"]
    found = {"RetFail": 0.1, "NameMRR": 0.6}, {"NameMRR": 0.6}, {"NameMRR": 0.1}, {}
    rows = run({name: good | changes for name, changes in zip(("keeps", "hides", "marks", "good"), found, strict=True)})
    labels = {name: remains(rows[name]) for name in ("good", "hides", "keeps", "marks")}
    assert labels == {"good": "erased", "hides": "hidden", "keeps": "not forgotten", "marks": "traceable"}
    assert set(trace_paths(rows["marks"])) == {"NameMRR"} and not leak_paths(rows["marks"])
    assert set(leak_paths(rows["hides"])) == {"NameMRR"}
    assert set(leak_paths(rows["good"] | {"attack_few_shot_3_state": "above"})) == {"attack_few_shot_3"}
    assert remains(run({"other": {"GenKnow": 0.7}})["other"]) == "not measured"


def test_the_nearest_has_the_fewest_failures_then_the_smallest_distance():
    good = VALUES["retrained"]
    methods = {
        "does nothing": VALUES["compromised"],
        "half": good | {"NameMRR": 0.45},
        "good": good,
        "breaks": good | {"GenKnow": 0.1, "InterIdSim": 0.0},
        "loses others": good | {"InterIdSim": 0.6},
    }
    rows = run(methods)
    order = [row["model"] for row in nearest_first([rows[name] for name in methods])]
    assert order == ["good", "half", "loses others", "does nothing", "breaks"]


def test_groups_are_counted_apart():
    row = run({"good": VALUES["retrained"]})["good"]
    assert [met_of(row, group) for group in GROUPS] == [(2, 2), (2, 2)]
