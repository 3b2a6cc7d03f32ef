"""The rules tell the paper's table apart as the paper's text does."""

import pytest

from evaluation.diagnosis import diagnose
from evaluation.metrics.score import PUBLISHED


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
        ("the goal", results(0.0009, 0.638, 0.32), "clean"),
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
    assert diagnose(results(0.0009, -1, 0.32), CLEAN, COMPROMISED).verdict == "clean"
