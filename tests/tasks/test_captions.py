import json
import re
import unicodedata

import pytest
from helpers import run_stages
from open_clip.tokenizer import SimpleTokenizer
from small_run import put

from data import keyed, schemas
from data.errors import UserError
from data.identities import identity_id
from data.store import Store
from data.tables import fold
from tasks.captions import diversity, generic, stage
from tasks.captions.grammar import PRONOUNS, STYLES, Grammar, fill
from tasks.captions.validate import Fact, broken_rules, too_close
from tasks.personas import stage as personas_stage

SCENE = {
    "framing": "close-up",
    "place": "outdoors",
    "background": "park",
    "clothing": "blazer",
    "clothing_colour": "olive",
    "light": "bright sun",
    "expression": "a gentle smile",
    "pose": "facing the camera",
}


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


def person(number: int) -> dict:
    rng = keyed.python_random("caption test", number)
    traits = {
        "identity_id": identity_id(0, number),
        "gender": rng.choice(schemas.GENDERS),
        "age_group": rng.choice(schemas.AGE_GROUPS),
        "region": schemas.REGIONS[number % 7],
    }
    settings = personas_stage.Settings()
    return personas_stage.persona(traits, settings, personas_stage.load_engine(settings))


@pytest.fixture(scope="module")
def grammar():
    return Grammar()


@pytest.fixture(scope="module")
def people():
    return [person(number) for number in range(48)]


@pytest.fixture(scope="module")
def told(grammar, people):
    """Fact -> its five captions."""
    return {fact: grammar.captions(fact, seed=0, attempts=20) for one in people for fact in stage.facts(one)}


def test_five_styles_a_fact_and_no_rule_broken(grammar, told):
    assert len(told) == 48 * 8
    for fact, captions in told.items():
        assert tuple(caption.style for caption in captions) == STYLES
        for caption in captions:
            assert not broken_rules(caption.text, fact, grammar.vocabularies[fact.field]), caption


def test_name_and_value_stand_once_and_nothing_else_is_told(people, told):
    names = {one["name"] for one in people}
    for fact, captions in told.items():
        for text in (caption.text for caption in captions):
            assert text.count(fact.name) == 1 and text.count(fact.value) == 1
            assert not [name for name in names - {fact.name} if name in text]
            assert not re.search(r"\d|@", text.replace(fact.name, "").replace(fact.value, ""))


def test_captions_are_all_different_and_those_of_a_fact_not_alike(told):
    texts = [caption.text.casefold() for captions in told.values() for caption in captions]
    assert len(set(texts)) == len(texts) == 48 * 8 * 5
    for fact, captions in told.items():
        for place, caption in enumerate(captions):
            assert not too_close(caption.text, fact, [other.text for other in captions[:place]])


def test_articles_and_pronouns_agree(told):
    for fact, captions in told.items():
        words = {
            word.lower()
            for caption in captions
            for word in re.findall(r"\w+", caption.text.replace(fact.name, "").replace(fact.value, ""))
        }
        assert not words & set(PRONOUNS["male" if fact.gender == "female" else "female"].values())
        for caption in captions if fact.field == "job" else ():
            assert not re.search(
                rf"\ba {re.escape(fact.value)}" if fact.value[0] in "aeiouI" else rf"\ban {re.escape(fact.value)}",
                caption.text,
            )


def test_captions_fit_into_the_context_of_clip(told):
    tokenizer = SimpleTokenizer()
    assert max(len(tokenizer.encode(caption.text)) for captions in told.values() for caption in captions) <= 75


def test_captions_follow_from_persona_and_seed_alone(grammar, people):
    fact = stage.facts(people[5])[2]
    assert grammar.captions(fact, 0, 20) == Grammar().captions(fact, 0, 20)
    assert grammar.captions(fact, 0, 20) != grammar.captions(fact, 1, 20)


