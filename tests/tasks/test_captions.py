import re

import pytest
from mutations import MUTATIONS, corrupted, facts_of, person
from open_clip.tokenizer import SimpleTokenizer

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.tasks.captions import diversity
from salmu.tasks.captions.grammar import PRONOUNS, STYLES, Grammar, expanded, fill
from salmu.tasks.captions.paraphrase import vocabularies
from salmu.tasks.captions.validate import RULES, Fact, article, broken_rules, clip_tokens, too_close

VALUES = (
    "Porto",
    "artist",
    "AB-",
    "+351 96 0",
    "a@mail.example.org",
    "PT50 1",
    "9910 1",
    "AB123",
)  # of the data fields


@pytest.fixture(scope="module")
def grammar():
    return Grammar()


@pytest.fixture(scope="module")
def wide(grammar):
    """The words that a language model may use: more than the grammar's."""
    return vocabularies(grammar)


@pytest.fixture(scope="module")
def told(grammar):
    """Fact -> its five captions."""
    people = [person(number) for number in range(48)]
    return {fact: grammar.captions(fact, seed=0, attempts=20) for fact in facts_of(people)}


def test_five_styles_a_fact_and_no_rule_broken(grammar, told):
    assert len(told) == 48 * 8
    for fact, captions in told.items():
        assert tuple(caption.style for caption in captions) == STYLES
        for caption in captions:
            assert not broken_rules(caption.text, fact, grammar.vocabularies[fact.field]), caption


def test_name_and_value_stand_once_and_nothing_else_is_told(told):
    names = {fact.name for fact in told}
    for fact, captions in told.items():
        for text in (caption.text for caption in captions):
            assert text.count(fact.name) == 1 and text.count(fact.value) == 1
            rest = text.replace(fact.name, "").replace(fact.value, "")
            assert not [name for name in names if name in rest] and not re.search(r"\d|@", rest)


def test_captions_are_all_different_and_those_of_a_fact_not_alike(told):
    texts = [caption.text.casefold() for captions in told.values() for caption in captions]
    assert len(set(texts)) == len(texts) == 48 * 8 * 5
    for fact, captions in told.items():
        for place, caption in enumerate(captions):
            assert not too_close(caption.text, fact, [other.text for other in captions[:place]])


def test_articles_and_pronouns_agree(told):
    jobs = {"a": ("university lecturer", "barrister's clerk", "dentist"), "an": ("IT consultant", "artist", "early")}
    for fact, captions in told.items():
        words = {
            word.lower()
            for caption in captions
            for word in re.findall(r"\w+", caption.text.replace(fact.name, "").replace(fact.value, ""))
        }
        assert not words & set(PRONOUNS["male" if fact.gender == "female" else "female"].values())
        for caption in captions if fact.field == "job" else ():
            found = re.search(rf"\b(an?) {re.escape(fact.value)}", caption.text, re.I)
            assert not found or fact.value.startswith(jobs[found[1].lower()])


@pytest.mark.parametrize(
    "words, expected",
    [
        ("IT consultant", "an"),
        ("MRI technician", "an"),
        ("UX designer", "a"),
        ("university lecturer", "a"),
        ("hourly worker", "an"),
        ("haematologist", "a"),
        ("AB+", "an"),
        ("O-", "an"),
        ("B+", "a"),
        ("unintended", "an"),
    ],
)
def test_an_article_is_the_spoken_one(words, expected):
    assert article(words) == expected


def test_captions_fit_into_the_context_of_clip(told):
    tokenizer = SimpleTokenizer()
    counts = {caption.text: len(tokenizer.encode(caption.text)) for captions in told.values() for caption in captions}
    assert max(counts.values()) <= 75
    assert all(clip_tokens(text) >= count for text, count in counts.items())
    long = "Ana Silva " + "qzx" * 50 + "."
    assert clip_tokens(long) == len(tokenizer.encode(long)) > 75
    fact = Fact("1", "Ana Silva", "female", "city", "qzx" * 50)
    assert "too long for CLIP" in broken_rules(f"Ana Silva lives in {fact.value}.", fact, frozenset({"lives", "in"}))


