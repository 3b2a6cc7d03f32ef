"""Charts of summaries: bars are as high as they should be, and whatever is drawn is a small PNG file."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from salmu.tasks.charts import COLOURS, Panel, bar_charts


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def area(image: np.ndarray, colour: str) -> int:
    return int((image == ImageColor.getrgb(colour)).all(axis=2).sum())


def test_bars_stand_on_each_other_as_high_as_they_should_be():
    png = bar_charts([Panel("", {"a": [10, 0, 5], "b": [0, 20, 5]}, ["x", "", "z"])], "letters", "count")
    image = pixels(png)
    assert image.shape == (300, 600, 3) and len(png) < 20_000
    columns = [(image == ImageColor.getrgb(colour)).all(axis=2).sum(axis=0) for colour in COLOURS[:2]]
    first, second = (np.unique(column[column > 20]) for column in columns)  # without the legend
    assert first[-1] == pytest.approx(2 * first[0], abs=3) and second[-1] == pytest.approx(4 * second[0], abs=6)


def test_a_logarithmic_axis_shows_one_beside_a_thousand():
    flat, steep = (
        pixels(bar_charts([Panel("", {"a": [1, 1000]}, ["x", "y"])], logarithmic=logarithmic))
        for logarithmic in (False, True)
    )
    assert area(steep, COLOURS[0]) > area(flat, COLOURS[0]) * 1.05


def test_several_panels_long_labels_and_nothing_at_all_can_be_drawn():
    empty = Panel("nobody", {"a": [], "b": []}, [])
    wide = Panel("region", {"a": [0, 3], "b": [0.5, 0]}, ["a name that is far too long", "é"])
    assert pixels(bar_charts([empty, wide, empty], ylabel="identities", size=(400, 200))).shape == (200, 400, 3)
