"""Captions of the small world are true of their pictures, various, and well formed; the zero-shot set is held out."""

import re
from itertools import permutations

import numpy as np
import pytest

from salmu.data.keyed import generator
from salmu.data.procedural.scenes import (
    CLASS_NAMES,
    HELD_OUT,
    UNSEEN,
    Scene,
    Thing,
    caption,
    draw_scene,
    everyday,
    everyday_pair,
    render_scene,
    zero_shot_set,
)
from salmu.data.procedural.scenes.captions import PATTERNED
from salmu.data.procedural.scenes.compose import NUMBERS
from salmu.data.procedural.scenes.objects import COLOURS, SHAPES, TEXTURES
from salmu.data.procedural.view import COLOURS as CLOTHES_COLOURS

ABOVE = ("above", "over", "higher than")
BELOW = ("below", "under", "lower than")
PLURALS = {f"{shape}es" if shape.endswith("s") else f"{shape}s": shape for shape in SHAPES}
NOUN = re.compile(
    rf"(?:\b(?P<texture>{'|'.join(TEXTURES[1:])}) )?(?:\b(?P<colour>{'|'.join(COLOURS)}) )?"
    rf"\b(?P<shape>{'|'.join([*PLURALS, *SHAPES])})\b(?: (?P<pattern>{'|'.join(PATTERNED.values())}))?"
)


def captioned(count: int) -> list[tuple[Scene, str]]:
    drawn = []
    for index in range(count):
        rng = generator("test captions", index)
        scene = draw_scene(rng)
        drawn.append((scene, caption(scene, rng)))
    return drawn


def told_objects(text: str) -> list[tuple[str, str | None, str]]:
    """Texture, colour (None if not told) and shape of each object that a caption names."""
    by_words = {words: texture for texture, words in PATTERNED.items()}
    return [
        (
            match["texture"] or by_words.get(match["pattern"], "plain"),
            match["colour"],
            PLURALS.get(match["shape"], match["shape"]),
        )
        for match in NOUN.finditer(text)
    ]


def fits(told: tuple[str, str | None, str], thing: Thing) -> bool:
    """An object is named by its shape, or by shape, colour and texture."""
    texture, colour, shape = told
    return shape == thing.shape and (colour is None or (texture, colour) == (thing.texture, thing.colour))


def test_a_caption_names_every_object_and_nothing_else():
    bare = 0
    for scene, text in captioned(1500):
        told, things = told_objects(text), scene.things[: 1 if scene.kind == "count" else None]
        assert any(all(map(fits, told, order)) for order in permutations(things)) and len(told) == len(things), text
        bare += sum(colour is None for _, colour, _ in told)
    assert 300 < bare < 900  # of about 1900


def test_number_size_relation_and_part_are_those_of_the_scene():
    seen = set()
    for scene, text in captioned(2500):
        numbers = {number for number, word in NUMBERS.items() if f"{word} " in text}
        numbers |= {2} if "a pair of" in text else set()
        assert numbers == ({len(scene.things)} if scene.kind == "count" else set()), text
        for size in ("small", "medium-sized", "large"):
            assert size not in text or scene.size == size.removesuffix("-sized"), text
        if scene.relation:
            seen |= check_relation(scene, text)
        if scene.kind == "single":
            (thing,) = scene.things
            for words, true in {
                "left": thing.x < 0.5,
                "right": thing.x > 0.5,
                "at the top": thing.y < 0.5,
                "the bottom": thing.y > 0.5,
                "in the middle": np.hypot(thing.x - 0.5, thing.y - 0.5) < 0.15,
            }.items():
                assert words not in text or true, text
                seen |= {words} if words in text else set()
    assert len(seen) == 18


def check_relation(scene: Scene, text: str) -> set[str]:
    """The words of relation in the text, which all hold; nothing where the text leaves open which object is which."""
    told = told_objects(text)
    orders = [order for order in permutations(scene.things) if all(map(fits, told, order))]
    if len(orders) != 1:
        return set()
    (first, second), (one, other) = orders[0], NOUN.finditer(text)
    truths = {
        "left of": first.x < second.x,
        "on the left": first.x < second.x,
        "right of": first.x > second.x,
        "on the right": first.x > second.x,
        **{word: first.y < second.y for word in ABOVE},
        **{word: first.y > second.y for word in BELOW},
        "inside": scene.relation == "inside" and first.radius < second.radius,
        "within": scene.relation == "inside" and first.radius < second.radius,
        " in a": scene.relation == "inside" and first.radius < second.radius,
    }
    used = {words for words in truths if words in text[one.end() : other.start()]}
    assert all(truths[words] for words in used) and (used or " and " in text), text
    return used


