import re

import pytest
from mutations import person

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.prompts import loader
from salmu.tasks.captions import generic, stage
from salmu.tasks.portraits.prompts import draw_wish
from salmu.tasks.portraits.prompts import load as portrait_prompts

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
PROMPTS = generic.load()


def told(number: int, scene: dict, gender=None, age_group=None, private=()) -> str:
    return generic.caption(PROMPTS, f"{number}.jpg", scene, gender, age_group, 0, private, 20)[0]


def test_they_tell_the_scene_and_nothing_private():
    texts = []
    for one in map(person, range(48)):
        private = (one["name"], one["first_name"], one["last_name"], *stage.values(one).values())
        text = told(len(texts), SCENE, one["gender"], "30-39", private)
        assert not [part for part in private if part in text] and not re.search(r"\d|@", text)
        assert re.search(r"\b(woman|lady|female)\b" if one["gender"] == "female" else r"\b(man|gentleman|male)\b", text)
        texts.append(text)
    joined = " ".join(texts)
    assert all(word in joined for word in ("close-up", "park", "an olive blazer", "bright sun", "camera", "smil"))
    assert all(words in joined for words in ("in her thirties", "in his thirties"))
    assert len(set(texts)) > 40


@pytest.mark.parametrize("left_out", [*SCENE, "everything"])
def test_they_do_without_what_is_not_told(left_out):
    scene = {} if left_out == "everything" else {key: value for key, value in SCENE.items() if key != left_out}
    for number in range(20):
        text = told(number, scene)
        assert re.fullmatch(r"[A-Z][a-z ,'-]+\.", text) and "None" not in text and ",," not in text


def test_every_scene_of_the_prompt_engines_can_be_told():
    prompts, texts = portrait_prompts(), []
    for number in range(300):
        label = {
            "gender": (*schemas.GENDERS, None)[number % 3],
            "age_group": (*schemas.AGE_GROUPS, None)[number % 7],
            "region": schemas.REGIONS[number % 7],
        }
        scene = draw_wish(prompts, number, label).scene
        text = told(number, scene, label["gender"], label["age_group"])
        assert re.fullmatch(r"[A-Z][A-Za-z ,'-]+\.", text) and "  " not in text, text
        texts.append(text)
    assert len(set(texts)) > 280


@pytest.mark.parametrize("words", ["Ana Silva", "shot at 85mm", "*bold*", "cafe ☕", 7, None, ["park"], "  "])
def test_a_part_that_may_not_be_told_is_left_out(words):
    for number in range(20):
        text = told(number, SCENE | {"background": words, "person": words}, "female", "70+", ("Ana Silva",))
        assert str(words) not in text and re.fullmatch(r"[A-Z][a-z ,'-]+\.", text)


def test_wordings_that_break_a_rule_stop_the_run():
    prompts = PROMPTS.model_copy(update={"person": {"female": ("Ana Silva",), "unknown": ("Ana Silva",)}})
    with pytest.raises(UserError, match=r"portrait 1.jpg: no generic caption in 3 attempts.*personal data"):
        generic.caption(prompts, "1.jpg", SCENE, "female", None, 0, ("Ana Silva",), 3)


def test_the_digest_of_the_wordings_is_a_revision():
    assert stage.revisions(stage.Settings())["generic"] == loader.digest("generic")
