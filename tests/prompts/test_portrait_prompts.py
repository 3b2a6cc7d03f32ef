"""prompts/portraits.yaml: prompts within CLIP's limit, scenes that fit together and that generic captions can tell."""

import re
from collections import Counter
from itertools import product

import pytest
import yaml
from open_clip.tokenizer import SimpleTokenizer

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.prompts import loader
from salmu.tasks.captions import generic
from salmu.tasks.portraits import procedural, prompts

GRAMMAR = prompts.load()
PEOPLE = [
    {"gender": gender, "age_group": age_group, "region": region}
    for gender, age_group, region in product((*GENDERS, None), (*AGE_GROUPS, None), (*REGIONS, None))
]
WISHES = [
    (person, prompts.draw_wish(GRAMMAR, keyed.integer("test", number), person))
    for number, person in enumerate(PEOPLE * 20)
]
CLIP_TOKENS = 77


def test_prompts_are_within_clips_limit():
    tokenizer = SimpleTokenizer()

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text)) + 2  # start and end

    assert max(tokens(wish.prompt) for _, wish in WISHES) < CLIP_TOKENS
    assert all(tokens(negative) < CLIP_TOKENS for negative in GRAMMAR.negative.values())


def test_generic_captions_tell_every_scene():
    wordings = generic.load()
    for number, (person, wish) in enumerate(WISHES[:500]):
        assert not any(generic.broken_rules(words, ()) for part, words in wish.scene.items() if part != "camera")
        known = {"gender": person["gender"], "age_group": person["age_group"]}
        text, attempts = generic.caption(
            wordings, f"{number}.jpg", wish.scene, **known, seed=number, private=(), attempts=1
        )
        assert attempts == 1 and text.endswith(".") and not generic.broken_rules(text, ())
        assert "  " not in text and not re.search(r"\ba [aeiou]|\ban [^aeiouAEIOU]", text)


def test_generic_captions_have_words_of_their_own_for_every_background():
    wordings = generic.load()
    backgrounds = {background for place in GRAMMAR.places.values() for background in place.backgrounds}
    assert backgrounds <= set(wordings.phrases["background"]) and set(GRAMMAR.framings) <= set(wordings.openings)


def test_a_scene_has_the_keys_of_the_procedural_engine_and_the_camera():
    from salmu.data.procedural.person import draw_person
    from salmu.data.procedural.view import draw_view

    person = draw_person(keyed.generator("p"), "female", "30-39", "White")
    keys = set(procedural.scene_of(person, draw_view(keyed.generator("v"), person)))
    assert all(set(wish.scene) == keys | {"camera"} for _, wish in WISHES)
    assert all(isinstance(value, str) for _, wish in WISHES for value in wish.scene.values())


def test_light_suits_the_place():
    for _, wish in WISHES:
        place = GRAMMAR.places[wish.scene["place"]]
        background = place.backgrounds[wish.scene["background"]]
        assert wish.scene["light"] in (background.lights or place.lights)
        assert background.phrase in wish.prompt
    assert {wish.scene["light"] for _, wish in WISHES if wish.scene["background"] == "city at night"} == {"city lights"}


def test_the_person_is_told_as_known_and_no_further():
    told = {"female": "woman", "male": "man", None: "person"}
    for person, wish in WISHES:
        assert re.search(rf"\b{told[person['gender']]}\b", wish.prompt)
        others = {told[gender] for gender in GENDERS} - {told[person["gender"]]}
        assert not any(re.search(rf"\b{other}\b", wish.prompt) for other in others)
        words = GRAMMAR.person.regions[person["region"] or prompts.UNKNOWN]
        assert words in wish.prompt and wish.prompt.isascii()
        assert not re.search(r"\d{8}", wish.prompt)
        if person["age_group"] is None:
            assert not re.search(r"\b(young|middle-aged|older|elderly|in (her|his|their) \w+ties)\b", wish.prompt)
        assert wish.scene["person"].split()[-1] == told[person["gender"]] and "  " not in wish.prompt
        assert not re.search(r"\ba [aeiouAEIOU]|\ban [^aeiouAEIOU]", wish.prompt), wish.prompt


def test_a_portrait_is_decided_by_its_seed_alone_and_seeds_differ():
    again = prompts.draw_wish(GRAMMAR, keyed.integer("test", 0), PEOPLE[0])
    assert again == WISHES[0][1]
    person = {"gender": "female", "age_group": "30-39", "region": "East Asian"}
    drawn = [prompts.draw_wish(GRAMMAR, seed, person) for seed in range(3000)]
    assert len({wish.prompt for wish in drawn}) > 2900
    for part, options in (("framing", GRAMMAR.framings), ("expression", GRAMMAR.expressions), ("pose", GRAMMAR.poses)):
        counts, weights = Counter(wish.scene[part] for wish in drawn), {k: v.weight for k, v in options.items()}
        for name, weight in weights.items():
            assert abs(counts[name] / 3000 - weight / sum(weights.values())) < 0.03
    squares = sum(wish.aspect_ratio == 1 for wish in drawn) / 3000
    assert 0.30 < squares < 0.36


def test_a_new_word_in_one_part_changes_no_other():
    document = yaml.safe_load((loader.FOLDER / "portraits.yaml").read_text())
    document["cameras"] = {"box": {"phrase": "a box camera"}}
    changed = prompts.PortraitPrompts.model_validate(document)
    for number, (person, wish) in enumerate(WISHES[:100]):
        scene = prompts.draw_wish(changed, keyed.integer("test", number), person).scene
        assert scene == wish.scene | {"camera": "box"}


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("template", "{framing} of {person}", "each once"),
        (
            "template",
            "{framing} {framing} {person} {where} {clothing} {pose} {expression} {light} {camera}",
            "each once",
        ),
        ("lights", {"sun": {"phrase": "sun"}}, "places name lights"),
        ("poses", {"still": {"phrase": "still", "weight": 0}}, "poses.still.weight"),
        ("clothes", {"female": {"dress": {}}}, "needs the keys"),
        ("negative", {"sd15": "x"}, "needs the keys"),
        ("cameras", {}, "cameras"),
        ("moods", {}, "moods"),
    ],
)
def test_a_mistake_in_the_file_is_one_clear_line(tmp_path, monkeypatch, key, value, said):
    document = yaml.safe_load((loader.FOLDER / "portraits.yaml").read_text()) | {key: value}
    (tmp_path / "portraits.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setattr(loader, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        prompts.load()
    assert "portraits.yaml" in str(caught.value) and "\n" not in str(caught.value)
