"""Everyday portraits: people who are in no run, each on one picture with a caption of what anybody can see.

They are drawn by the code that draws a run's people (data.procedural.person, view, render), keyed apart from all runs,
so that a model learns what people, clothes and places look like without meeting an identity.
"""

import cv2
import numpy as np

from salmu.data.keyed import generator
from salmu.data.procedural.person import Person, draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.scenes.captions import with_article
from salmu.data.procedural.scenes.compose import pick
from salmu.data.procedural.view import View, draw_view
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

WIDEST = 1.5  # aspect ratios beyond are drawn at this one: the square of the model would squash away the rest
NOUNS, THEM = {"female": "woman", "male": "man"}, {"female": "her", "male": "him"}
FORMS = (
    "{who}",
    "a photo of {who}",
    "a picture of {who}",
    "a portrait of {who}",
    "a snapshot of {who}",
    "an image of {who}",
    "this is {who}",
    "we see {who}",
    "a picture that shows {who}",
)
CLOTHED = ("in {clothes}", "wearing {clothes}", "who wears {clothes}", "dressed in {clothes}")
MOODS = {  # before the noun, after the clothes
    "a gentle smile": ("smiling", "with a smile"),
    "a broad smile": ("smiling", "with a broad smile"),
    "a laugh": ("laughing", "with a laugh"),
    "a surprised look": ("surprised", "with a surprised look"),
    "a serious look": ("serious", "with a serious face"),
}
WHERE = {
    "plain wall": ("in front of a wall", "indoors"),
    "living room": ("in a living room", "at home", "indoors"),
    "office": ("in an office", "at work", "indoors"),
    "bookshelf": ("in front of a bookshelf", "with books behind {them}", "indoors"),
    "cafe": ("in a cafe", "indoors"),
    "kitchen": ("in a kitchen", "at home in the kitchen", "indoors"),
    "brick wall": ("in front of a brick wall", "indoors"),
    "studio": ("in a studio", "indoors"),
    "street": ("on a street", "in the street", "outdoors"),
    "park": ("in a park", "under the trees", "outdoors"),
    "beach": ("on a beach", "at the seaside", "outdoors"),
    "mountains": ("in the mountains", "in front of mountains", "outdoors"),
    "city at night": ("in a city at night", "at night in town", "outdoors"),
    "garden": ("in a garden", "outdoors"),
}


def everyday_pair(seed: int, index: int, size: int) -> tuple[np.ndarray, str]:
    """The index-th everyday portrait of a seed, uint8 [size, size, 3], and its caption.

    The picture is squashed to the square, as the pictures of a dataset are for these models."""
    rng = generator(seed, "everyday portraits", index)
    person = draw_person(rng, pick(rng, GENDERS), pick(rng, AGE_GROUPS), pick(rng, REGIONS))
    view = draw_view(rng, person)
    ratio = min(max(view.aspect_ratio, 1 / WIDEST), WIDEST)
    width, height = round(size * max(ratio, 1)), round(size * max(1 / ratio, 1))
    image = render(person, view, width, height).image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), _caption(person, view, rng)


def _caption(person: Person, view: View, rng: np.random.Generator) -> str:
    """True of what is drawn: who it is, and one or more of clothes, mood and place."""
    parts = ["clothes", "where"] + ["mood"] * (view.expression in MOODS)
    told = set(rng.permutation(parts)[: rng.integers(1, len(parts) + 1)].tolist())
    before = after = ""
    if "mood" in told and rng.random() < 0.5:
        before = MOODS[view.expression][0]
    elif "mood" in told:
        after = MOODS[view.expression][1]
    clothes = pick(rng, CLOTHED).format(clothes=with_article(_clothes(view))) if "clothes" in told else ""
    where = pick(rng, WHERE[view.background]).format(them=THEM[person.gender]) if "where" in told else ""
    who = " ".join(filter(None, (_who(person, before, rng), clothes, after, where)))
    return pick(rng, FORMS).format(who=who)


def _who(person: Person, mood: str, rng: np.random.Generator) -> str:
    """The person without a name: "a smiling young woman", "an old man with a beard"."""
    traits, age = [], "young" if person.age < 32 else "old" if person.age >= 68 else ""
    if person.glasses_style != "none":
        traits.append("with glasses")
    if person.beard_style in ("short beard", "full beard"):
        traits.append("with a beard")
    front = " ".join(filter(None, (mood, age if rng.random() < 0.4 else "", NOUNS[person.gender])))
    return f"{with_article(front)} {pick(rng, traits)}" if traits and rng.random() < 0.4 else with_article(front)


def _clothes(view: View) -> str:
    if view.clothing == "denim jacket":  # the view's colour and pattern are those of what is under it
        return "denim jacket"
    pattern = "" if view.pattern == "plain" else f"{view.pattern} "
    return f"{pattern}{view.clothing_colour} {view.clothing}"
