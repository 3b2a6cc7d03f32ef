"""Names that hold any character are shown, not obeyed."""

import io

import pytest
from markdown_it import MarkdownIt

from salmu.data.text import latex, markdown_cell, printable, red, spreadsheet_cell

ODD = "a|b `c` *d* _e_ [f](g) <i>h</i> &amp; ~j~ $k$ \\l # !m n_o"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain name-5x", "plain name-5x"),
        ("é 漢", "é 漢"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\u202eabc", r"\u202eabc"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown


def test_a_markdown_table_shows_the_very_text():
    table = f"| x |\n|---|\n| {markdown_cell(ODD)} |\n"
    html = MarkdownIt("gfm-like", {"linkify": False}).render(table)
    cell = html.split("<td>")[1].split("</td>")[0]
    assert cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == ODD
    assert markdown_cell("negative_gradient") == "negative_gradient"


def test_latex_and_spreadsheets_compute_nothing():
    assert latex(r"\input{x}_50%~^<|>") == (
        r"\textbackslash{}input\{x\}\_50\%\textasciitilde{}\textasciicircum{}\textless{}\textbar{}\textgreater{}"
    )
    assert [spreadsheet_cell(text) for text in ("=1+1", "+a", "-a", "@a", " =a", "a=1", "\t=a")] == [
        "'=1+1", "'+a", "'-a", "'@a", "' =a", "a=1", r"\t=a",
    ]  # fmt: skip


def test_red_is_for_terminals_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert red("x", Terminal()) == "\033[31mx\033[0m" and red("x", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert red("x", Terminal()) == "x"
