"""The rules that every caption keeps, whoever wrote it; a caption that breaks one is asked for again."""

import functools
import re
import unicodedata
from typing import NamedTuple

RULES = (
    "unicode",
    "name missing",
    "name repeated",
    "name boundary",
    "value missing",
    "value repeated",
    "value boundary",
    "markup",
    "digit",
    "contact",
    "not ASCII",
    "other value",
    "gender",
    "hedge",
    "capital",
    "vocabulary",
    "article",
    "length",
    "begin or end",
    "too long for CLIP",
    "style",
    "copy",
    "fact",
    "too close to another style",
)
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
    r"\b(fiction\w*|fictitious|fake|synthetic|sample|example|dummy|imaginary|invented|as an ai|json|caption|"
    r"paraphrase)\b",
    re.I,
)
MARKUP = re.compile(r"[\n\r\t*#`{}<>()\[\]_|\\\"“”]|  |^\s|\s$")
HOLE = "\0"  # stands where the name or the value was cut out
WORDS, CHARACTERS, JACCARD = (4, 32), 200, 0.75
CLIP_TOKENS = 75  # of CLIP's 77, begin and end take two


class Fact(NamedTuple):
    """One fact of one persona, and what else the persona has."""

    identity: str
    name: str
    gender: str
    field: str
    value: str
    others: tuple[str, ...] = ()  # the persona's other values, which the caption must not tell


def broken_rules(text: str, fact: Fact, vocabulary: frozenset[str]) -> list[str]:
    """The rules (of RULES) that a caption of this fact breaks. `vocabulary`: lower-case words that may stand beside
    name and value."""
    broken = []
    if unicodedata.normalize("NFC", text) != text or any(
        unicodedata.category(sign) in ("Cc", "Cf", "Cs", "So") for sign in text
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
    if MARKUP.search(rest) or re.search(r"\s[.,:?]|[.,:?]{2}", rest):
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
    if fact.value[:1].isalpha() and re.search(
        rf"\b{'a' if article(fact.value) == 'an' else 'an'} {re.escape(fact.value)}", text, re.I
    ):
        broken.append("article")
    if not (WORDS[0] <= len(text.split()) <= WORDS[1] and len(text) <= CHARACTERS):
        broken.append("length")
    if not _begins_and_ends(text, fact):
        broken.append("begin or end")
    if len(text) <= CHARACTERS and clip_tokens(text) > CLIP_TOKENS:
        broken.append("too long for CLIP")
    return broken


def article(words: str) -> str:
    """a or an, as it is spoken: an IT consultant, a university lecturer, an hourly worker."""
    if re.match(r"[A-Z](?![a-z])", words):  # letters, spelt
        return "an" if words[0] in "AEFHILMNORSX" else "a"
    lower = words.lower()
    if lower.startswith(("uni", "use", "usu", "uti", "eu", "one", "once")) and not lower.startswith("unin"):
        return "a"
    return "an" if lower.startswith(("a", "e", "i", "o", "u", "hour", "heir", "honest", "honour")) else "a"


def clip_tokens(text: str) -> int:
    """Number of CLIP's byte-pair tokens without begin and end; of a short text only an upper limit, its bytes."""
    size = len(text.replace(" ", "").encode("utf-8", "replace"))
    return size if size <= CLIP_TOKENS else len(clip_tokenizer().encode(text))


@functools.cache
def clip_tokenizer():
    """CLIP's byte-pair tokenizer, as open_clip has it."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def words_of(text: str) -> set[str]:
    """The words of a text, lower case, without a possessive ending."""
    return {word.lower().removesuffix("'s") for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text)}


def too_close(text: str, fact: Fact, earlier: list[str]) -> bool:
    """Whether a caption says what an earlier one of the same fact says, by the words around name and value."""
    own = _masked_words(text, fact)
    return any(len(own & other) / len(own | other) > JACCARD for other in (_masked_words(one, fact) for one in earlier))


def masked(text: str, name: str, value: str) -> str:
    """The caption with NAME and VALUE in place of the person's."""
    return text.replace(value, "VALUE").replace(name, "NAME")


def _masked_words(text: str, fact: Fact) -> set[str]:
    return set(re.findall(r"\w+", masked(text, fact.name, fact.value).lower()))


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Not glued to letters or digits, nor the piece of a longer number, address or double name."""
    before, after = text[:start], text[end:]
    glued = re.search(r"[\w+@/-]$", before) or re.match(r"[\w+@/-]|\.\w", after)
    digits_go_on = (
        text[start].isdigit() and re.search(r"\d $", before) or text[end - 1].isdigit() and re.match(r" \d", after)
    )
    return not (glued or digits_go_on)


def _begins_and_ends(text: str, fact: Fact) -> bool:
    """Sentences begin with a capital letter, a sign or an address, and the last ends with a full stop or a question
    mark."""
    shown = text.replace(fact.name, HOLE)
    if fact.field == "emails":
        shown = shown.replace(fact.value, HOLE)
    begins = shown[:1].isupper() or shown[:1] == HOLE or text.startswith(fact.value) and not shown[:1].islower()
    return begins and not re.search(r"[.?] [a-z]", shown) and text[-1:] in (".", "?")


def _begins_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip()
    return not before or before[-1] in ".?!:"
