"""The balance that curation and the choice of anchors keep: cells of gender, age group and region are filled so that
each of the three comes out even."""

from collections import Counter
from collections.abc import Iterable

from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

CELL = ("gender", "age_group", "region")
CLASSES = (len(GENDERS), len(AGE_GROUPS), len(REGIONS))


def rarest_cell(cells: Iterable[tuple], taken: Counter) -> tuple:
    """The cell (gender, age group, region) whose three values are rarest so far, each in proportion to its number of
    classes; of equals the cell that is itself rarest, then the first.

    taken: how many were taken of each (place in the cell, value), and of each cell."""
    return min(
        cells,
        key=lambda cell: (
            sum(number * taken[axis, value] for axis, (number, value) in enumerate(zip(CLASSES, cell, strict=True))),
            taken[cell],
        ),
    )
