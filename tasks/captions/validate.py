"""The rules that every caption keeps, whoever wrote it; a caption that breaks one is asked for again."""

import re
import unicodedata
from typing import NamedTuple

FEMALE = {
    "she",
    "her",
    "hers",
    "herself",
    "woman",
    "lady",
    "girl",
    "mother",
    "daughter",
    "wife",
    "mrs",
    "ms",
    "miss",
    "madam",
    "actress",
}
MALE = {"he", "him", "his", "himself", "man", "gentleman", "boy", "father", "son", "husband", "mr", "sir"}
CAPITALS = {"IBAN", "I"}  # words that may stand capitalised inside a sentence
HEDGES = re.compile(
    r"\b(fictional|fictitious|fake|synthetic|sample|example|dummy|imaginary|as an ai|json|caption|paraphrase)\b", re.I
)
MARKUP = re.compile(r"[\n\r\t*#`{}<>\[\]_|\\\"“”]|  |^\s|\s$")
HOLE = "\0"  # stands where the name or the value was cut out
WORDS, CHARACTERS, JACCARD = (4, 32), 200, 0.75


class Fact(NamedTuple):
    """One fact of one persona, and what else the persona has."""

    identity: str
    name: str
    gender: str
    field: str
    value: str
    others: tuple[str, ...] = ()  # the persona's other values, which the caption must not tell


def broken_rules(text: str, fact: Fact, vocabulary: frozenset[str]) -> list[str]:
    """The rules that a caption of this fact breaks. `vocabulary`: lower-case words that may stand beside name and
    value."""
    broken = []
    if unicodedata.normalize("NFC", text) != text or any(
        unicodedata.category(sign) in ("Cf", "So", "Cc") for sign in text
    ):
        broken.append("unicode")
    for what, part in (("name", fact.name), ("value", fact.value)):
        spans = [match.span() for match in re.finditer(f"(?={re.escape(part)})", text)]
        if len(spans) != 1:
            broken.append(f"{what} {'missing' if not spans else 'repeated'}")
        elif not _stands_alone(text, spans[0][0], spans[0][0] + len(part)):
            broken.append(f"{what} boundary")
    rest = text
    for part in sorted((fact.name, fact.value), key=len, reverse=True):
        rest = rest.replace(part, HOLE, 1)
    if MARKUP.search(rest):
        broken.append("markup")
    if re.search(r"\d", rest):
        broken.append("digit")
    if re.search(r"@|://|www\.|\.(com|net|org)\b", rest):
        broken.append("contact")
    if not rest.isascii():
        broken.append("not ASCII")
    if any(re.search(rf"(?<!\w){re.escape(other)}(?!\w)", rest) for other in fact.others if other != fact.value):
        broken.append("other value")
    lower = words_of(rest)
    if lower & (MALE if fact.gender == "female" else FEMALE):
        broken.append("gender")
    if HEDGES.search(rest):
        broken.append("hedge")
    if any(
        not _begins_sentence(rest, match.start()) and match.group() not in CAPITALS
        for match in re.finditer(r"\b[A-Z]\w*", rest)
    ):
        broken.append("capital")
    if lower - vocabulary - {"s"}:  # the s of NAME's
        broken.append("vocabulary")
    if not (WORDS[0] <= len(text.split()) <= WORDS[1] and len(text) <= CHARACTERS) or text[-1:] not in (".", "?"):
        broken.append("length or end")
    if not text[:1].isupper() and not text.startswith(fact.value):
        broken.append("begin")
    return broken


def words_of(text: str) -> set[str]:
    """The words of a text, lower case, without a possessive ending."""
    return {word.lower().removesuffix("'s") for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text)}


def too_close(text: str, fact: Fact, earlier: list[str]) -> bool:
    """Whether a caption says what an earlier one of the same fact says, by the words around name and value."""
    own = _masked(text, fact)
    return any(len(own & other) / len(own | other) > JACCARD for other in (_masked(one, fact) for one in earlier))


def masked(text: str, fact: Fact) -> str:
    """The caption with NAME and VALUE in place of the person's."""
    return text.replace(fact.value, "VALUE").replace(fact.name, "NAME")


def _masked(text: str, fact: Fact) -> set[str]:
    return set(re.findall(r"\w+", masked(text, fact).lower()))


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Not glued to letters or digits, nor the piece of a longer number, address or double name."""
    before, after = text[:start], text[end:]
    glued = re.search(r"[\w+@/-]$", before) or re.match(r"[\w+@/-]|\.\w", after)
    digits_go_on = (
        text[start].isdigit() and re.search(r"\d $", before) or text[end - 1].isdigit() and re.match(r" \d", after)
    )
    return not (glued or digits_go_on)


def _begins_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip()
    return not before or before[-1] in ".?!:"
