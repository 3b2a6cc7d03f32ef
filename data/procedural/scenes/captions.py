"""Captions of scenes: a small grammar of noun phrases, places and sentence forms; every sentence is true of its scene.

The shape is always named, colour and texture mostly, size, place and ground seldom. Where colours and textures were
named always, they alone would tell the pictures of a batch apart, and a model would not learn the shapes.
"""

import numpy as np

from salmu.data.procedural.scenes.compose import NUMBERS, Scene, Thing, pick
from salmu.data.procedural.scenes.grounds import GROUNDS

PATTERNED = {"striped": "with stripes", "dotted": "with dots", "checkered": "with checks", "shaded": "with shading"}
RELATED = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "lower than"),
    "inside": ("inside", "in", "within"),
}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
BARE = 0.4  # share of the objects that are named by their shape alone
MIDDLE, EDGE = 0.09, 0.12  # distance from the centre up to which an object is in the middle, from which at a side
FORMS = (
    "{what}",
    "{what}",
    "a photo of {what}",
    "a picture of {what}",
    "an image of {what}",
    "a drawing of {what}",
    "a picture that shows {what}",
    "an image with {what}",
    "we see {what}",
    "here you can see {what}",
    "there {is} {what}",
    "here {is} {what}",
    "what you see {is} {what}",
)
FORMS_WITHOUT_PLACE = ("there {is} {what} here", "there {is} {what} in the picture")


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A natural caption that is true of the scene; the wording is drawn."""
    what = _WHAT[scene.kind](scene, rng)
    place = _place(scene, rng) if rng.random() < 0.2 else ""
    form = pick(rng, FORMS if place or rng.random() < 0.7 else FORMS_WITHOUT_PLACE)
    many = scene.kind == "count" and not what.startswith("a ")  # a pair is one
    return form.format(what=f"{what} {place}".strip(), **{"is": "are" if many else "is"})


def with_article(words: str) -> str:
    """The words behind "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def name(texture: str, colour: str, shape: str) -> str:
    """An object in words: "striped red star"; a plain one is a "red star"."""
    return " ".join((*(() if texture == "plain" else (texture,)), colour, shape))


def plural(noun: str) -> str:
    """The plural of a noun phrase that ends with a shape."""
    return f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"


def _noun(thing: Thing, rng: np.random.Generator, number: int = 1, size: str = "") -> str:
    """A noun phrase without article: "large striped red star", "red star with stripes", "star"."""
    bare, draw, inflect = rng.random() < BARE, rng.random(), plural if number > 1 else str
    front = f"{size} " if size else ""
    if bare:
        return inflect(f"{front}{thing.shape}")
    if thing.texture == "plain":
        words = f"plain {thing.colour}" if draw < 0.12 else thing.colour
        return inflect(f"{front}{words} {thing.shape}")
    if draw < 0.2:
        return f"{inflect(f'{front}{thing.colour} {thing.shape}')} {PATTERNED[thing.texture]}"
    return inflect(f"{front}{name(thing.texture, thing.colour, thing.shape)}")


def _single(scene: Scene, rng: np.random.Generator) -> str:
    size = {"medium": "medium-sized"}.get(scene.size, scene.size) if rng.random() < 0.15 else ""
    return with_article(_noun(scene.things[0], rng, size=size))


def _count(scene: Scene, rng: np.random.Generator) -> str:
    number = len(scene.things)
    word = NUMBERS[number] if rng.random() < 0.9 or number > 2 else "a pair of"
    return f"{word} {_noun(scene.things[0], rng, number)}"


def _relation(scene: Scene, rng: np.random.Generator) -> str:
    first, second, relation = *scene.things, scene.relation
    if relation in OPPOSITE:
        draw = rng.random()
        if draw < 0.15:
            return " and ".join(with_article(_noun(thing, rng)) for thing in (first, second))
        if draw < 0.5:
            first, second, relation = second, first, OPPOSITE[relation]
    return f"{with_article(_noun(first, rng))} {pick(rng, RELATED[relation])} {with_article(_noun(second, rng))}"


def _group(scene: Scene, rng: np.random.Generator) -> str:
    first, second, third = (with_article(_noun(thing, rng)) for thing in scene.things)
    return f"{first}, {second} and {third}"


_WHAT = {"single": _single, "count": _count, "relation": _relation, "group": _group}


def _place(scene: Scene, rng: np.random.Generator) -> str:
    """Where it all is: the ground, or for a lone object also the part of the picture."""
    if scene.kind == "single" and rng.random() < 0.4:
        return _part(scene.things[0])
    return pick(rng, GROUNDS[scene.ground].phrases)


def _part(thing: Thing) -> str:
    """The part of the picture that an object is in; nothing where that is unclear."""
    across, down = thing.x - 0.5, thing.y - 0.5
    if max(abs(across), abs(down)) <= MIDDLE:
        return "in the middle"
    column = ("left" if across < 0 else "right") if abs(across) >= EDGE else ""
    row = ("top" if down < 0 else "bottom") if abs(down) >= EDGE else ""
    if row and column:
        return f"in the {row} {column} corner"
    return f"at the {row}" if row else f"on the {column}" if column else ""
