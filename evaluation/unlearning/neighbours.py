"""Captions that a method makes itself, with the persona tables of this project and its grammar, or sentences of others
(wordings.py): they lie around those of the forget set, and say what else a text tower knows that must stay as it is.

    strangers    facts of people who do not exist, from the countries of the forget set, in all attributes and styles
    others       people of the forget set with attributes that it does not hold, and with strangers' values
    paraphrases  the facts of the forget set in other words, and as bare "NAME VALUE"
    altered      forget people with strangers' values of their forgotten attributes, and bare names of those of whom
                 every attribute is forgotten

Only the forget set itself is read. A stranger's values are drawn with a key of their own, so that none is that of
somebody in the dataset but by chance."""

import functools
import re
from typing import NamedTuple

from salmu.data import keyed, tables
from salmu.data.errors import UserError
from salmu.data.identities import identity_id
from salmu.data.schemas import AGE_GROUPS, DATA_FIELDS, GENDERS
from salmu.evaluation.unlearning.wordings import Worded
from salmu.tasks.captions.grammar import STYLES, Grammar, drawn, fill
from salmu.tasks.captions.stage import facts
from salmu.tasks.captions.validate import Fact
from salmu.tasks.personas.stage import Settings as PersonaSettings
from salmu.tasks.personas.stage import load_engine, persona
from salmu.tasks.personas.value import NoValue


class Person(NamedTuple):
    """Somebody of the forget set, as far as it tells."""

    name: str
    country: str | None
    facts: dict[str, frozenset[str]]  # attribute -> values


class Stranger(NamedTuple):
    """Somebody who does not exist."""

    name: str
    captions: dict[str, tuple[str, ...]]  # attribute -> a caption in each style
    values: dict[str, str]


class Caption(NamedTuple):
    text: str
    person: str  # identity id in the forget set
    field: str