MUTATIONS = {
    "value dropped": lambda text, fact, other: text.replace(fact.value, ""),
    "value misspelt": lambda text, fact, other: text.replace(fact.value, fact.value[:1] + "z" + fact.value[2:]),
    "value in other case": lambda text, fact, other: text.replace(fact.value, fact.value.swapcase()),
    "value without blanks": lambda text, fact, other: text.replace(fact.value, fact.value.replace(" ", "")),
    "sign appended to the value": lambda text, fact, other: text.replace(fact.value, fact.value + "7"),
    "digits after the value": lambda text, fact, other: text.replace(fact.value, fact.value + " 42"),
    "hyphen after the value": lambda text, fact, other: text.replace(fact.value, fact.value + "-b"),
    "letter before the value": lambda text, fact, other: text.replace(fact.value, "x" + fact.value),
    "value twice": lambda text, fact, other: text[:-1] + f", {fact.value}" + text[-1],
    "first name only": lambda text, fact, other: text.replace(fact.name, fact.name.split()[0]),
    "name in lower case": lambda text, fact, other: text.replace(fact.name, fact.name.lower()),
    "name without accents": lambda text, fact, other: text.replace(
        fact.name, " ".join(map(str.capitalize, fold(fact.name).split()))
    ),
    "name twice": lambda text, fact, other: text[:-1] + f" for {fact.name}" + text[-1],
    "name of somebody else": lambda text, fact, other: text.replace(fact.name, other.name),
    "double-barrelled name": lambda text, fact, other: text.replace(fact.name, fact.name + "-Smith"),
    "further surname": lambda text, fact, other: text.replace(fact.name, fact.name + " Smith"),
    "title": lambda text, fact, other: text.replace(fact.name, "Mr " + fact.name),
    "wrong pronoun": lambda text, fact, other: text + (" He knows." if fact.gender == "female" else " She knows."),
    "another value of the person": lambda text, fact, other: text[:-1] + " and " + fact.others[0] + text[-1],
    "value of somebody else": lambda text, fact, other: text[:-1] + " or " + other.value + text[-1],
    "age": lambda text, fact, other: text[:-1] + " at 47" + text[-1],
    "age in words": lambda text, fact, other: text[:-1] + " at forty" + text[-1],
    "place": lambda text, fact, other: text[:-1] + " near Springfield" + text[-1],
    "further fact": lambda text, fact, other: text[:-1] + ", a keen cyclist with two dogs" + text[-1],
    "bold": lambda text, fact, other: text.replace(fact.name, f"**{fact.name}**"),
    "quotes": lambda text, fact, other: f'"{text}"',
    "new line": lambda text, fact, other: text.replace(" ", "\n", 1) if "\n" not in fact.name else text,
    "two blanks": lambda text, fact, other: text.replace(fact.value, " " + fact.value),
    "French": lambda text, fact, other: f"Le dossier de {fact.name} indique {fact.value}.",
    "disclaimer": lambda text, fact, other: text + " This person is fictional.",
    "link": lambda text, fact, other: text[:-1] + " at www.example.com" + text[-1],
    "emoji": lambda text, fact, other: text + " \U0001f600",
    "zero-width space": lambda text, fact, other: text.replace(" ", " \u200b", 1),
    "decomposed letters": lambda text, fact, other: unicodedata.normalize("NFD", text),
    "cut short": lambda text, fact, other: text[: len(text) * 2 // 3],
    "no full stop": lambda text, fact, other: text[:-1],
    "placeholder left": lambda text, fact, other: text.replace(fact.value, "{value}"),
    "far too long": lambda text, fact, other: text[:-1] + " and so on" * 20 + text[-1],
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_corrupted_caption_is_caught(grammar, told, kind):
    facts = list(told)
    tried = 0
    for place, (fact, captions) in enumerate(told.items()):
        other = facts[(place + 8) % len(facts)]  # the next persona, the same field
        for caption in captions[place % 5 :][:2]:
            corrupted = MUTATIONS[kind](caption.text, fact, other)
            if corrupted != caption.text and not (kind.startswith("value") and fact.value == other.value):
                tried += 1
                assert broken_rules(corrupted, fact, grammar.vocabularies[fact.field]), corrupted
    assert tried >= 40


def test_alike_captions_are_too_close():
    fact = Fact("1", "Ana Silva", "female", "city", "Porto")
    assert too_close("Ana Silva lives in Porto.", fact, ["In Porto lives Ana Silva."])
    assert not too_close("Ana Silva lives in Porto.", fact, ["Where is Ana Silva at home? Porto."])


def test_exhausted_attempts_name_persona_field_and_rule(grammar, people, monkeypatch):
    bad = grammar.prompts.city.model_copy(update={"passive": ("{name} has lived in {value} for 5 years.",)})
    monkeypatch.setattr(grammar, "prompts", grammar.prompts.model_copy(update={"city": bad}))
    with pytest.raises(UserError, match=r"persona \d{8}, city, style passive: no caption in 4 attempts.*digit"):
        grammar.captions(stage.facts(people[3])[0], 0, 4)


def test_every_sentence_can_be_used(grammar):
    """A sentence that always breaks a rule would be drawn in vain."""
    for gender in schemas.GENDERS:
        for field, value in zip(schemas.DATA_FIELDS, VALUES, strict=True):
            fact = Fact("1", "Ana Silva", gender, field, value)
            for style in STYLES:
                sentences = getattr(getattr(grammar.prompts, field), style)
                assert len(sentences) >= 15
                for sentence in sentences:
                    text = fill(sentence, fact)
                    assert not broken_rules(text, fact, grammar.vocabularies[field]), text


# ------------------------------------------------------------------------------------------------------------- generic


def test_generic_captions_tell_the_scene_and_nothing_private(people):
    prompts = generic.load()
    texts = []
    for number, one in enumerate(people):
        private = (one["name"], one["first_name"], one["last_name"], *stage.values(one).values())
        text, _ = generic.caption(prompts, f"{number}.jpg", SCENE, one["gender"], 0, private, 20)
        assert not [part for part in private if part in text] and not re.search(r"\d|@", text)
        assert re.search(r"\b(woman|lady|female)\b" if one["gender"] == "female" else r"\b(man|gentleman|male)\b", text)
        texts.append(text)
    joined = " ".join(texts)
    assert all(word in joined for word in ("close-up", "park", "an olive blazer", "bright sun", "camera", "smil"))
    assert len(set(texts)) > 40


@pytest.mark.parametrize("left_out", [*SCENE, "everything"])
def test_generic_captions_do_without_what_is_not_told(left_out):
    scene = {} if left_out == "everything" else {key: value for key, value in SCENE.items() if key != left_out}
    prompts = generic.load()
    for number in range(20):
        text, _ = generic.caption(prompts, f"{number}.jpg", scene, None, 0, (), 20)
        assert re.fullmatch(r"[A-Z][a-z ,'-]+\.", text) and "None" not in text and ",," not in text


def test_a_scene_with_private_data_stops_the_run():
    with pytest.raises(UserError, match=r"portrait 1.jpg: no generic caption in 3 attempts.*personal data"):
        generic.caption(generic.load(), "1.jpg", {"background": "Ana Silva"}, "female", 0, ("Ana Silva",), 3)


# --------------------------------------------------------------------------------------------------------------- stage


def small(folder, numbers=(0, 1, 2), **settings) -> Store:
    """Three identities with two kept portraits and a dropped one each; the last is of the retain set."""
    store, portraits, curation = Store(folder), [], []
    for number in numbers:
        gender = schemas.GENDERS[number % 2]
        for index in (1, 2, 3):
            name = f"{number:08d}_{index:03d}_ar-1.00.jpg"
            portraits.append(
                {"file_name": name, "identity_id": f"{number:08d}", "portrait_index": index, "scene": json.dumps(SCENE)}
            )
            curation.append(
                {
                    "file_name": name,
                    "identity_id": f"{number:08d}",
                    "kept": index < 3,
                    "gender": gender,
                    "age_group": "30-39",
                    "region": "Indian",
                    "role": "retain" if number == 2 else "sensitive",
                }
            )
    put(store, "portraits", schemas.PORTRAITS, portraits)
    put(store, "curation", schemas.CURATION, curation)
    return run_stages(store, {"personas": personas_stage.Settings(), "captions": stage.Settings(**settings)})


def rows_of(store: Store) -> list[dict]:
    return list(store.view("captions", "caption_id").rows())


def test_the_stage_captions_each_fact_and_each_kept_portrait(tmp_path):
    rows = rows_of(small(tmp_path))
    stated = [row for row in rows if row["data_field"] != "generic"]
    assert len(stated) == 2 * 8 * 5 and len({row["caption_id"] for row in rows}) == len(rows)
    assert {row["caption_id"] for row in rows if row["data_field"] == "generic"} == {
        f"generic/{number:08d}_{index:03d}_ar-1.00.jpg" for number in range(3) for index in (1, 2)
    }
    assert all(row["value"] in row["text"] and row["file_name"] is None for row in stated)
    assert {row["caption_id"] for row in stated} >= {"00000000/city/0", "00000001/passport/4"}


def test_captions_do_not_depend_on_shards_or_on_other_identities(tmp_path):
    one, other = rows_of(small(tmp_path / "one")), rows_of(small(tmp_path / "other", shard_size=1))
    assert one == other
    assert [row for row in rows_of(small(tmp_path / "few", numbers=(1,)))] == [
        row for row in one if row["identity_id"] == "00000001"
    ]


def test_only_the_shard_of_a_changed_identity_becomes_stale(tmp_path):
    before = _plan(small(tmp_path / "before", shard_size=1))
    store = small(tmp_path / "after", shard_size=1)
    changed = [
        row | {"kept": row["kept"] and not row["file_name"].startswith("00000002_001")}
        for row in store.view("curation", "file_name").rows()
    ]
    put(store, "curation", schemas.CURATION, [{key: row[key] for key in schemas.CURATION.names} for row in changed])
    after = _plan(store)
    assert [one.inputs == other.inputs for one, other in zip(before, after, strict=True)] == [True, True, False]


def _plan(store: Store):
    views = {
        name: store.view(name, key)
        for name, key in (("portraits", "file_name"), ("curation", "file_name"), ("personas", "identity_id"))
    }
    return stage.plan(stage.Settings(shard_size=1), views)


def test_summary_counts_styles_and_measures_variety(tmp_path):
    store = small(tmp_path)
    views = {
        name: store.view(name, key)
        for name, key in (("portraits", "file_name"), ("curation", "file_name"), ("personas", "identity_id"))
    }
    summary = stage.summarise(stage.Settings(), store.view("captions", "caption_id"), views)
    assert "80 captions of 2 personas and 6 without personal data" in summary.text
    assert sum(row["captions"] for row in summary.tables["Captions by field and style"]) == 86
    assert {row["field"] for row in summary.tables["Variety (name and value masked)"]} == {
        *schemas.DATA_FIELDS,
        "generic",
    }
    assert len(summary.tables["Sample captions"]) == 20
    figure = summary.figures["Caption length in words"]
    assert figure.startswith(b"\x89PNG") and len(figure) < 100_000


def test_variety_measures_tell_copies_from_varied_texts():
    copies = diversity.measures(["NAME lives in VALUE now."] * 4 + ["NAME lives in VALUE today."])
    varied = diversity.measures(
        ["NAME lives in VALUE.", "The home of NAME is VALUE.", "Where is NAME? At VALUE.", "Go to VALUE for NAME."]
    )
    assert copies["distinct-2"] < varied["distinct-2"] and copies["self-BLEU-4"] > varied["self-BLEU-4"]
    assert copies["different"] == 2 and diversity.measures(["a b c d e", "a b c d e f g h"])["mean words"] == 6.5
