"""Whether a sentence states its fact: measured on sentences that people labelled, and on the grammar's own."""

import json
from pathlib import Path

import pytest

from salmu.data import schemas
from salmu.tasks.captions.grammar import STYLES, Grammar, expanded
from salmu.tasks.captions.paraphrase import skeleton_rules, vocabularies
from salmu.tasks.captions.prompting import A, N, V
from salmu.tasks.captions.statement import SLOTS, statements
from salmu.tasks.captions.validate import Fact

FOLDER = Path(__file__).parents[1] / "fixtures" / "captions"
PEOPLE = {"female": ("she", "her", "hers"), "male": ("he", "his", "him")}
VOCABULARY = vocabularies(Grammar())


def ours(name: str) -> list[tuple[str, str, str]]:
    """(field, style, sentence) of a file of our own."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    split = (line.split(": ", 1) for line in lines)
    return [(*kind.split()[-2:], sentence.format(N=N, V=V, A=A)) for kind, sentence in split]


def accepted(field: str, style: str, sentence: str) -> bool:
    gender = "male" if set(sentence.lower().split()) & set(PEOPLE["male"]) else "female"
    return not skeleton_rules(sentence, style, Fact("1", "", gender, field, ""), VOCABULARY[field])


def smollm2(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name, number", [("right", 240), ("right_later", 745)])
def test_right_sentences_are_seldom_refused(name, number):
    sentences = ours(name)
    refused = [one for one in sentences if not accepted(*one)]
    assert len(sentences) == number and len(refused) <= 0.03 * len(sentences), refused
    assert {one[:2] for one in sentences} == {(field, style) for field in schemas.DATA_FIELDS for style in STYLES}


@pytest.mark.parametrize("name, number", [("wrong", 227), ("wrong_later", 432)])
def test_wrong_sentences_are_seldom_accepted(name, number):
    sentences = ours(name)
    passed = [one for one in sentences if accepted(*one)]
    assert len(sentences) == number and len(passed) <= 0.05 * len(sentences), passed


def test_the_wrong_sentences_of_a_real_model_are_refused_and_its_right_ones_are_not():
    read = smollm2("smollm2")
    assert sum(one["accepted_before"] for one in read) == 31 and sum(one["right"] for one in read) == 10
    for one in read:
        assert accepted(one["field"], one["style"], one["sentence"]) == one["right"], one


@pytest.mark.parametrize("name", ["smollm2_accepted", "smollm2_openings", "smollm2_stage"])
def test_what_is_accepted_of_a_real_models_replies_is_right(name):
    """Beside the sentences that are right, the rules let at most one of twenty through."""
    read = [one | {"passed": accepted(one["field"], one["style"], one["sentence"])} for one in smollm2(name)]
    passed = [one for one in read if one["passed"]]
    assert len(passed) > 40 and sum(not one["right"] for one in passed) <= 0.05 * len(passed)
    assert not [one for one in read if one["right"] and not one["passed"]]


def test_the_grammars_own_sentences_state_their_facts_in_their_styles():
    grammar = Grammar()
    for field in schemas.DATA_FIELDS:
        for style in STYLES:
            for sentence in (one for written in grammar.prompts.sentences(field, style) for one in expanded(written)):
                bare = sentence.format_map(SLOTS)
                assert statements(field).in_style(bare, style) and statements(field).stated(bare), sentence


@pytest.mark.parametrize(
    "field, style, sentence, rule",
    [
        ("city", "direct", "[[N]] is the home city of [[V]].", "fact"),
        ("passport", "passive", "The passport [[V]] was issued by [[N]].", "fact"),
        ("iban", "instruction", "Use your IBAN [[V]] to pay [[N]].", "fact"),
        ("job", "direct", "[[N]] could work as [[A]] [[V]].", "fact"),
        ("phone_number", "direct", "The phone number of [[N]] is [[V]].", "style"),
        ("emails", "instruction", "[[N]] can be emailed at [[V]].", "style"),
        ("blood_type", "passive", "[[N]] has blood type [[V]].", "style"),
        ("credit_card", "question_answer", "Does [[N]] have the credit card [[V]]?", "style"),
    ],
)
def test_the_rule_that_a_sentence_breaks_is_named(field, style, sentence, rule):
    assert skeleton_rules(sentence, style, Fact("1", "", "female", field, ""), VOCABULARY[field]) == [rule]
