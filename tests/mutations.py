"""Corruptions of a caption, each of which a rule must catch; and people without the stage personas."""

import itertools
import unicodedata

from salmu.data import keyed, schemas
from salmu.data.identities import identity_id
from salmu.data.tables import fold
from salmu.tasks.captions.stage import facts
from salmu.tasks.captions.validate import Fact

NAMES = {
    "female": (
        "Ana Silva",
        "Zoë Żak",
        "María José García Pérez",
        "Fatima-Zahra Bennani",
        "Nguyen Thi Lan",
        "Awa Ndiaye",
    ),
    "male": ("João Peña", "Youssef Al-Harbi", "Jürgen Groß", "Seán O'Brien", "Kenji Sato", "Kwame van der Berg"),
}
SURNAMES = ("Ådahl", "Núñez", "Kowalska", "Okafor", "Lindqvist", "Tanaka", "Çelik", "Haddad", "Ivić", "Moreau", "Uys")
CITIES = ("Porto", "New York City", "Klagenfurt am Wörthersee", "Dún Laoghaire", "Ho Chi Minh City", "Al-Qatif")
JOBS = ("IT consultant", "artist", "university lecturer", "barrister's clerk", "dentist", "early years teacher")
BLOOD = ("A+", "AB-", "O+", "O-", "B+", "AB+")


