"""Targets of precise forgetting, and what counts as hidden."""

from salmu.evaluation.verdicts.targets import TARGETS, leak_paths, nearest_first, outcomes, remains

METRICS = ("RetFail", "ACS", "GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim", "MIA", "ImgRes")
CLEAN = dict.fromkeys(METRICS, 0.1) | {"RetFail": 0.002, "RetFail_high": 0.003, "ACS": 0.52, "MIA_high": 0.55}
CLEAN |= {"ImgRes_high": 0.2}
START = dict.fromkeys(METRICS, 0.8) | {"GenKnow": 0.7, "VisIdInt_low": 0.75, "FragSim_low": 0.78}
GOOD = {"RetFail": 0.0039, "ACS": 0.56, "GenKnow": 0.695, "InterIdSim": 0.73, "IntraIdSim": 0.725, "VisIdInt": 0.76}
GOOD |= {"FragSim": 0.79, "MIA_low": 0.5, "ImgRes_low": 0.1}


def met(**changes) -> set[str]:
    return {one.metric for one in outcomes(GOOD | changes, CLEAN, START) if one.met}


def test_a_model_that_forgot_precisely_meets_all_seven():
    assert met() == {"RetFail", "ACS", "GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim"}


def test_each_target_is_missed_by_its_own_metric_alone():
    missed = {"RetFail": 0.0041, "ACS": 0.575, "GenKnow": 0.689, "InterIdSim": 0.719, "IntraIdSim": 0.71}
    missed |= {"VisIdInt": 0.749, "FragSim": 0.779}
    for metric, value in missed.items():
        assert met(**{metric: value}) == met() - {metric}
    assert "ACS" not in met(ACS=0.44)  # told apart the other way round


def test_clean_interval_counts_where_it_is_wider_than_twice_its_value():
    wide = CLEAN | {"RetFail_high": 0.01}
    assert {one.metric: one.met for one in outcomes(GOOD | {"RetFail": 0.009}, wide, START)}["RetFail"]


def test_what_was_not_measured_is_left_out():
    assert {one.metric for one in outcomes(GOOD | {"ACS": None}, CLEAN, START)} == met() - {"ACS"}


def test_hidden_is_what_a_probe_finds_beyond_cleans_interval():
    assert leak_paths(GOOD, CLEAN) == {}
    assert set(leak_paths(GOOD | {"ImgRes_low": 0.21, "MIA_low": 0.54}, CLEAN)) == {"ImgRes"}
    assert set(leak_paths(GOOD | {"relearned_above_clean": 0.1}, CLEAN)) == {"relearned_above_clean"}


def test_what_remains_has_one_of_three_labels():
    assert remains(GOOD, CLEAN, START) == "erased"
    assert remains(GOOD | {"MIA_low": 0.56}, CLEAN, START) == "hidden"
    for found in ({}, {"MIA_low": 0.56}):
        assert remains(GOOD | found | {"RetFail": 0.5}, CLEAN, START) == "not forgotten"
    assert remains(GOOD | {"RetFail": None}, CLEAN, START) == "not measured"


def test_the_nearest_has_the_fewest_failures_then_lost_and_left_least():
    rows = [
        {"model": "does nothing", "failures": "ineffective"} | START,
        {"model": "half", "failures": ""} | GOOD | {"RetFail": 0.4},
        {"model": "good", "failures": ""} | GOOD,
        {"model": "breaks", "failures": "catastrophic destruction, over-generalised"} | GOOD | {"GenKnow": 0.1},
        {"model": "loses facts", "failures": ""} | GOOD | {"IntraIdSim": 0.6},
    ]
    order = [row["model"] for row in nearest_first(rows, CLEAN, START)]
    assert order == ["good", "loses facts", "half", "does nothing", "breaks"]


def test_every_target_has_its_words():
    assert set(TARGETS) == met()
