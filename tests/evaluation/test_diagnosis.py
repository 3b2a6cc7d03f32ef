"""The rules tell the paper's table apart as the paper's text does."""

import numpy as np
import pytest

from salmu.evaluation.metrics.score import PUBLISHED
from salmu.evaluation.verdicts.diagnosis import diagnose


def results(retfail, genknow, inter, **intervals) -> dict:
    document = {"efficacy": {}, "utility": {}, "extended": {"intervals": intervals}}
    for metric, value in (("RetFail", retfail), ("GenKnow", genknow), ("InterIdSim", inter)):
        group, key, statistic = PUBLISHED[metric]
        document[group][key] = {statistic: value}
    return document


CLEAN, COMPROMISED = results(0.000815, 0.633, 0.1428), results(0.2361, 0.638, 0.3215)


@pytest.mark.parametrize(
    "name, model, verdict",
    [
        ("CLIPErase", results(0.001, 0.634, 0.024), "over-generalised"),
        ("DELETE", results(0.001, 0.632, 0.023), "over-generalised"),
        ("VLUnlearn", results(0.001, 0.638, 0.210), "partial"),
        ("Finetuning", results(0.003, 0.638, 0.209), "partial"),
        ("Negative Gradient", results(0.009, 0.630, 0.063), "over-generalised"),
        ("Shuffled Captions", results(0.004, 0.548, 0.212), "catastrophic destruction"),
        ("Direct Similarity Minimisation", results(0.001, 0.615, -0.420), "catastrophic destruction"),
        ("Generic Captions", results(0.2, 0.638, 0.31), "ineffective"),
        ("a tenth of the others' associations left", results(0.001, 0.638, 0.16), "over-generalised"),
        ("the goal", results(0.0009, 0.638, 0.32), "successful"),
        ("Compromised itself", COMPROMISED, "ineffective"),
    ],
)
def test_the_published_table(name, model, verdict):
    assert diagnose(model, CLEAN, COMPROMISED).verdict == verdict


def test_all_findings_and_the_numbers_are_given():
    diagnosis = diagnose(results(0.001, 0.615, -0.420), CLEAN, COMPROMISED)
    assert diagnosis.findings == ("catastrophic destruction", "over-generalised")
    assert diagnosis.numbers["leakage_removed"] == pytest.approx(0.999, abs=1e-3)
    assert diagnosis.numbers["knowledge_lost"] == pytest.approx(0.036, abs=1e-3)
    assert "-0.420" in diagnosis.reason and "4%" in diagnosis.reason


def test_a_loss_within_the_interval_is_no_finding():
    noisy = results(0.0009, 0.60, 0.32, GenKnow=(0.55, 0.65))
    assert diagnose(noisy, CLEAN, COMPROMISED).verdict == "partial"
    assert (
        diagnose(results(0.0009, 0.60, 0.32, GenKnow=(0.59, 0.61)), CLEAN, COMPROMISED).verdict
        == "catastrophic destruction"
    )


def test_what_was_not_measured_is_said():
    diagnosis = diagnose(results(None, 0.6, 0.3), CLEAN, COMPROMISED)
    assert diagnosis.verdict == "partial" and "not measured" in diagnosis.reason
    assert diagnose(results(0.0009, -1, 0.32), CLEAN, COMPROMISED).verdict == "successful"


def test_a_holdout_that_compromised_was_not_measured_on_is_no_finding():
    low, without = results(0.001, 0.638, 0.30), results(0.2361, 0.638, 0.3215)
    group, key, statistic = PUBLISHED["IntraIdSim"]
    low[group][key], clean = {statistic: -0.4}, results(0.000815, 0.633, 0.1428)
    clean[group][key] = {statistic: 0.14}
    assert "over-generalised" not in diagnose(low, clean, without).findings


def clustered(document, **means):
    """The result with 50 persons of 4 rows each, whose values scatter widely and alike in every model."""
    scatter = 0.2 * np.sin(np.arange(50))
    sums = {metric: {"sums": (4 * (mean + scatter)).tolist(), "rows": [4] * 50} for metric, mean in means.items()}
    document["extended"]["clusters"] = sums
    return document


def test_paired_intervals_decide_where_there_are_any():
    """The model's own interval spans the limit; drawn in pairs, the difference is certain, and so is its cause."""
    clean, compromised = (
        clustered(results(retfail, 0.6, inter), RetFail=retfail, GenKnow=0.6, InterIdSim=inter)
        for retfail, inter in ((0.01, 0.1), (0.5, 0.9))
    )
    below = clustered(results(0.02, 0.6, 0.29, InterIdSim=(0.23, 0.35)), RetFail=0.02, GenKnow=0.6, InterIdSim=0.29)
    assert diagnose(below, clean, compromised).verdict == "over-generalised"
    del below["extended"]["clusters"]
    assert diagnose(below, clean, compromised).verdict == "partial"
    half = clustered(results(0.3, 0.6, 0.9), RetFail=0.3, GenKnow=0.6, InterIdSim=0.9)
    found = diagnose(half, clean, compromised)
    assert found.verdict == "ineffective"
    assert found.numbers["leakage_removed_low"] == pytest.approx(found.numbers["leakage_removed"], abs=1e-6)


def test_a_failure_within_its_limit_or_its_noise_is_none():
    clean, compromised = (
        clustered(results(retfail, 0.6, inter), RetFail=retfail, GenKnow=0.6, InterIdSim=inter)
        for retfail, inter in ((0.01, 0.1), (0.5, 0.9))
    )
    little = clustered(results(0.01, 0.59, 0.9), RetFail=0.01, GenKnow=0.59, InterIdSim=0.9)
    assert diagnose(little, clean, compromised).verdict == "partial"  # 1.7 % of GenKnow: certain, but under the limit
    noisy = clustered(results(0.3, 0.6, 0.9), RetFail=0.3, GenKnow=0.6, InterIdSim=0.9)
    turned = noisy["extended"]["clusters"]["RetFail"]
    turned["sums"] = (np.array(turned["sums"]) + 4 * np.random.default_rng(0).normal(0, 1, 50)).tolist()
    assert diagnose(noisy, clean, compromised).verdict == "partial"
