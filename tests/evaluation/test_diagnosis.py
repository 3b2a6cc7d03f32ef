"""The rules tell the paper's table apart as the paper's text does."""

import numpy as np
import pytest
from result_files import clustered, document

from salmu.evaluation.verdicts.diagnosis import VERDICTS, diagnose
from salmu.evaluation.verdicts.leaderboard import records


def results(retfail, genknow, inter, **intervals) -> dict:
    return document({"RetFail": retfail, "GenKnow": genknow, "InterIdSim": inter}, **intervals)


CLEAN, COMPROMISED = results(0.000815, 0.633, 0.1428), results(0.2361, 0.638, 0.3215)


def judged(model, clean=CLEAN, compromised=COMPROMISED, **retrained) -> dict:
    """The record of a model beside its pair."""
    files = {"clean": clean, "compromised": compromised, "model": model} | retrained
    return next(row for row in records(files, {}) if row["model"] == "model")


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
    """It has no Retrained: Clean and Compromised stand in."""
    assert judged(model)["verdict"] == verdict


def test_all_findings_and_the_numbers_are_given():
    model = results(0.001, 0.615, -0.420)
    row = judged(model)
    assert row["failures"] == "catastrophic destruction, over-generalised"
    numbers = diagnose(row, model, CLEAN, COMPROMISED).numbers
    assert numbers["leakage_removed"] == pytest.approx(0.999, abs=1e-3)
    assert numbers["knowledge_lost"] == pytest.approx(0.036, abs=1e-3)
    assert "-0.420" in row["reason"] and "4%" in row["reason"]


def test_a_loss_within_the_interval_is_no_finding():
    assert judged(results(0.0009, 0.60, 0.32, GenKnow=(0.55, 0.65)))["verdict"] == "successful"
    assert judged(results(0.0009, 0.60, 0.32, GenKnow=(0.59, 0.61)))["verdict"] == "catastrophic destruction"


def test_what_was_not_measured_is_said():
    row = judged(results(None, 0.6, 0.3))
    assert row["verdict"] == "partial" and "not measured" in row["reason"]
    assert judged(results(0.0009, -1, 0.32))["verdict"] == "successful"


def test_a_holdout_that_compromised_was_not_measured_on_is_no_finding():
    values = {"RetFail": 0.001, "GenKnow": 0.638, "InterIdSim": 0.30, "IntraIdSim": -0.4}
    clean = document({"RetFail": 0.000815, "GenKnow": 0.633, "InterIdSim": 0.1428, "IntraIdSim": 0.14})
    assert "over-generalised" not in judged(document(values), clean)["failures"]


def pair_of(retfail: tuple, inter: tuple):
    return [
        clustered(results(low, 0.6, high), RetFail=low, GenKnow=0.6, InterIdSim=high)
        for low, high in zip(retfail, inter, strict=True)
    ]


def test_paired_intervals_decide_where_there_are_any():
    """The model's own interval spans the limit; drawn in pairs, the difference is certain, and so is its cause."""
    clean, compromised = pair_of((0.01, 0.5), (0.1, 0.9))
    below = clustered(results(0.02, 0.6, 0.29, InterIdSim=(0.23, 0.35)), RetFail=0.02, GenKnow=0.6, InterIdSim=0.29)
    assert judged(below, clean, compromised)["verdict"] == "over-generalised"
    del below["extended"]["clusters"]
    assert judged(below, clean, compromised)["verdict"] == "partial"
    half = clustered(results(0.3, 0.6, 0.9), RetFail=0.3, GenKnow=0.6, InterIdSim=0.9)
    row = judged(half, clean, compromised)
    numbers = diagnose(row, half, clean, compromised).numbers
    assert row["verdict"] == "ineffective"
    assert numbers["leakage_removed_low"] == pytest.approx(numbers["leakage_removed"], abs=1e-6)


def test_a_failure_within_its_limit_or_its_noise_is_none():
    clean, compromised = pair_of((0.01, 0.5), (0.1, 0.9))
    little = clustered(results(0.01, 0.59, 0.9), RetFail=0.01, GenKnow=0.59, InterIdSim=0.9)
    assert (
        judged(little, clean, compromised)["verdict"] == "successful"
    )  # 1.7 % of GenKnow: certain, but under the limit
    noisy = clustered(results(0.3, 0.6, 0.9), RetFail=0.3, GenKnow=0.6, InterIdSim=0.9)
    turned = noisy["extended"]["clusters"]["RetFail"]
    turned["sums"] = (np.array(turned["sums"]) + 4 * np.random.default_rng(0).normal(0, 1, 50)).tolist()
    assert judged(noisy, clean, compromised)["verdict"] == "partial"


EXACT = {"RetFail": 0.012, "GenKnow": 0.75, "InterIdSim": 0.75, "InterIdMRR": 0.14, "NameMRR": 0.35}


def with_exact(**changes) -> dict:
    """A model beside a pair with Retrained, whose values it has but for changes."""
    clean = document({"RetFail": 0.002, "GenKnow": 0.8, "InterIdSim": 0.0, "InterIdMRR": 0.001, "NameMRR": 0.29})
    compromised = document(EXACT | {"RetFail": 0.21, "NameMRR": 0.84})
    return judged(document(EXACT | changes), clean, compromised, retrained=document(EXACT))


@pytest.mark.parametrize(
    ("verdict", "changes"),
    [
        ("successful", {}),
        ("successful", {"GenKnow": 0.68}),  # within what two exact answers differ by
        ("catastrophic destruction", {"GenKnow": 0.6}),  # so is this, but a fifth of Compromised's is lost
        ("catastrophic destruction", {"GenKnow": 0.5}),
        ("over-generalised", {"InterIdMRR": 0.03}),  # the cosine is kept, retrieval is not
        ("ineffective", {"RetFail": 0.2}),
        ("over-forgotten", {"NameMRR": 0.14}),
        ("partial", {"NameMRR": 0.5}),
    ],
)
def test_with_retrained_a_model_is_judged_against_the_exact_answer(verdict, changes):
    assert with_exact(**changes)["verdict"] == verdict and verdict in VERDICTS