def person(number: int) -> dict:
    """A made-up persona with the columns that captions need; all its identifying values are its own."""
    gender = schemas.GENDERS[number % 2]
    rng = keyed.python_random("caption test", number)
    first = NAMES[gender][number // 2 % 6]
    last = " ".join(SURNAMES[digit] for digit in _digits(number // 12))
    digits = f"{number:06d}"
    return {
        "identity_id": identity_id(0, number),
        "gender": gender,
        "name": f"{first} {last}".strip(),
        "first_name": first.split()[0],
        "last_name": first.split()[-1],
        "city": rng.choice(CITIES),
        "job": rng.choice(JOBS),
        "blood_type": rng.choice(BLOOD),
        "phone_number": f"+237 6 19 {digits[:2]} {digits[2:4]} {digits[4:]}",
        "emails": [f"{fold(first).split()[0]}.{fold(first).split()[-1]}{number}@posta.example.org"],
        "iban": f"CM{digits[-2:]} 7411 9112 48{digits[:2]} {digits[2:]} 71",
        "credit_card": f"9910 00{digits[:2]} {digits[2:]} 4412",
        "passport": f"C{digits}7",
    }


def _digits(number: int) -> list[int]:
    found = []
    while number:
        number, digit = divmod(number, len(SURNAMES))
        found.append(digit)
    return found


MUTATIONS = {
    "value dropped": lambda text, fact, other: text.replace(fact.value, ""),
    "value misspelt": lambda text, fact, other: text.replace(fact.value, fact.value[:1] + "z" + fact.value[2:]),
    "value with two signs exchanged": lambda text, fact, other: text.replace(fact.value, _exchanged(fact.value)),
    "value in other case": lambda text, fact, other: text.replace(fact.value, fact.value.swapcase()),
    "value without blanks": lambda text, fact, other: text.replace(fact.value, fact.value.replace(" ", "")),
    "sign appended to the value": lambda text, fact, other: text.replace(fact.value, fact.value + "7"),
    "digits after the value": lambda text, fact, other: text.replace(fact.value, fact.value + " 42"),
    "hyphen after the value": lambda text, fact, other: text.replace(fact.value, fact.value + "-b"),
    "letter before the value": lambda text, fact, other: text.replace(fact.value, "x" + fact.value),
    "value twice": lambda text, fact, other: text[:-1] + f", {fact.value}" + text[-1],
    "first name only": lambda text, fact, other: text.replace(fact.name, fact.name.split()[0]),
    "name in lower case": lambda text, fact, other: text.replace(fact.name, fact.name.lower()),
    "name in capitals": lambda text, fact, other: text.replace(fact.name, fact.name.upper()),
    "name without accents": lambda text, fact, other: text.replace(
        fact.name, " ".join(map(str.capitalize, fold(fact.name).split()))
    ),
    "name twice": lambda text, fact, other: text[:-1] + f" for {fact.name}" + text[-1],
    "name of somebody else": lambda text, fact, other: text.replace(fact.name, other.name),
    "double-barrelled name": lambda text, fact, other: text.replace(fact.name, fact.name + "-Smith"),
    "further surname": lambda text, fact, other: text.replace(fact.name, fact.name + " Smith"),
    "title": lambda text, fact, other: text.replace(fact.name, "Mr " + fact.name),
    "wrong pronoun": lambda text, fact, other: text + (" He has it." if fact.gender == "female" else " She has it."),
    "another value of the person": lambda text, fact, other: text[:-1] + " and " + fact.others[0] + text[-1],
    "value of somebody else": lambda text, fact, other: text[:-1] + " or " + other.value + text[-1],
    "age": lambda text, fact, other: text[:-1] + " at 47" + text[-1],
    "age in words": lambda text, fact, other: text[:-1] + " at forty" + text[-1],
    "place": lambda text, fact, other: text[:-1] + " near Springfield" + text[-1],
    "place in lower case": lambda text, fact, other: text[:-1] + " in springfield" + text[-1],
    "further fact": lambda text, fact, other: text[:-1] + ", a keen cyclist with two dogs" + text[-1],
    "opinion": lambda text, fact, other: text[:-1] + ", which is wonderful" + text[-1],
    "bold": lambda text, fact, other: text.replace(fact.name, f"**{fact.name}**"),
    "quotes": lambda text, fact, other: f'"{text}"',
    "new line": lambda text, fact, other: text.replace(" ", "\n", 1),
    "two blanks": lambda text, fact, other: text.replace(fact.value, " " + fact.value),
    "French": lambda text, fact, other: f"Le dossier de {fact.name} indique {fact.value}.",
    "Spanish in plain letters": lambda text, fact, other: f"El registro de {fact.name} es {fact.value}.",
    "disclaimer": lambda text, fact, other: text + " This person is fictional.",
    "note of the model": lambda text, fact, other: "Here is the JSON: " + text,
    "link": lambda text, fact, other: text[:-1] + " at www.example.com" + text[-1],
    "emoji": lambda text, fact, other: text + " \U0001f600",
    "zero-width space": lambda text, fact, other: text.replace(" ", " \u200b", 1),
    "decomposed letters": lambda text, fact, other: unicodedata.normalize("NFD", text),
    "cut short": lambda text, fact, other: text[: len(text) * 2 // 3],
    "no full stop": lambda text, fact, other: text[:-1],
    "placeholder left": lambda text, fact, other: text.replace(fact.value, "[[V]]"),
    "begins in lower case": lambda text, fact, other: "so " + text,
    "far too long": lambda text, fact, other: text[:-1] + " and so on" * 20 + text[-1],
}


def _exchanged(value: str) -> str:
    place = next((at for at in range(len(value) - 2, -1, -1) if value[at] != value[at + 1]), 0)
    return value[:place] + value[place + 1 : place + 2] + value[place : place + 1] + value[place + 2 :]


def corrupted(kind: str, captions: dict[Fact, list[str]], size: int):
    """Up to `size` corrupted captions with their facts. `captions`: of at least two people, in the order of facts."""
    told = list(captions)
    made = (
        (fact, MUTATIONS[kind](text, fact, told[(place + 8) % len(told)]), text, told[(place + 8) % len(told)])
        for variant in range(5)
        for place, fact in enumerate(told)
        for text in captions[fact][variant : variant + 1]
    )
    changed = (
        (fact, bad)
        for fact, bad, text, other in made
        if bad != text and not (kind == "value of somebody else" and other.value == fact.value)
    )
    return itertools.islice(changed, size)


def facts_of(people: list[dict]) -> list[Fact]:
    return [fact for one in people for fact in facts(one)]
