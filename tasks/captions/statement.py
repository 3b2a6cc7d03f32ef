"""Whether a sentence of a language model states its fact, in its style, by prompts/caption_rules.yaml.

A sentence is brought to a bare form ("N's blood type is V" -> "T is V"), and its bare form must be a known one."""

import functools
import re

from pydantic import BaseModel, ConfigDict

from salmu.data.errors import UserError
from salmu.prompts import loader
from salmu.tasks.captions.grammar import PRONOUNS, STYLES, CaptionPrompts, expanded

REACHED = ("phone_number", "emails", "iban", "credit_card", "passport")  # fields of the states `reach`
OWNED = (*REACHED, "blood_type")  # and `thing`
N, V = "N", "V"
SLOTS = PRONOUNS["female"] | {"He": "She", "Him": "Her", "His": "Her", "a": "a", "A": "A", "name": N, "value": V}


class Rules(BaseModel):
    """prompts/caption_rules.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    words: dict[str, str]
    fields: dict[str, dict[str, str]]
    never: str
    finite: str
    joined: str
    shorten: tuple[tuple[str, str], ...]
    styles: dict[str, str]
    states: dict[str, dict[str, tuple[str, ...]]]


class Statements:
    """The known bare forms of one data field."""

    def __init__(self, rules: Rules, field: str, own: dict[str, set[str]]):
        """`own`: style -> right sentences, with N and V."""
        lists = rules.words | rules.fields[field]
        self.steps = [(_compiled(pattern, lists), short) for pattern, short in rules.shorten]
        self.kind = _compiled(r"\b(?:KIND)\b", {"KIND": re.sub(r"\(([^?])", r"(?:\1", lists["KIND"])})
        self.never = _compiled(rules.never, lists)
        self.finite, self.joined = _compiled(rules.finite, lists), _compiled(rules.joined, lists)
        groups = ["all", field, *(["thing"] if field in OWNED else []), *(["reach"] if field in REACHED else [])]
        self.known = {
            kind: _compiled("|".join(f"(?:{form})" for group in groups for form in found.get(group, ())), lists)
            for kind, found in rules.states.items()
        }
        self.styles = {style: _compiled(signs, lists) for style, signs in rules.styles.items()}
        self.own = {style: {plain(sentence) for sentence in sentences} for style, sentences in own.items()}
        self.forms = {self.bare(sentence) for sentences in own.values() for sentence in sentences}
        self.forms |= {part for form in self.forms for part in form.split(" ? ") if " ? " in form}

    def bare(self, sentence: str) -> str:
        """The bare form of a sentence that has N and V for name and value."""
        return " ? ".join(self._short(part) for part in plain(sentence).rstrip(" .").split(" ? "))

    def stated(self, sentence: str) -> bool:
        """Whether the sentence, with N and V, states that V is N's."""
        words = plain(sentence)
        if any(words in sentences for sentences in self.own.values()):
            return True
        parts = words.split(" ? ")
        if self.never.search(words) or any(map(self._twice, parts)) or any(map(self._broken, parts)):
            return False
        question, _, answer = self.bare(sentence).partition(" ? ")
        if not answer:
            return self._is(question, "statement") or self._is(question, "instruction")
        if re.search(r"[VW]", question):
            return self._is(question, "question_of_value") and self._is(answer, "answer_of_value")
        return self._is(question, "question") and (self._is(answer, "answer") or self._is(answer, "statement"))

    def _twice(self, part: str) -> bool:
        """Whether it names the kind of value twice."""
        kinds = [kind for found in self.kind.findall(part) for kind in found.split() if not kind.startswith("number")]
        return len(set(kinds)) < len(kinds)

    def _broken(self, part: str) -> bool:
        """Whether it has more finite verbs than its clauses allow."""
        return len(self.finite.findall(part)) > len(self.joined.findall(part)) + 1

    def in_style(self, sentence: str, style: str) -> bool:
        """Whether the sentence, with N and V, is what its style is called."""
        words = plain(sentence)
        return words in self.own[style] or bool(self.styles[style].search(words))

    def _is(self, form: str, kind: str) -> bool:
        if form in self.forms or self.known[kind].fullmatch(form):
            return True
        return kind == "instruction" and form.startswith("note that ") and self._is(form[10:], "statement")

    def _short(self, part: str) -> str:
        for pattern, short in self.steps:
            part = pattern.sub(short, part)
        return " ".join(part.split()).strip(" .")


def plain(sentence: str) -> str:
    """Small letters, but N and V; punctuation and 's as words of their own."""
    words = re.findall(r"'s|[A-Za-z'-]+?(?='s\b)|[A-Za-z-]+|[.,?:]", sentence)
    return " ".join(word if word in (N, V) else word.lower() for word in words)


@functools.cache
def statements(field: str) -> Statements:
    """Raises UserError for a faulty prompts/caption_rules.yaml."""
    sentences = loader.load("captions", CaptionPrompts)
    own = {
        style: {one.format_map(SLOTS) for sentence in sentences.sentences(field, style) for one in expanded(sentence)}
        for style in STYLES
    }
    return Statements(rules(), field, own)


@functools.cache
def rules() -> Rules:
    """Raises UserError for a faulty prompts/caption_rules.yaml."""
    return loader.load("caption_rules", Rules)


def _compiled(pattern: str, lists: dict[str, str]) -> re.Pattern:
    """The pattern with the lists in place of their names; a list that the field does not have matches nothing."""
    for _ in range(6):  # lists name other lists
        pattern = re.sub(r"\b(X|[A-Z]{2,})(?=\b|[a-z])", lambda found: f"(?:{lists.get(found[1], '(?!)')})", pattern)
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(f"prompts/caption_rules.yaml: {pattern[:80]!r} is no regular expression: {error}") from None
