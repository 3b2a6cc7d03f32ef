"""Sheets of many pictures for summaries."""

import io

import numpy as np
import pytest
from PIL import Image

from salmu.tasks.pictures import CELL_SIDES, LARGEST_FIGURE, contact_sheet, jpeg_file


@pytest.mark.parametrize("noise", [0, 20, 200])
def test_a_sheet_shows_every_picture_as_large_as_fits(noise):
    """Plain pictures fit at the largest size; noise does not compress, so its cells are smaller."""
    rng = np.random.default_rng(noise)
    pictures = [np.clip(128 + noise * rng.normal(size=(128, 128, 3)), 0, 255).astype(np.uint8) for _ in range(48)]
    files = [jpeg_file(one, 95) for one in pictures]
    sheet = contact_sheet([files[start : start + 8] for start in range(0, 48, 8)])
    side = Image.open(io.BytesIO(sheet)).width // 8
    assert len(sheet) < LARGEST_FIGURE and side in CELL_SIDES
    assert (side == CELL_SIDES[0]) == (noise == 0)
    if noise:
        assert len(sheet) > LARGEST_FIGURE / 3, "a much larger sheet would have fitted"
