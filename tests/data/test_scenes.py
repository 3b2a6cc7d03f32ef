import numpy as np
import pytest

from data.keyed import generator
from data.procedural.scenes import (
    CLASS_NAMES,
    COLOURS,
    RELATIONS,
    SHAPES,
    Scene,
    Thing,
    caption,
    draw_scene,
    render_scene,
    zero_shot_set,
)

SIZE = 64


def one(shape: str, colour: str) -> Scene:
    thing = Thing(shape, colour, 0.5, 0.5, 0.3, 0.0, (0.0, 0.0, 0.0))
    return Scene("single", (thing,), "large", "", "grey", "plain", 0.0, 0)


def pixels_near(image: np.ndarray, colour: str, tolerance: int = 40) -> np.ndarray:
    return np.abs(image.astype(int) - COLOURS[colour]).max(axis=2) <= tolerance


def test_same_key_same_scene_caption_and_pixels():
    first, second = (draw_scene(generator("test", 5)) for _ in range(2))
    assert first == second
    assert caption(first, generator("words")) == caption(second, generator("words"))
    assert np.array_equal(render_scene(first, SIZE), render_scene(second, SIZE))


@pytest.mark.parametrize("colour", COLOURS)
def test_object_has_its_colour_and_the_ground_its_grey(colour):
    image = render_scene(one("square", colour), SIZE)
    assert tuple(image[SIZE // 2, SIZE // 2]) == COLOURS[colour]
    assert tuple(image[2, 2]) == (128, 128, 128)


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_anti_aliased(shape):
    red = render_scene(one(shape, "red"), SIZE)[:, :, 0]
    between = (red > 128 + 8) & (red < COLOURS["red"][0] - 8)
    assert between.sum() >= 20


def test_shapes_differ_from_each_other():
    areas = {shape: pixels_near(render_scene(one(shape, "blue"), SIZE), "blue") for shape in SHAPES}
    for shape, area in areas.items():
        for other, other_area in areas.items():
            if shape < other:
                assert (area & other_area).sum() / (area | other_area).sum() < 0.9, (shape, other)


def test_a_ring_has_a_hole_and_a_circle_has_none():
    centre = SIZE // 2
    assert tuple(render_scene(one("ring", "green"), SIZE)[centre, centre]) == (128, 128, 128)
    assert tuple(render_scene(one("circle", "green"), SIZE)[centre, centre]) == COLOURS["green"]


def test_captions_are_true_of_the_picture():
    """Whatever the wording says of colour, shape, number and relation is in the scene, and the colour in the pixels."""
    kinds = set()
    for index in range(300):
        rng = generator("test captions", index)
        scene = draw_scene(rng)
        text, image = caption(scene, rng), render_scene(scene, SIZE)
        kinds.add(scene.kind)
        for thing in scene.things:
            assert thing.colour in text and thing.shape in text
            assert pixels_near(image, thing.colour).sum() >= 20
        assert "None" not in text and "  " not in text
        if scene.kind == "count":
            assert {2: "two", 3: "three", 4: "four"}[len(scene.things)] in text
        if scene.kind == "relation":
            assert scene.relation in text
            first, second = scene.things
            across, down = RELATIONS[scene.relation]
            assert (first.x - second.x) * across > 0 or (first.y - second.y) * down > 0
    assert kinds == {"single", "count", "relation"}


def test_objects_lie_inside_the_picture_and_apart():
    for index in range(300):
        things = draw_scene(generator("test places", index)).things
        for thing in things:
            assert thing.radius * 0.9 <= min(thing.x, thing.y) and max(thing.x, thing.y) <= 1 - thing.radius * 0.9
        for first, second in zip(things, things[1:]):
            assert np.hypot(first.x - second.x, first.y - second.y) > (first.radius + second.radius) * 0.9


def test_zero_shot_set_is_balanced_and_held_out_from_training_scenes():
    from model_training.retain import scene_pairs

    images, labels, names, templates = zero_shot_set(seed=0, size=32, per_class=3)
    assert images.shape == (192, 32, 32, 3) and images.dtype == np.uint8
    assert len(names) == 64 == len(set(names)) and names == CLASS_NAMES
    assert np.array_equal(np.bincount(labels), np.full(64, 3))
    assert all("{}" in template for template in templates)
    for image, label in zip(images, labels):
        assert pixels_near(image, names[label].split()[0]).sum() >= 5
    seen = {image.tobytes() for image in scene_pairs(seed=0, count=500, size=32).images}
    held_out = {image.tobytes() for image in images}
    assert len(held_out) == 192 and not seen & held_out
