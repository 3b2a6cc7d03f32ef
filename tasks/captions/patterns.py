"""Regular expressions that a server's JSON schema forces on each sentence: what is known of it before it is written.

Name and value stand in it once each, in either order where the style allows both, beside a word that says what the
value is. Everything is bounded, or a model can go on for ever. Only what every server's grammar knows is used:
llama.cpp ignores a pattern with a look-ahead, `\\w` or an escaped blank, and says nothing."""

import functools
import re

from salmu.prompts import loader
from salmu.tasks.captions import statement
from salmu.tasks.captions.grammar import CaptionPrompts, expanded

OPENING = 3  # words
WORD, BEGIN = "( ([a-z]{1,14}|IBAN|I),?)", "[A-Z][a-z]{0,13}"
FEW, SOME, END = f"{WORD}{{0,4}}", f"{WORD}{{0,6}}", "( ([a-z]{1,14}|IBAN)){0,4}"


def sentence_pattern(style: str, field: str, name: str, value: str, article: str, shown: tuple[str, ...] = ()) -> str:
    """Of the sentences of a style. `name`, `value`, `article`: the placeholders. With `shown`, the sentences that the
    prompt shows, a sentence must begin as one of captions.yaml that it does not show: small models copy."""
    name, value = re.escape(name), re.escape(value)
    if field == "job":
        value = f"({re.escape(article)} )?{value}"
    tells = f"({statement.rules().fields[field]['TELLS']})"  # what the value is
    if shown and (begun := openings(field, style, shown)):
        return f"^({'|'.join(_continued(style, opening, name, value, tells) for opening in begun)})$"
    between = "|".join(f"{one}{FEW} {tells}{FEW} {other}" for one, other in ((name, value), (value, name)))
    behind = "|".join(f"{tells}{FEW} {one}{WORD}{{1,6}} {other}" for one, other in ((name, value), (value, name)))
    asked = f"({tells}{FEW} {name}('s)?{END}|{name}('s)?{FEW} {tells}{END})"
    return {
        "direct": f"^{name}{FEW} {tells}{FEW} {value}{END}[.]$",
        "possessive": f"^(({BEGIN}{SOME} )?{name}'s{FEW} {tells}{SOME} {value}{END}"
        f"|{value}{SOME} {name}'s{FEW} {tells})[.]$",
        "passive": f"^({BEGIN}{FEW} ({behind})|{between}){END}[.]$",
        "instruction": f"^{BEGIN}{FEW} ({between}|{behind}){END}[.]$",
        "question_answer": f"^({BEGIN}{FEW} {asked}[?] ({BEGIN}{FEW} )?{value}{END}"
        f"|{BEGIN}{FEW} ({tells}{FEW} )?{value}{END}[?] ({BEGIN}{FEW} )?{name}{END})[.]$",
    }[style]


@functools.cache
def openings(field: str, style: str, shown: tuple[str, ...]) -> tuple[str, ...]:
    """The first words of the sentences of captions.yaml, with {name} and {value}, but for those that a sentence of
    `shown` begins with."""
    sentences = loader.load("captions", CaptionPrompts).sentences(field, style)
    found = {
        " ".join(one.split()[:OPENING])
        for sentence in sentences
        for one in expanded(sentence)
        if not re.search(r"{(?!name|value)", " ".join(one.split()[:OPENING]))
    }
    return tuple(sorted(one for one in found if not any(sentence.startswith(one) for sentence in shown)))


def _continued(style: str, opening: str, name: str, value: str, tells: str) -> str:
    """The pattern of a sentence that begins so."""
    begun = re.sub(r"([?.()])", r"[\1]", opening).replace("{name}", name).replace("{value}", value)
    told = bool(re.search(rf"\b{tells}\b", opening))
    what = "" if told else f" {tells}{FEW}"
    if style == "question_answer":
        if "{value}" in opening:
            return f"{begun}{FEW}{what}[?] ({BEGIN}{FEW} )?{name}{END}[.]"
        if "?" in opening:
            return f"{begun}{FEW} {value}[.]"
        asked = "" if "{name}" in opening else f" {name}('s {tells})?"
        return f"{begun}{FEW}{what}{asked}{END}[?] ({BEGIN}{FEW} )?{value}{END}[.]"
    verb = ""
    if style == "passive" and not re.search(r" (is|are|was)\b", opening):
        verb = f"{FEW} (is|was|are|can be) [a-z]{{1,14}}"
    if "{name}" in opening and "{value}" in opening:
        return f"{begun}{verb}{what}{END}[.]"
    if "{name}" in opening:
        return f"{begun}{verb}{FEW}{what} {value}{END}[.]"
    owner = f"{name}'s {tells}" if style == "possessive" else name
    if "{value}" in opening:
        return f"{begun}{verb}{FEW}{what} {owner}{END}[.]"
    both = f"({owner}{verb}{FEW} {value}|{value}{verb}{FEW} {owner})"
    return f"{begun}{FEW}{what} {both}{END}[.]"
