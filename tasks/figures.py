"""Figures of summaries as small PNG files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, **options) -> Figure:
    """An empty figure of so many inches, laid out by itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", **options)


def png(figure: Figure) -> bytes:
    """PNG file of a figure, with 64 colours to keep it small."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    sink = io.BytesIO()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    image.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(sink, "PNG")
    return sink.getvalue()
