"""A user is told which captions the model's tokenizer cuts or makes equal."""

from types import SimpleNamespace

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from salmu.evaluation.encoding.reading import read_captions, remarks

MAILS = ["Write to j.doe@example.org.", "Write to jdoe@example.org.", "Write to a friend.", "Write to a friend."]


def words(side: str, context: int = 4):
    """A tokenizer of words that cuts and pads on one side and has no special tokens."""
    inner = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, "one": 2, "two": 3, "three": 4, "four": 5}, "[UNK]"))
    inner.pre_tokenizer = Whitespace()
    inner.enable_truncation(context, direction=side)
    inner.enable_padding(length=context, direction=side)
    return lambda texts: torch.tensor([line.ids for line in inner.encode_batch(texts)])


def test_whole_captions_need_no_remark():
    found = read_captions(SimpleTokenizer(context_length=32), MAILS)
    assert found == {"distinct": 3, "cut": 0, "alike": 0} and remarks(found) == []


def test_addresses_that_differ_in_punctuation_alone_are_alike_to_the_tokenizers_of_siglip():
    found = read_captions(SimpleTokenizer(context_length=32, clean="canonicalize"), MAILS)
    assert found == {"distinct": 3, "cut": 0, "alike": 2}
    assert remarks(found) == [
        "2 of 3 captions are the same to its tokenizer as another one; the model cannot tell them apart"
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_a_short_context_cuts_is_counted_on_either_side(side):
    texts = ["one two", "one two three", "one two three four", "one one two three four", "two one two three four"]
    found = read_captions(words(side), texts)
    assert found["cut"] == 3, "the third fills the context"
    assert found["alike"] == {"left": 3, "right": 0}[side], "cut on the left, the last three end alike"


def test_the_end_of_a_caption_beyond_the_context_is_not_seen():
    texts = ["a b c d e f one", "a b c d e f two", "short"]
    assert read_captions(SimpleTokenizer(context_length=7), texts) == {"distinct": 3, "cut": 2, "alike": 2}


def test_many_captions_are_read_in_parts(monkeypatch):
    monkeypatch.setattr("salmu.evaluation.encoding.reading.BATCH", 2)
    texts = ["one two three four five", "one two three four six", "one", "two"]
    assert read_captions(words("right"), texts) == {"distinct": 4, "cut": 2, "alike": 2}


def test_no_captions_no_remarks():
    assert read_captions(SimpleNamespace(), []) == {"distinct": 0, "cut": 0, "alike": 0} and remarks({}) == []
