"""Foreign names in terminals, Markdown, LaTeX and spreadsheets: shown as they are, never obeyed."""

import os
import re
import sys
from typing import TextIO

_MARKDOWN = re.compile(r"[\\`*\[\]<>|&~!#$]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside a word is no emphasis
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet computes a cell that starts with one of these


def printable(text: str) -> str:
    r"""The text on one line: control characters, line breaks and lone surrogates as escapes, "a\nb" -> "a\\nb"."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def markdown_cell(text: str) -> str:
    """The text as a cell of a Markdown table, or as a word in a sentence of Markdown."""
    return _MARKDOWN.sub(r"\\\g<0>", printable(text))


def latex(text: str) -> str:
    """The text for LaTeX, without any of its commands."""
    return printable(text).translate(_LATEX)


def spreadsheet_cell(text: str) -> str:
    """The text as a cell that a spreadsheet shows and does not compute: an apostrophe goes before =, +, - and @."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def red(text: str, stream: TextIO | None = None) -> str:
    """The text in red where the stream (default: standard output) is a terminal and NO_COLOR is not set."""
    stream = stream or sys.stdout
    return f"\033[31m{text}\033[0m" if stream.isatty() and not os.environ.get("NO_COLOR") else text
