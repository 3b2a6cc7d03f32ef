"""Bar charts of summaries. They are drawn with Pillow, in milliseconds: a plotting library takes longer for one chart
than a small stage takes for its work.

    bar_charts([Panel("", {"captions": [3, 9, 4]}, ["5", "6", "7"])], xlabel="words", ylabel="captions")
"""

import io
import math
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#4c78a8", "#f2a541", "#c8443c")
LEFT, TOP, GAP, LINE = 52, 26, 24, 15  # pixels: room of the numbers, of title and legend, between panels, of a text


class Panel(NamedTuple):
    """Bars side by side; in each, the series stand on each other."""

    title: str
    series: dict[str, list[float]]  # name -> height of each bar
    labels: list[str]  # of each bar; an empty one is not written


def bar_charts(
    panels: list[Panel],
    xlabel: str = "",
    ylabel: str = "",
    logarithmic: bool = False,
    size: tuple[int, int] = (600, 300),
) -> bytes:
    """A PNG file of panels from left to right, as wide as they have bars, with a legend where there are several
    series. `logarithmic`: heights go by log(1 + value)."""
    font = ImageFont.load_default(11)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    room = size[0] - LEFT * len(panels) - GAP
    bars = sum(len(panel.labels) + 2 for panel in panels)
    left = 0
    for panel in panels:
        left += LEFT
        slot = room / bars
        widest = max((draw.textlength(label, font) for label in panel.labels), default=0)
        upright = widest > slot * _apart(panel.labels)
        bottom = size[1] - LINE * bool(xlabel) - (int(widest) + 8 if upright else LINE + 4)
        right = left + slot * (len(panel.labels) + 2)
        scale = _axis(draw, font, panel, (left, TOP, right, bottom), logarithmic)
        for place, label in enumerate(panel.labels):
            x, base = left + slot * (place + 1), 0.0
            for colour, heights in zip(COLOURS, panel.series.values(), strict=False):
                if heights[place]:
                    draw.rectangle((x + slot * 0.1, scale(base + heights[place]), x + slot * 0.9, scale(base)), colour)
                    base += heights[place]
            _write(picture, draw, font, label, (x + slot / 2, bottom + 4), upright)
        draw.text((left + 4, 6), panel.title, "black", font)
        left = right
    if len(panels[0].series) > 1:
        _legend(draw, font, list(panels[0].series), size[0] - GAP / 2)
    draw.text((size[0] / 2, size[1] - LINE), xlabel, "black", font, anchor="ma")
    side = Image.new("RGB", (size[1] - TOP, LINE), "white")
    ImageDraw.Draw(side).text((side.width / 2, 1), ylabel, "black", font, anchor="ma")
    picture.paste(side.rotate(90, expand=True), (0, TOP))
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def _apart(labels: list[str]) -> int:
    """How many bars apart the labels are that are written."""
    written = [place for place, label in enumerate(labels) if label]
    return min((after - before for before, after in zip(written, written[1:], strict=False)), default=len(labels))


def _axis(draw: ImageDraw.ImageDraw, font, panel: Panel, box: tuple, logarithmic: bool):
    """Draw the axes and the numbers at the left; returns what gives the y of a height."""
    left, top, right, bottom = box
    most = max((sum(heights) for heights in zip(*panel.series.values(), strict=True)), default=0) or 1
    if logarithmic:
        ticks = [0, *(10**power for power in range(int(math.log10(most)) + 1))]
    else:
        step = 10 ** math.floor(math.log10(most))
        step = next(step * part for part in (0.2, 0.5, 1, 2) if most / (step * part) <= 5)
        ticks = [step * number for number in range(int(most / step) + 1)]
    level = math.log1p if logarithmic else float

    def y(value: float) -> float:
        return bottom - (bottom - top) * level(value) / level(most)

    for tick in ticks:
        draw.line((left - 3, y(tick), left, y(tick)), "black")
        draw.text((left - 6, y(tick)), f"{tick:,.6g}", "black", font, anchor="rm")
    draw.line((left, top, left, bottom, right, bottom), "black")
    return y


def _write(picture: Image.Image, draw: ImageDraw.ImageDraw, font, text: str, top: tuple, upright: bool) -> None:
    """A label centred below a bar, or standing on end."""
    if not upright:
        draw.text(top, text, "black", font, anchor="ma")
    elif text:
        small = Image.new("RGB", (int(draw.textlength(text, font)) + 2, LINE), "white")
        ImageDraw.Draw(small).text((0, 1), text, "black", font)
        picture.paste(small.rotate(90, expand=True), (int(top[0]) - LINE // 2, int(top[1])))


def _legend(draw: ImageDraw.ImageDraw, font, names: list[str], right: float) -> None:
    for colour, name in reversed(list(zip(COLOURS, names, strict=False))):
        right -= draw.textlength(name, font)
        draw.text((right, 6), name, "black", font)
        draw.rectangle((right - 14, 8, right - 5, 17), colour)
        right -= 26
