"""The procedural faces: the same bytes from the same key, faces inside the picture, people who differ visibly."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmu.data import keyed
from salmu.data.procedural.person import REGION_TRAITS, Person, age_group_of, draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.view import ASPECT_RATIOS, CLOTHES, FRAMINGS, PLACES, anchor_view, draw_view
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

SMALLEST_FACE = 35  # pixels at a short side of 128


def person_of(number: int, **demographics) -> Person:
    wanted = {
        "gender": GENDERS[number % 2],
        "age_group": AGE_GROUPS[number % 6],
        "region": REGIONS[number % 7],
    } | demographics
    return draw_person(keyed.generator("test", "person", number), **wanted)


def view_of(number: int, person=None, **changes):
    return draw_view(keyed.generator("test", "view", number), person).model_copy(update=changes)


def size_of(aspect_ratio: float, short: int = 128) -> tuple[int, int]:
    return (short, round(short / aspect_ratio)) if aspect_ratio <= 1 else (round(short * aspect_ratio), short)


def anchor(person: Person, number: int = 0) -> np.ndarray:
    return render(person, anchor_view(keyed.generator("test", "anchor", number), person), 128, 128).image


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean difference of the middle of two pictures, where the face is, after a blur that hides noise."""
    middle = [cv2.GaussianBlur(image[30:110, 34:94].astype(np.float32), (0, 0), 2) for image in (first, second)]
    return float(np.abs(middle[0] - middle[1]).mean())


def test_people_have_at_least_forty_parameters():
    assert sum(isinstance(value, float) for value in person_of(0).model_dump().values()) >= 40


def test_a_key_gives_the_same_person_and_json_keeps_them():
    assert person_of(3) == person_of(3) != person_of(4, gender="male", age_group="50-59", region="East Asian")
    assert Person.model_validate_json(person_of(3).model_dump_json()) == person_of(3)


def test_people_are_adults_of_their_age_group():
    for number in range(300):
        person = person_of(number)
        assert 20 <= person.age <= 85
        assert age_group_of(person.age) == person.age_group == AGE_GROUPS[number % 6]


def test_regions_name_existing_traits():
    assert set(REGION_TRAITS) == set(REGIONS)
    assert all(set(changes) <= set(Person.model_fields) for changes in REGION_TRAITS.values())


@pytest.mark.parametrize(
    ("trait", "group", "low", "high"),
    [
        ("hair_grey", "age_group", "20-29", "70+"),
        ("wrinkles", "age_group", "20-29", "70+"),
        ("jaw_width", "gender", "female", "male"),
        ("lashes", "gender", "male", "female"),
        ("skin_tone", "region", "White", "Black"),
        ("nose_hump", "region", "East Asian", "Middle Eastern"),
    ],
)
def test_demographics_shape_the_face(trait, group, low, high):
    less, more = (
        np.mean([getattr(person_of(number, **{group: value}), trait) for number in range(60)]) for value in (low, high)
    )
    assert less < more