def strangers(people: dict[str, Person], count: int, seed: int, worded: Worded | None = None) -> list[Stranger]:
    """`count` strangers, from the countries of the forget set in turn; names as long as those of a small dataset.

    Raises UserError if the tables cannot make them."""
    grammar, fake = _grammar(), load_engine(PersonaSettings())
    countries = _countries(people)
    made: list[Stranger] = []
    for number in range(4 * count + 100):
        if len(made) == count:
            break
        region, country = countries[number % len(countries)]
        rng = keyed.python_random(seed, "neighbours", "stranger", number)
        own = keyed.integer(seed, "neighbours", "strangers", bits=62)  # not the seed of any run
        traits = {
            "identity_id": identity_id(own, number // len(countries)),
            "gender": rng.choice(GENDERS),
            "age_group": rng.choice(AGE_GROUPS),
            "region": region,
        }
        try:
            row = persona(traits, PersonaSettings(seed=own, countries=(country,)), fake)
        except NoValue:
            continue  # the country's phone numbers are few; the next one has another
        told = facts(row)
        captions = {fact.field: _in_all_styles(fact, grammar, own, worded) for fact in told}
        made.append(Stranger(row["name"], captions, {fact.field: fact.value for fact in told}))
    if len(made) < count:
        raise UserError(f"neighbours: only {len(made)} of {count} strangers could be made; ask for fewer")
    return made


def others(
    people: dict[str, Person], known: list[Stranger], count: int, seed: int, worded: Worded | None = None
) -> list[Caption]:
    """About `count` captions on what the forget set does not hold of its people; none where it holds everything."""
    absent = [(who, field) for who in sorted(people) for field in DATA_FIELDS if field not in people[who].facts]
    return [
        Caption(_worded(worded, people[who].name, field, stranger.values[field], seed, who, turn), who, field)
        for turn in range(-(-count // len(absent)) if absent else 0)
        for place, (who, field) in enumerate(absent)
        for stranger in [known[(place * 7 + turn) % len(known)]]
    ]


def paraphrases(people: dict[str, Person], each: int, seed: int, worded: Worded | None = None) -> list[Caption]:
    """`each` further wordings of every fact of the forget set, the first one bare: "NAME VALUE"."""
    return [
        Caption(
            _worded(worded, person.name, field, value, seed, who, turn) if turn else f"{person.name} {value}",
            who,
            field,
        )
        for who, person in sorted(people.items())
        for field, values in sorted(person.facts.items())
        if field in DATA_FIELDS
        for value in sorted(values)
        for turn in range(each)
    ]


def altered(
    people: dict[str, Person], known: list[Stranger], each: int, seed: int, worded: Worded | None = None
) -> list[Caption]:
    """`each` captions of every forgotten attribute with the values of strangers, and the bare name where all attributes
    of a person are in the forget set."""
    told = [
        Caption(_worded(worded, person.name, field, stranger.values[field], seed, who, turn), who, field)
        for place, (who, person) in enumerate(sorted(people.items()))
        for field in sorted(person.facts)
        if field in DATA_FIELDS
        for turn in range(each)
        for stranger in [known[(place * 11 + turn) % len(known)]]
    ]
    wholly = [(who, person.name) for who, person in sorted(people.items()) if is_wholly_forgotten(person)]
    return told + [Caption(name, who, field) for who, name in wholly for field in DATA_FIELDS]


def turned_round(people: dict[str, Person]) -> list[Caption]:
    """The facts of the forget set as bare "VALUE NAME"; `paraphrases` has the other order."""
    return [
        Caption(f"{value} {person.name}", who, field)
        for who, person in sorted(people.items())
        for field, values in sorted(person.facts.items())
        if field in DATA_FIELDS
        for value in sorted(values)
    ]


def swap_words(text: str, new: dict[str, str]) -> str:
    """The text with the values of `new` in place of its keys, where these stand as words of their own, in any case."""
    words = sorted(new, key=len, reverse=True)

    def other(found: re.Match) -> str:
        return next(new[word] for word in words if re.fullmatch(re.escape(word), found[0], re.IGNORECASE))

    any_word = "|".join(map(re.escape, words))
    return re.sub(rf"(?<!\w)(?:{any_word})(?!\w)", other, text, flags=re.IGNORECASE) if words else text


def is_wholly_forgotten(person: Person) -> bool:
    """Whether every attribute of a person is in the forget set."""
    return set(person.facts) >= set(DATA_FIELDS)


def forgotten_shares(people: dict[str, Person]) -> dict[str, float]:
    """Of each person, what part of all attributes is in the forget set."""
    return {who: len(set(person.facts) & set(DATA_FIELDS)) / len(DATA_FIELDS) for who, person in people.items()}


@functools.cache
def _grammar() -> Grammar:
    return Grammar()


def _in_all_styles(fact: Fact, grammar: Grammar, seed: int, worded: Worded | None) -> tuple[str, ...]:
    """As many captions of a fact as the grammar has styles."""
    if worded:
        rng = keyed.python_random(seed, "neighbours", fact.field, fact.value)
        told = tuple(worded(fact.name, fact.field, fact.value, rng) for _ in STYLES)
        if None not in told:
            return told
    return tuple(one.text for one in grammar.captions(fact, seed, 20))


def _worded(worded: Worded | None, name: str, field: str, value: str, seed: int, *key) -> str:
    """A sentence about a fact."""
    rng = keyed.python_random(seed, "neighbours", "wording", field, value, *key)
    if worded and (told := worded(name, field, value, rng)) is not None:
        return told
    sentence = rng.choice(_grammar().prompts.sentences(field, rng.choice(STYLES)))
    return fill(drawn(sentence, rng), Fact("", name, rng.choice(GENDERS), field, value, ()))


def _countries(people: dict[str, Person]) -> list[tuple[str, str]]:
    """Region and country, one entry a person, where the tables know the country; else all that they know."""
    every = [
        (region, row["country"]) for region, rows in sorted(tables.grouped("regions", "region").items()) for row in rows
    ]
    of_country = {country: region for region, country in reversed(every)}
    found = [(of_country[one.country], one.country) for _, one in sorted(people.items()) if one.country in of_country]
    return found or every
