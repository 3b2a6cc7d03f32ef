"""The small world: what is drawn is what the scene says, no picture is met twice, and the held-out pairs stay out."""

import numpy as np
import pytest

from salmu.data.keyed import generator
from salmu.data.procedural.scenes import HELD_OUT, Scene, Thing, draw_scene, render_scene
from salmu.data.procedural.scenes.compose import BESIDE
from salmu.data.procedural.scenes.grounds import CONTRAST, GROUNDS, painted
from salmu.data.procedural.scenes.objects import COLOURS, ROOMY, SHAPES, TEXTURES, tones

SIZE = 64
MIDDLE = SIZE // 2


def one(shape: str, colour: str, texture: str = "plain", ground: str = "concrete", angle: float = 0.0) -> Scene:
    thing = Thing(shape, colour, texture, 0.5, 0.5, 0.3, angle, (0.0, 0.0, 0.0))
    return Scene("single", (thing,), "large", "", ground, 0, False, 0.0)


def pixels_near(image: np.ndarray, colour: np.ndarray, tolerance: int = 40) -> np.ndarray:
    return np.abs(image.astype(int) - np.asarray(colour)).max(axis=2) <= tolerance


def drawn(count: int) -> list[Scene]:
    return [draw_scene(generator("test scenes", index)) for index in range(count)]


def test_the_world_is_as_rich_as_it_says():
    assert len(SHAPES) >= 12 and len(COLOURS) >= 10 and len(TEXTURES) >= 4 and len(GROUNDS) >= 8
    scenes = drawn(1000)
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    assert {scene.size for scene in scenes} == {"small", "medium", "large"}
    assert {len(scene.things) for scene in scenes if scene.kind == "count"} == {2, 3, 4, 5}
    assert {scene.relation for scene in scenes if scene.kind == "relation"} == {*BESIDE, "inside"}
    things = [thing for scene in scenes for thing in scene.things]
    assert {thing.shape for thing in things} == set(SHAPES) and {thing.texture for thing in things} == set(TEXTURES)


def test_same_key_same_scene_and_pixels_whatever_was_drawn_before():
    first, second = (draw_scene(generator("test", 5)) for _ in range(2))
    assert first == second
    pixels = render_scene(first, SIZE)
    for scene in drawn(20):
        render_scene(scene, SIZE)
    assert np.array_equal(render_scene(second, SIZE), pixels)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_plain_object_has_its_colour_and_leaves_the_ground_alone(colour):
    image = render_scene(one("square", colour), SIZE)
    assert tuple(image[MIDDLE, MIDDLE]) == COLOURS[colour]
    assert np.array_equal(image[:8], np.rint(painted("concrete", 0, SIZE)[:8]).astype(np.uint8))


@pytest.mark.parametrize("texture", TEXTURES[1:])
@pytest.mark.parametrize("colour", ("red", "yellow", "white"))
def test_a_texture_shows_both_tones_and_its_own_share_of_each(texture, colour):
    square = render_scene(one("square", colour, texture), SIZE)[18:46, 18:46]
    own, second = tones(colour, texture)
    shares = [pixels_near(square, tone, 20).mean() for tone in (own, second)]
    assert min(shares) >= 0.04 and sum(shares) >= 0.3
    assert np.abs(own - second).max() >= 80


def test_textures_differ_from_each_other():
    squares = {texture: render_scene(one("square", "blue", texture), SIZE).astype(float) for texture in TEXTURES}
    for texture, square in squares.items():
        for other, other_square in squares.items():
            assert texture == other or np.abs(square - other_square).mean() > 5, (texture, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_anti_aliased(shape):
    red = render_scene(one(shape, "red", ground="night", angle=0.1), SIZE)[:, :, 0]
    assert ((red > 70) & (red < COLOURS["red"][0] - 30)).sum() >= 20


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_the_area_of_its_outlines(shape):
    """Shoelace formula of the outlines against the pixels."""
    outer, *holes = (
        abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 for x, y in (part.T for part in SHAPES[shape])
    )
    expected = (outer - sum(holes)) * (0.3 * 256) ** 2
    covered = pixels_near(render_scene(one(shape, "blue", ground="paper"), 256), COLOURS["blue"], 60).sum()
    assert covered == pytest.approx(expected, rel=0.03)


def test_shapes_differ_from_each_other():
    areas = {shape: pixels_near(render_scene(one(shape, "blue"), SIZE), COLOURS["blue"]) for shape in SHAPES}
    for shape, area in areas.items():
        for other, other_area in areas.items():
            assert shape == other or (area & other_area).sum() / (area | other_area).sum() < 0.9, (shape, other)


def test_every_object_can_be_seen_on_its_ground():
    for scene in drawn(300):
        for thing in scene.things:
            for tone in GROUNDS[scene.ground].tones:
                assert np.linalg.norm(np.subtract(COLOURS[thing.colour], tone)) >= CONTRAST
            image, tone = render_scene(scene, SIZE), tones(thing.colour, thing.texture)[0] + np.array(thing.tint)
            assert pixels_near(image, tone, 45).sum() >= 12, thing


def test_objects_lie_inside_the_picture_and_apart_or_one_within_the_other():
    for scene in drawn(400):
        for thing in scene.things:
            assert thing.radius * 0.9 <= min(thing.x, thing.y) and max(thing.x, thing.y) <= 1 - thing.radius * 0.9
        if scene.kind in ("relation", "group"):
            for trait in ("colour", "shape"):
                assert len({getattr(thing, trait) for thing in scene.things}) == len(scene.things)
        for index, first in enumerate(scene.things):
            for second in scene.things[index + 1 :]:
                apart = np.hypot(first.x - second.x, first.y - second.y)
                if scene.relation == "inside":
                    assert second.shape in ROOMY and apart + first.radius < 0.6 * second.radius
                else:
                    assert apart > (first.radius + second.radius) * 0.9
        if scene.relation in BESIDE:
            (first, second), (across, down) = scene.things, BESIDE[scene.relation]
            assert (first.x - second.x) * across > 0 or (first.y - second.y) * down > 0


def test_what_is_inside_is_drawn_on_top():
    solid = ("circle", "square", "star", "cross", "heart")
    scene = next(scene for scene in drawn(2000) if scene.relation == "inside" and scene.things[0].shape in solid)
    inner = scene.things[0]._replace(texture="plain", tint=(0.0, 0.0, 0.0))
    image = render_scene(scene._replace(things=(inner, scene.things[1])), SIZE)
    assert tuple(image[int(inner.y * SIZE), int(inner.x * SIZE)]) == COLOURS[inner.colour]


def test_no_training_scene_holds_a_held_out_pair_but_each_colour_and_each_shape_is_met():
    met = {(thing.colour, thing.shape) for scene in drawn(4000) for thing in scene.things}
    assert not met & set(HELD_OUT)
    assert len(met) == len(COLOURS) * len(SHAPES) - len(HELD_OUT)  # every other pair is trained on
    assert len({colour for colour, _ in HELD_OUT}) == len({shape for _, shape in HELD_OUT}) == len(HELD_OUT)
