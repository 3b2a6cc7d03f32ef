"""Figures of summaries as small PNG files."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def png(figure: Figure) -> bytes:
    """PNG file of a figure, with 64 colours to keep it small."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    sink = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3]).quantize(64).save(sink, "PNG", optimize=True)
    return sink.getvalue()
