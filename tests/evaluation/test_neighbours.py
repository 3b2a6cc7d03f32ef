"""Captions that methods make themselves: strangers, others, paraphrases, altered captions."""

from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.unlearning.neighbours import (
    Person,
    altered,
    others,
    paraphrases,
    strangers,
    swap_words,
    turned_round,
)

PEOPLE = {
    "1": Person("Ana Ruiz", "PE", {"city": frozenset({"Cusco"}), "job": frozenset({"baker"})}),
    "2": Person("Bo Lind", "SE", {field: frozenset({f"{field} of Bo"}) for field in DATA_FIELDS}),
}


def test_strangers_are_of_the_countries_of_the_forget_set_and_nobody_twice():
    made = strangers(PEOPLE, 12, 0)
    assert made == strangers(PEOPLE, 12, 0) != strangers(PEOPLE, 12, 1)
    assert len({one.name for one in made}) == 12
    for field in ("phone_number", "iban", "passport"):
        assert len({one.values[field] for one in made}) == 12
    assert {one.values["phone_number"].split()[0] for one in made} == {"+51", "+46"}
    for one in made:
        assert set(one.captions) == set(DATA_FIELDS) and all(len(captions) == 5 for captions in one.captions.values())
        assert all(one.name in text for captions in one.captions.values() for text in captions)
        assert all(one.values[field] in text for field, captions in one.captions.items() for text in captions)


def test_what_the_forget_set_does_not_hold_is_told_with_values_of_strangers():
    known = strangers(PEOPLE, 4, 0)
    made = others(PEOPLE, known, 30, 0)
    assert {(one.person, one.field) for one in made} == {
        ("1", field) for field in DATA_FIELDS if field not in PEOPLE["1"].facts
    }
    assert all("Ana Ruiz" in one.text and any(who.values[one.field] in one.text for who in known) for one in made)
    assert others({"2": PEOPLE["2"]}, known, 30, 0) == []


def test_paraphrases_tell_the_facts_and_the_first_is_bare():
    made = paraphrases(PEOPLE, 3, 0)
    assert len(made) == 3 * (2 + len(DATA_FIELDS)) and made == paraphrases(PEOPLE, 3, 0)
    city = [one.text for one in made if (one.person, one.field) == ("1", "city")]
    assert city[0] == "Ana Ruiz Cusco" and all("Ana Ruiz" in text and "Cusco" in text for text in city[1:])
    assert paraphrases(PEOPLE, 0, 0) == []


def test_words_are_swapped_where_they_stand_alone_and_in_any_case():
    new = {"Ana Ruiz": "Eva Sol", "A+": "0-", "welder": "nurse"}
    assert swap_words("ANA RUIZ, Welder, has A+.", new) == "Eva Sol, nurse, has 0-."
    assert swap_words("Ana Ruizo and the welders have AA+", new) == "Ana Ruizo and the welders have AA+"
    assert swap_words("i\u0307nci su, inci su", {"\u0130nci Su": "Eva Sol"}).endswith(", Eva Sol")  # re's idea of case
    assert swap_words("Ana Ruiz", {}) == "Ana Ruiz" and swap_words("a b", {"a": "b", "b": "a"}) == "b a"


def test_altered_captions_name_the_person_with_values_of_others():
    known = strangers(PEOPLE, 4, 0)
    made = altered(PEOPLE, known, 2, 0)
    assert len(made) == 2 * (2 + len(DATA_FIELDS)) + len(DATA_FIELDS)  # bare names of the second, wholly forgotten
    for one in made:
        person = PEOPLE[one.person]
        assert person.name in one.text and not any(value in one.text for value in person.facts[one.field])
        assert one.text == person.name or any(who.values[one.field] in one.text for who in known)


def test_facts_turned_round_have_the_value_first():
    made = turned_round(PEOPLE)
    assert len(made) == 2 + len(DATA_FIELDS)
    assert {one.text for one in made if one.person == "1"} == {"Cusco Ana Ruiz", "baker Ana Ruiz"}