def test_captions_follow_from_persona_and_seed_alone(grammar):
    fact = facts_of([person(5)])[2]
    assert grammar.captions(fact, 0, 20) == Grammar().captions(fact, 0, 20)
    assert grammar.captions(fact, 0, 20) != grammar.captions(fact, 1, 20)


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_corrupted_caption_is_caught(wide, told, kind):
    captions = {fact: [caption.text for caption in group] for fact, group in told.items()}
    tried = 0
    for fact, text in corrupted(kind, captions, 160):
        tried += 1
        assert broken_rules(text, fact, wide[fact.field]), text
    assert tried >= 100


def test_every_rule_is_broken_by_something(wide, told):
    captions = {fact: [caption.text for caption in group] for fact, group in told.items()}
    seen = {
        rule
        for kind in MUTATIONS
        for fact, text in corrupted(kind, captions, 40)
        for rule in broken_rules(text, fact, wide[fact.field])
    }
    fact = Fact("1", "Ana Silva", "female", "job", "artist")
    seen.update(broken_rules("Ana Silva works as a artist.", fact, wide["job"]))
    assert seen == set(RULES) - {"style", "copy", "fact", "too close to another style", "too long for CLIP"}


def test_alike_captions_are_too_close():
    fact = Fact("1", "Ana Silva", "female", "city", "Porto")
    assert too_close("Ana Silva lives in Porto.", fact, ["In Porto lives Ana Silva."])
    assert not too_close("Ana Silva lives in Porto.", fact, ["Where is Ana Silva at home? Porto."])


def test_exhausted_attempts_name_persona_field_and_rule(monkeypatch):
    grammar = Grammar()
    bad = grammar.prompts.city.model_copy(update={"passive": ("{name} has lived in {value} for 5 years.",)})
    monkeypatch.setattr(grammar, "prompts", grammar.prompts.model_copy(update={"city": bad}))
    with pytest.raises(UserError, match=r"persona \d{8}, city, style passive: no caption in 4 attempts.*digit"):
        grammar.captions(facts_of([person(3)])[0], 0, 4)


def test_twenty_sentences_a_style_and_each_can_be_used(grammar):
    """A sentence that always breaks a rule would be drawn in vain."""
    for gender in schemas.GENDERS:
        for field, value in zip(schemas.DATA_FIELDS, VALUES, strict=True):
            fact = Fact("1", "Ana Silva", gender, field, value)
            for style in STYLES:
                sentences = grammar.prompts.sentences(field, style)
                assert len(sentences) >= 20
                for sentence in (one for written in sentences for one in expanded(written)):
                    text = fill(sentence, fact)
                    assert not broken_rules(text, fact, grammar.vocabularies[field]), text
                    assert ("?" in text) == (style == "question_answer"), text
                    assert style != "possessive" or "{name}'s" in sentence, text


def test_choices_in_a_sentence_are_all_combined():
    assert expanded("{name} (is|was) (here|there) {value}.") == [
        "{name} is here {value}.",
        "{name} is there {value}.",
        "{name} was here {value}.",
        "{name} was there {value}.",
    ]


def test_variety_measures_tell_copies_from_varied_texts():
    copies = diversity.measures(["NAME lives in VALUE now."] * 4 + ["NAME lives in VALUE today."])
    varied = diversity.measures(
        ["NAME lives in VALUE.", "The home of NAME is VALUE.", "Where is NAME? At VALUE.", "Go to VALUE for NAME."]
    )
    assert copies["distinct-2"] < varied["distinct-2"] and copies["self-BLEU-4"] > varied["self-BLEU-4"]
    assert copies["different"] == 2 and diversity.measures(["a b c d e", "a b c d e f g h"])["mean words"] == 6.5
    assert diversity.measures(["one two three four five"] * 9)["self-BLEU-4"] == 1
