import json

import pytest
from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from salmu.data import keyed, schemas
from salmu.data.errors import UserError
from salmu.data.identities import identity_id
from salmu.data.publish import metadata
from salmu.tasks.personas import stage
from salmu.tasks.personas.judge import judge, published_rows, verify_personas


def row_of(serial: int) -> dict:
    rng, settings = keyed.python_random("judged", serial), stage.Settings()
    person = {
        "identity_id": identity_id(0, serial),
        "gender": rng.choice(schemas.GENDERS),
        "age_group": rng.choice(schemas.AGE_GROUPS),
        "region": schemas.REGIONS[serial % 7],
    }
    return stage.persona(person, settings, stage.load_engine(settings))


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [row_of(serial) for serial in range(300)]


def of(rows: list[dict], country: str) -> dict:
    return dict(next(row for row in rows if row["country_code"] == country))


def claiming(row: dict, field: str, level: str) -> dict:
    proof = json.loads(row["proof"])
    proof[field]["level"] = level
    return row | {"proof": json.dumps(proof)}


def test_every_persona_of_all_65_countries_passes(rows):
    verdict = judge(rows)
    assert verdict.problems == [] and verdict.personas == 300
    assert len({row["country_code"] for row in rows}) == 65
    table = verify_personas(rows)
    assert {(line["field"], line["level"]) for line in table} == {
        ("name", "G1"), ("phone_number", "G2"), ("phone_number", "G3"), ("emails", "G3"), ("iban", "G1"),
        ("iban", "G2"), ("iban", "G3"), ("credit_card", "G3"), ("passport", "G1"),
    }  # fmt: skip


def test_a_published_folder_is_judged_by_its_two_documents(rows):
    documents = metadata.documents([], rows)
    pairs = [{"identity_id": row["identity_id"], "kind": "", "file_name": ""} for row in rows]
    documents = metadata.documents(pairs, rows)
    published = json.loads(metadata.to_bytes(documents["identities_metadata.json"]))
    proofs = json.loads(metadata.to_bytes(documents[metadata.PROOF_OF_FICTION]))
    assert judge(published_rows(published, proofs)).problems == []
    (first, *_) = published
    del proofs[first]
    assert {problem.identity for problem in judge(published_rows(published, proofs)).problems} == {first}


def real_card(row: dict) -> dict:
    digits = "411111111111111"
    return row | {"credit_card": digits + luhn.calc_check_digit(digits)}


def real_iban(row: dict) -> dict:
    return row | {"iban": "DE89 3704 0044 0532 0130 00"}


def iban_with_a_wrong_national_check(row: dict) -> dict:
    iban = row["iban"].replace(" ", "")
    body = iban[4:-1] + str((int(iban[-1]) + 1) % 10)
    return row | {"iban": "ES" + mod_97_10.calc_check_digits(body + "ES") + body}


@pytest.mark.parametrize(
    "country, change, field, what",
    [
        ("US", lambda row: row | {"phone_number": "+1 202-456-1111"}, "phone_number", "in no reserved range"),
        ("IN", lambda row: row | {"phone_number": "+91 98101 23456"}, "phone_number", "can be somebody's"),
        ("IN", lambda row: row | {"phone_number": "+1 202-555-0123"}, "phone_number", "is not of IN"),
        ("IN", lambda row: row | {"phone_number": "+91 12"}, "phone_number", "is of no possible length"),
        ("IN", lambda row: row | {"phone_number": "none"}, "phone_number", "international form"),
        ("US", lambda row: claiming(row, "phone_number", "G2"), "phone_number", "in a reserved range"),
        ("DE", real_iban, "iban", "which exists"),
        ("ES", iban_with_a_wrong_national_check, "iban", "breaks the rules of ES"),
        (
            "US",
            lambda row: row | {"iban": row["iban"][:-1] + str((int(row["iban"][-1]) + 1) % 10)},
            "iban",
            "wrong check",
        ),
        ("US", real_iban, "iban", "no IBAN of US"),
        ("SA", lambda row: claiming(row, "iban", "G2"), "iban", "level G2"),
        ("US", real_card, "credit_card", "in a range that can be issued"),
        ("US", lambda row: row | {"credit_card": "9" + row["credit_card"][1:-1] + "x"}, "credit_card", "check digit"),
        ("US", lambda row: row | {"emails": ["someone@gmail.com"]}, "emails", "not below a domain"),
        ("US", lambda row: row | {"emails": ["x@mail.example.com"]}, "emails", "does not agree with the name"),
        ("US", lambda row: row | {"emails": ["a b@mail.example.com"]}, "emails", "not a mail address"),
        ("DE", lambda row: row | {"passport": "12"}, "passport", "not of the form"),
        ("DE", lambda row: claiming(row, "passport", "G3"), "passport", "no passport range"),
        ("DE", lambda row: row | {"name": "Angela Dorothea Merkel"}, "name", "public figure's"),
        ("DE", lambda row: row | {"name": "Анна Иванова"}, "name", "Latin letters"),
        ("DE", lambda row: claiming(row, "name", "G2"), "name", "no name can be proven"),
        ("DE", lambda row: row | {"city": "Atlantis"}, "city", "not a city of DE"),
        ("DE", lambda row: row | {"job": "surgeon", "age": 21}, "job", "'surgeon' at 21"),
        ("DE", lambda row: row | {"age": 16}, "age", "no adult"),
        ("DE", lambda row: row | {"blood_type": "C+"}, "blood_type", "is none"),
        ("DE", lambda row: row | {"iban": None}, "iban", "no value"),
        ("DE", lambda row: {key: row[key] for key in row if key != "job"}, "job", "no value"),
        ("DE", lambda row: row | {"proof": "{}"}, "iban", "no proof of fiction"),
        ("DE", lambda row: row | {"country_code": "XX"}, "country_code", "not in data/tables/countries.csv"),
    ],
)
def test_each_kind_of_wrong_value_is_named(rows, country, change, field, what):
    problems = judge([change(of(rows, country))]).problems
    assert any(problem.field == field and what in problem.what for problem in problems), problems


def test_a_value_of_two_personas_is_named_whatever_its_case(rows):
    one, other = dict(rows[0]), dict(rows[1])
    other["passport"] = one["passport"].lower()
    problems = judge([one, other]).problems
    assert any(f"is also that of {one['identity_id']}" in problem.what for problem in problems)


def test_verify_tells_how_many_problems_there_are_and_the_first(rows):
    with pytest.raises(UserError, match=r"^\d+ problems in 2 personas, the first: \d{8} iban: .* which exists"):
        verify_personas([real_iban(of(rows, "DE")), rows[1]])