def test_rendering_repeats_to_the_byte_whatever_the_threads_and_the_order():
    person = person_of(5)
    views = [view_of(number, person) for number in range(4)]
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        first = [render(person, view, 128, 160).image for view in views]
        cv2.setNumThreads(4)
        again = [render(person, view, 128, 160).image for view in reversed(views)][::-1]
    finally:
        cv2.setNumThreads(threads)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    number=st.integers(0, 10_000),
    ratio=st.sampled_from(sorted(ASPECT_RATIOS)),
    framing=st.sampled_from(sorted(FRAMINGS)),
)
def test_faces_lie_inside_the_picture_and_are_large_enough(number, ratio, framing):
    person = person_of(number)
    scale = float(keyed.generator("test", "scale", number).uniform(*FRAMINGS[framing]))
    width, height = size_of(ratio)
    image, boxes, landmarks = render(
        person, view_of(number, person, aspect_ratio=ratio, framing=framing, scale=scale), width, height
    )
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    (x1, y1, x2, y2), points = boxes[0], landmarks[0]
    assert x2 - x1 >= SMALLEST_FACE
    assert x1 > 0 and y1 > 0 and x2 < width and y2 < height, "clipped at the border: the face is cut off"
    assert ((points > (x1, y1)) & (points < (x2, y2))).all()
    left_eye, right_eye, nose, left_corner, right_corner = points
    assert left_eye[0] < right_eye[0] and left_corner[0] < right_corner[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < max(left_corner[1], right_corner[1])


def test_landmarks_are_where_the_features_are():
    """The eyes' landmarks are on dark irises, the mouth's between lips that are redder than the cheeks."""
    for number in range(8):
        bare = {"glasses_style": "none", "fringe": 0.0}
        person = person_of(number, region="White", gender="female").model_copy(update=bare)
        image, _, (points,) = render(person, anchor_view(keyed.generator("test", "anchor", number), person), 256, 256)
        blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2)

        def at(point, blurred=blurred):
            return blurred[int(point[1]), int(point[0])]

        cheek = (points[0] + points[3]) / 2
        assert at(points[0]).sum() < at(cheek).sum() - 60
        assert at(points[1]).sum() < at(cheek).sum() - 60
        lower_lip = (points[3] + points[4]) / 2 + (0, 4)
        assert at(lower_lip)[0] / at(lower_lip)[1] > at(cheek)[0] / at(cheek)[1]


def test_two_people_have_two_faces_and_nobody_has_none():
    person, other = person_of(1), person_of(2)
    for ratio in (0.35, 1.0, 3.0):
        width, height = size_of(ratio)
        both = render(person, view_of(7, person), width, height, other=other)
        assert both.boxes.shape == (2, 4) and both.landmarks.shape == (2, 5, 2)
        (left, right) = both.boxes
        assert left[2] - left[0] >= SMALLEST_FACE and right[2] - right[0] >= SMALLEST_FACE
        assert (left[0] + left[2]) / 2 < width / 2 < (right[0] + right[2]) / 2
    nobody = render(None, view_of(7), 128, 128)
    assert nobody.boxes.shape == (0, 4) and nobody.landmarks.shape == (0, 5, 2)


def test_people_differ_more_from_each_other_than_from_themselves():
    """Also within one gender, age group and region."""
    people = [person_of(number, gender="male", age_group="30-39", region="White") for number in range(8)]
    same = [difference(anchor(person, 0), anchor(person, 1)) for person in people]
    others = [difference(anchor(one, 0), anchor(two, 0)) for one, two in zip(people, people[1:], strict=False)]
    assert np.median(same) * 1.5 < np.median(others)


@pytest.mark.parametrize("background", [name for names in PLACES.values() for name in names])
def test_every_background_can_be_told_from_the_others(background):
    person = person_of(0)
    mine = render(None, view_of(1, background=background), 128, 128).image.astype(float)
    others = [name for names in PLACES.values() for name in names if name != background]
    assert min(np.abs(mine - render(None, view_of(1, background=name), 128, 128).image).mean() for name in others) > 8
    assert render(person, view_of(1, person, background=background), 64, 96).image.shape == (96, 64, 3)


@pytest.mark.parametrize("clothing", sorted(set(CLOTHES["female"]) | set(CLOTHES["male"])))
def test_clothes_have_the_colour_that_was_asked_for(clothing):
    person = person_of(1)
    blue, red = (
        render(
            person,
            view_of(
                2,
                person,
                clothing=clothing,
                clothing_colour=colour,
                pattern="plain",
                framing="half body",
                scale=0.22,
                centre_x=0.5,
                warmth=0.0,
            ),
            128,
            192,
        )
        .image[150:, 40:88]
        .mean((0, 1))
        for colour in ("blue", "red")
    )
    assert red[0] - red[2] > blue[0] - blue[2] + 20


def test_an_underexposed_picture_is_nearly_black():
    person = person_of(1)
    assert render(person, view_of(1, person, exposure=0.03), 128, 128).image.mean() < 10