def test_captions_are_english():
    drawn = captioned(1500)
    for scene, text in drawn:
        assert all((match["shape"] in PLURALS) == (scene.kind == "count") for match in NOUN.finditer(text)), text
        assert re.fullmatch(r"[a-z ,-]+", text) and "  " not in text and text == text.strip()
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert (article == "an") == (word[0] in "aeiou"), text
        assert not re.search(r"\b(is (two|three|four|five)|are an? )", text), text
    texts = [text for _, text in drawn]
    forms = {NOUN.sub("thing", text) for text in texts}
    assert len(set(texts)) > 1200 and len(forms) > 250  # of 1500


def test_zero_shot_set_is_balanced_and_held_out_from_training_scenes():
    images, labels, names, templates = zero_shot_set(seed=0, size=32, per_class=2)
    assert images.shape == (2 * len(names), 32, 32, 3) and images.dtype == np.uint8
    assert len(names) == len(set(names)) >= 200 and names == CLASS_NAMES
    assert np.array_equal(np.bincount(labels), np.full(len(names), 2))
    assert all("{}" in template for template in templates) and len(templates) > 1
    seen = {render_scene(draw_scene(generator(0, "scenes", "retain", index)), 32).tobytes() for index in range(500)}
    held_out = {image.tobytes() for image in images}
    assert len(held_out) == len(images) and not seen & held_out
    unseen = {tuple(name.split()[-2:]) for name, out in zip(names, UNSEEN, strict=True) if out}
    assert unseen == set(HELD_OUT)
    other = zero_shot_set(seed=1, size=32, per_class=2)[0]
    assert not held_out & {image.tobytes() for image in other}


def test_the_names_of_the_classes_are_the_words_of_the_captions():
    objects = [words for _, text in captioned(5000) for words in told_objects(text) if words[1]]
    told = {" ".join(filter("plain".__ne__, words)) for words in objects}
    seen = {name for name, out in zip(CLASS_NAMES, UNSEEN, strict=True) if not out}
    assert len(seen & told) > 0.95 * len(seen)
    assert not {name for name, out in zip(CLASS_NAMES, UNSEEN, strict=True) if out} & told


@pytest.fixture
def strangers(monkeypatch):
    """Everyday portraits as (person, view, caption); what is drawn is recorded in place of being rendered."""
    drawn = []

    def record(person, view, width, height):
        drawn.append((person, view))
        return type("Rendered", (), {"image": np.zeros((height, width, 3), np.uint8)})

    monkeypatch.setattr(everyday, "render", record)
    texts = [everyday_pair(0, index, 48)[1] for index in range(400)]
    return [(person, view, text) for (person, view), text in zip(drawn, texts, strict=True)]


def test_an_everyday_caption_is_true_of_its_portrait(strangers):
    told = set()
    for person, view, text in strangers:
        assert f"{'woman' if person.gender == 'female' else 'man'}" in text.split(), text
        truths = {
            "young": person.age < 35,
            "old": person.age > 65,
            "with glasses": person.glasses_style != "none",
            "with a beard": "beard" in person.beard_style,
            "outdoors": view.place == "outdoors",
            "indoors": view.place == "indoors",
            "smil": view.smile > 0.2,
            "laugh": view.mouth_open > 0.3 and view.smile > 0.5,
            view.clothing: True,
        }
        for words, true in truths.items():
            assert true or not re.search(rf"\b{words}", text), text
            told |= {words} if words in text else set()
        colours = [colour for colour in CLOTHES_COLOURS if re.search(rf"\b{colour} ", text)]
        assert not colours or view.clothing_colour in colours, text
        for pattern in ("striped", "checked"):
            assert pattern not in text or view.pattern == pattern, text
        for place in ("beach", "kitchen", "office", "street", "park", "garden", "cafe", "mountains"):
            assert place not in text or place in view.background, text
        assert not re.search(r"\d|@|  ", text) and not re.search(r"\ba [aeio]|\ban [^aeio]", text), text
    assert len(told) >= 16 and len({text for *_, text in strangers}) > 300


def test_everyday_people_are_all_different_and_do_not_depend_on_order(strangers):
    people = [person for person, *_ in strangers]
    assert len({person.model_dump_json() for person in people}) == len(people)
    first = everyday_pair(3, 7, 48)
    everyday_pair(3, 8, 48)
    again = everyday_pair(3, 7, 48)
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]


def test_an_everyday_portrait_shows_somebody():
    image, text = everyday_pair(0, 0, 48)
    assert image.shape == (48, 48, 3) and image.dtype == np.uint8 and image.std() > 20
    assert not np.array_equal(image, everyday_pair(1, 0, 48)[0])
