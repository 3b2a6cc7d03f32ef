"""What the report's pages share: the templates of this folder, and how values are shown."""

import base64
import math
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from salmu.evaluation.metrics.score import target

ROWS_SHOWN = 70  # of a table


def page(template: str, **values: Any) -> bytes:
    """A template of this folder, filled in."""
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
        "target": target,
    }
    return environment.get_template(template).render(rows_shown=ROWS_SHOWN, **values).lstrip().encode()


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
