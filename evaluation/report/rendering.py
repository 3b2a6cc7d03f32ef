"""What the report's pages share: the templates of this folder, and how values are shown."""

import base64
import functools
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from salmu.evaluation.attacks.words import in_words as attack_in_words
from salmu.evaluation.metrics.score import DEFINITIONS, direction
from salmu.evaluation.verdicts.leaderboard import in_words, reference_of

ROWS_SHOWN = 70  # of a table


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html"], default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "metric": metric_value,
        "markdown": markdown,
        "png": png,
        "in_words": in_words,
        "is_reference": lambda model: reference_of(model) is not None,
        "model_page": model_page,
        "upper_first": upper_first,
    }
    return environment


def page(template: str, home: str = "", **values: Any) -> bytes:
    """A template of this folder, filled in. `home`: the way from the page to the report's folder."""
    shared = {
        "definitions": DEFINITIONS,
        "direction": direction,
        "rows_shown": ROWS_SHOWN,
        "attack_in_words": attack_in_words,
    }
    text = _environment().get_template(template).render(home=home, **shared, **values)
    return text.lstrip().encode(errors="backslashreplace")  # names of files may hold bytes that are no Unicode


def model_page(model: str) -> str:
    """The address of a model's page from the report's folder."""
    return f"models/{quote(os.fsencode(model))}.html"


def upper_first(text: str) -> str:
    """A text as the beginning of a sentence; names in it keep their letters, which Jinja's `capitalize` does not do."""
    return text[:1].upper() + text[1:]


def number(value: Any) -> str:
    """A value for a table: four significant digits, thousands separators, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def metric_value(value: float | None) -> str:
    """A metric's value: four decimals, since RetFail of a model that forgot is below a thousandth."""
    return "–" if value is None else f"{value:.4f}"


def markdown(text: str) -> Markup:
    """A stage's text as HTML; HTML in it is shown, not obeyed."""
    return Markup(MarkdownIt("js-default").render(text))


def png(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
