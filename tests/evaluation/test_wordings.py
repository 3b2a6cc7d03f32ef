"""Sentences for made captions: the forget set's own, or those of a file."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from published import FEW

from salmu.data.documents import read_lines
from salmu.data.errors import UserError
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.unlearning.neighbours import strangers
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.unlearning.wordings import Sentence, sentences_of, worded_by
from salmu.tasks.captions.grammar import STYLES, Grammar

FOREIGN = Path(__file__).parents[1] / "fixtures" / "foreign_grammar.jsonl"


def test_captions_are_worded_in_the_sentences_of_the_forget_set_or_of_a_file(bench, tmp_path):
    pool = bench("as_retrained", faces=0).forget.pool
    own = sentences_of(pool)
    assert set(own) == set(DATA_FIELDS)
    for who, field, value, text in zip(*pool.columns.values(), pool.texts, strict=True):
        filled = [one.replace("[name]", pool.people[who].name).replace("[value]", value) for one in own[field]]
        assert text in filled
    worded, figures = worded_by(pool, "own")
    assert figures == {"sentences": {field: len(texts) for field, texts in own.items()}}
    for one in strangers(pool.people, 3, 0, worded):
        for field, texts in one.captions.items():
            filled = [text.replace("[name]", one.name).replace("[value]", one.values[field]) for text in own[field]]
            assert len(texts) == 5 and set(texts) <= set(filled)
    path = tmp_path / "sentences.jsonl"
    path.write_text(json.dumps({"data_field": "city", "text": "Town of [name] ([value])"}) + "\n")
    (one,) = strangers(pool.people, 1, 0, worded_by(pool, str(path))[0])
    assert set(one.captions["city"]) == {f"Town of {one.name} ({one.values['city']})"}
    assert one.captions["job"] == strangers(pool.people, 1, 0)[0].captions["job"], (
        "the grammar's, where the file has none"
    )
    told = {bench("stranger_targets", wordings=by).prepared.aims[0].tokens.tolist()[1][3] for by in ("own", "grammar")}
    assert len(told) == 2


def test_the_foreign_grammar_shares_no_sentence_with_this_projects_and_words_made_captions(bench):
    """What benchmarks/foreign_grammar.py writes a dataset with."""
    rows = read_lines(FOREIGN, Sentence)
    counts = Counter(row["data_field"] for row in rows)
    assert set(counts) == set(DATA_FIELDS) and min(counts.values()) >= 25
    prompts = Grammar().prompts
    for row in rows:
        for sentence in (one for style in STYLES for one in prompts.sentences(row["data_field"], style)):
            ours = sentence.replace("{name}", r"\[name\]").replace("{value}", r"\[value\]")
            assert not re.fullmatch(re.sub(r"\{\w+\}", r"\\w+", ours), row["text"])
    pool = bench("stranger_targets").forget.pool
    worded, figures = worded_by(pool, str(FOREIGN))
    (one,) = strangers(pool.people, 1, 0, worded)
    assert figures["sentences"] == counts
    filled = {row["text"].replace("[name]", one.name).replace("[value]", one.values["job"]) for row in rows}
    assert set(one.captions["job"]) <= filled


@pytest.mark.parametrize(
    "line, words",
    [
        ('{"data_field": "city", "text": "[name] and [name] in [value]"}', "[name] and [value] must appear once each"),
        ('{"data_field": "shoe size", "text": "[name] has [value]"}', "line 1: data_field"),
        ('{"data_field": "city", "text": "[name] [value]", "more": 1}', "unknown key 'more'"),
        ("", "no such file"),
    ],
)
def test_a_file_of_sentences_that_cannot_be_used_is_one_line(line, words, dataset_dir, model_dir, tmp_path):
    path = tmp_path / "sentences.jsonl"
    if line:
        path.write_text(line + "\n")
    settings = get("stranger_targets").settings(budget=0.5, wordings=str(path), **FEW)
    with pytest.raises(UserError) as caught:
        unlearn("stranger_targets", settings, model_dir, dataset_dir, tmp_path / "out")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_another_file_of_sentences_is_another_result(dataset_dir, model_dir, tmp_path):
    path, found = tmp_path / "sentences.jsonl", []
    for text in ("[name] lives in [value]", "[value] is home to [name]"):
        path.write_text(json.dumps({"data_field": "city", "text": text}) + "\n")
        settings = get("as_retrained").settings(budget=0.5, wordings=str(path), faces=0, **FEW)
        unlearn("as_retrained", settings, model_dir, dataset_dir, tmp_path / "out")
        found.append(json.loads((tmp_path / "out" / "unlearning.json").read_text()))
    assert found[0]["model_digest"] != found[1]["model_digest"] and str(tmp_path) not in json.dumps(found)
