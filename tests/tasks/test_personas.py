import json
import re
from collections import Counter

import email_validator
import nomquamgender
import phonenumbers
import pytest
import schwifty
import stdnum.iban
from helpers import run_stages
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_run import put
from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from data import keyed, schemas, tables
from data.errors import UserError
from data.identities import IDENTITIES, identity_id, permute, serial_of, unpermute
from data.store import Store
from tasks.personas import names, phone, stage
from tasks.personas.blood import TYPES
from tasks.personas.country import deal
from tasks.personas.turns import turns_of

IDENTIFYING = ("name", "phone_number", "iban", "credit_card", "passport")
RESERVED = re.compile(  # written down anew from the regulators' pages, not from our table
    r"\+1\d{3}55501\d\d|\+447700900\d{3}|\+441632960\d{3}|\+3532091\d{5}|\+61[2378](5550|7010)\d{4}|\+463?70174060[5-9]|\+467017406[1-9]\d"
    r"|\+49(3023125|6990009|4066969|2214710|8999998)\d{3}|\+33(63998|19900)\d{4}"
)
SURNAMES = {  # country of the culture -> what a woman's surname ends in, and a man's never does
    "russian": r"(ova|eva|ina|yna|aia)$",
    "bulgarian": r"(ova|eva)$",
    "czech": r"á$",
    "polish": r"(ska|cka|dzka)$",
}


def has_ibans(country: str) -> bool:
    try:
        return not schwifty.registry.get_iban_spec(country).aspirational
    except schwifty.exceptions.InvalidCountryCode:
        return False


def traits(number: int) -> dict[str, str]:
    """Of the identity with this serial number under seed 0."""
    rng = keyed.python_random("traits", number)
    return {
        "identity_id": identity_id(0, number),
        "gender": rng.choice(schemas.GENDERS),
        "age_group": rng.choice(schemas.AGE_GROUPS),
        "region": schemas.REGIONS[number % 7],
    }


def made(people: list[dict[str, str]], **settings) -> list[dict]:
    chosen = stage.Settings(**settings)
    fake, turns = (
        stage.load_engine(chosen),
        turns_of({person["identity_id"]: person for person in people}, chosen.seed, chosen.countries),
    )
    return [stage.persona(person, chosen, fake, turns[person["identity_id"]]) for person in people]


def ran(folder, people: list[dict[str, str]], **settings) -> Store:
    store = Store(folder)
    put(
        store,
        "curation",
        schemas.CURATION,
        [
            {"file_name": f"{person['identity_id']}_001.jpg", "kept": True, "role": "sensitive"} | person
            for person in people
        ],
    )
    return run_stages(store, {"personas": stage.Settings(**settings)})


@pytest.fixture(scope="module")
def thousand():
    return made([traits(number) for number in range(1000)])


def test_every_identifying_value_is_unique_whatever_its_case(thousand):
    for column in IDENTIFYING:
        assert len({row[column].casefold() for row in thousand}) == 1000, column
    assert len({row["emails"][0].casefold() for row in thousand}) == 1000


def test_phones_are_set_aside_for_drama_or_cannot_exist(thousand):
    for row in thousand:
        parsed = phonenumbers.parse(row["phone_number"])
        plain = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        assert phonenumbers.is_possible_number(parsed)
        level = json.loads(row["proof"])["phone_number"]["level"]
        assert bool(RESERVED.fullmatch(plain)) == (level == "G3"), plain
        assert level == "G3" or not phonenumbers.is_valid_number(parsed), plain
        assert row["country_code"] in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[parsed.country_code]


def test_north_american_numbers_have_an_area_code_of_their_country():
    for row in made([traits(7 * number) for number in range(400)], countries=("US", "CA"))[:150]:
        assert phonenumbers.region_code_for_number(phonenumbers.parse(row["phone_number"])) == row["country_code"]


@pytest.mark.filterwarnings("ignore:No national checksum algorithm")
@pytest.mark.parametrize("country", [row["country"] for row in tables.read("countries")])
def test_ibans_are_well_formed_but_of_no_bank(country):
    fake = stage.load_engine(stage.Settings())
    for number in (0, 7, 12_345, 99_999_999):
        value = fake.fictitious_iban(country, number, "0")
        iban = value.text.replace(" ", "")
        assert iban[:2] == country and mod_97_10.is_valid(iban[4:] + iban[:4])
        if has_ibans(country):
            judged = schwifty.IBAN(iban, validate_bban=True)
            assert judged.bank is None and stdnum.iban.is_valid(iban, check_country=False)
        else:
            assert value.level == "G3"


def test_hungarian_account_numbers_have_right_check_digits():
    fake = stage.load_engine(stage.Settings())
    for number in range(20):
        account = fake.fictitious_iban("HU", number, "0").text.replace(" ", "")[4:]
        for part in (account[:8], account[8:]):
            assert sum(int(digit) * weight for digit, weight in zip(part, (9, 7, 3, 1) * 4)) % 10 == 0


def test_cards_pass_luhn_in_a_range_that_nobody_issues(thousand):
    for row in thousand:
        digits = row["credit_card"].replace(" ", "")
        assert len(digits) == 16 and luhn.is_valid(digits)
        assert digits[0] == "9" and 900 <= int(digits[1:4]) <= 999


def test_mail_addresses_are_deliverable_in_form_reserved_and_agree_with_the_name(thousand):
    for row in thousand:
        (address,) = row["emails"]
        email_validator.validate_email(address, check_deliverability=False)
        local, host = address.split("@")
        assert re.search(r"(^|\.)example\.(com|net|org)$", host) and len(local) <= 64
        assert re.split(r"[._]", local) == [part for part in tables.fold(row["name"]).split()]


def test_several_mail_addresses_differ():
    (row,) = made([traits(5)], emails=3)
    assert len(set(row["emails"])) == 3 and len({address.split("@")[0] for address in row["emails"]}) == 1


def test_passports_have_the_form_of_their_country(thousand):
    for row in thousand:
        pattern = tables.grouped("countries", "country")[row["country_code"]][0]["passport"]
        form = pattern.replace("9", r"\d").replace("A", "[A-Z]").replace("C", "[A-Z]")
        assert re.fullmatch(form, row["passport"]) and len(row["passport"]) <= 9
        assert json.loads(row["proof"])["passport"]["level"] == "G1"


def test_traits_age_job_and_city_fit(thousand):
    for number, row in enumerate(thousand):
        assert {key: row[key] for key in traits(number)} == traits(number)
        assert row["age_group"] == "70+" and row["age"] >= 70 or str(row["age"] // 10) == row["age_group"][0]
        (job,) = tables.grouped("jobs", "job")[row["job"]]
        assert int(job["min_age"]) <= row["age"] <= int(job["max_age"])
        assert row["city"] in {city["city"] for city in tables.grouped("cities", "country")[row["country_code"]]}
        assert not set(tables.fold(row["city"]).split()) & set(tables.fold(row["name"]).split())


def test_names_have_the_gender_by_their_surname_ending(thousand):
    culture_of = {
        row["form"]: culture
        for culture in SURNAMES
        for row in tables.read(f"names/{culture}")
        if "surname" in row["role"]
    }
    judged = [
        (row["gender"], row["last_name"], SURNAMES[culture_of[row["last_name"]]])
        for row in thousand
        if row["last_name"] in culture_of
    ]
    assert len(judged) > 20
    assert not [case for case in judged if case[0] == "male" and re.search(case[2], case[1])]
    assert not [case for case in judged if case[0] == "female" and re.search(r"(ov|ev|ski|cki|skii)$", case[1])]


def test_names_have_the_gender_that_a_name_database_gives_them(thousand):
    judge = nomquamgender.NBGC()
    table = judge.annotate(
        [f"{tables.fold(row['first_name'].split()[0]).split('-')[0]} x" for row in thousand], as_df=True
    )
    female = [
        (row["gender"], share)
        for row, share, count in zip(thousand, table["p(gf)"], table["counts"].fillna(0), strict=True)
        if count >= 20
    ]
    assert len(female) > 500
    assert not [(gender, share) for gender, share in female if (share >= 0.5) != (gender == "female")]


def test_spanish_speakers_have_two_surnames_and_most_others_one(thousand):
    for row in thousand:
        if row["country_code"] in ("ES", "MX", "AR", "CO", "CL", "PE", "EC", "GT"):
            assert len(row["last_name"].split()) == 2


def test_tables_of_names_leave_no_doubt():
    given, surnames = {"m": set(), "f": set()}, {}
    for culture in (row["culture"] for row in tables.read("cultures")):
        own = set()
        for row in tables.read(f"names/{culture}"):
            form = tables.fold(row["form"])
            assert re.fullmatch(r"[a-z]+([ -][a-z]+)*", form), form
            if row["role"].startswith("given"):
                given[row["role"][-1]].add(form)
                assert " " not in form
            else:
                own.add(form)
        assert not own & set(surnames), "a surname of two cultures"
        surnames |= dict.fromkeys(own, culture)
    assert not given["m"] & given["f"]
    assert not {word for form in surnames for word in form.split()} & (given["m"] | given["f"])


@pytest.mark.parametrize("culture, gender", [("egypt", "female"), ("spanish", "male"), ("senegal", "male")])
def test_names_of_all_lengths_differ_for_serials_below_their_number(culture, gender):
    fake, pool = stage.load_engine(stage.Settings()), names.pools(culture, gender)
    serials = [range(min(600, pool.size(0))), range(600), range(600)]
    found = [
        str(fake.fictitious_name(culture, gender, serial, "0", further))
        for further in range(3)
        for serial in serials[further]
    ]
    assert len(set(found)) == len(found) == sum(map(len, serials))
    assert len(found[-1].split()) == 3 + pool.surname_count
    wrapped = fake.fictitious_name(culture, gender, 5 + pool.size(0), "0")
    assert wrapped == fake.fictitious_name(culture, gender, 5, "0")  # why the stage settles turns


@settings(max_examples=40)
@given(st.integers(1, 3000), st.text(max_size=8))
def test_permutation_is_a_bijection_that_can_be_undone(size, key):
    places = [permute(number, size, key) for number in range(size)]
    assert sorted(places) == list(range(size))
    assert [unpermute(place, size, key) for place in places[:50]] == list(range(min(size, 50)))


@given(st.integers(0, IDENTITIES - 1), st.integers(0, 2**40))
def test_ids_have_eight_digits_and_lead_back_to_their_serial(serial, seed):
    identity = identity_id(seed, serial)
    assert re.fullmatch(r"\d{8}", identity) and serial_of(seed, identity) == serial


@given(st.integers(0, 10**8 - 1), st.integers(0, 10**8 - 1))
def test_permutation_of_a_large_range_keeps_numbers_apart(one, other):
    places = permute(one, 10**13, "card"), permute(other, 10**13, "card")
    assert (places[0] == places[1]) == (one == other) and max(places) < 10**13


def test_permutation_refuses_numbers_outside():
    with pytest.raises(ValueError):
        permute(10, 10, "")


def test_a_persona_is_the_same_alone_among_many_and_in_any_order(tmp_path, thousand):
    alone = list(ran(tmp_path / "alone", [traits(321)]).view("personas", "identity_id").rows())
    many = [traits(number) for number in reversed(range(300, 350))]
    among = list(ran(tmp_path / "among", many, shard_size=7).view("personas", "identity_id").rows())
    assert alone == [row for row in among if row["identity_id"] == identity_id(0, 321)]
    assert [row["identity_id"] for row in among] == sorted(row["identity_id"] for row in among)
    assert alone[0]["iban"] == thousand[321]["iban"] and alone[0]["name"] == thousand[321]["name"]


def test_another_seed_gives_another_person():
    one, other = (made([traits(3)], seed=seed)[0] for seed in (0, 1))
    assert not [column for column in IDENTIFYING if one[column] == other[column]]


def test_only_sensitive_identities_get_a_persona(tmp_path):
    store = ran(tmp_path, [traits(1), traits(2) | {"role": "retain"}, traits(3) | {"role": "dropped"}])
    assert [row["identity_id"] for row in store.view("personas", "identity_id").rows()] == [identity_id(0, 1)]


def test_all_countries_occur_from_300_personas_and_a_small_run_is_spread():
    countries = Counter(deal(schemas.REGIONS[number % 7], number, "0")[0] for number in range(300))
    assert len(countries) == 65
    assert len({deal(schemas.REGIONS[number % 7], number, "0")[0] for number in range(48)}) >= 25


def test_countries_can_be_limited(tmp_path):
    rows = made([traits(number) for number in (0, 7, 14, 21)], countries=("DE", "FR"))
    assert {row["country_code"] for row in rows} <= {"DE", "FR"}
    with pytest.raises(UserError, match="XX.*not in data/tables/countries.csv"):
        ran(tmp_path, [traits(0)], countries=("DE", "XX"))
    with pytest.raises(UserError, match="deck of region 'Black'"):
        made([traits(1)], countries=("DE",))


def test_of_two_with_one_name_the_lower_serial_keeps_it_and_the_other_gets_a_further_name(tmp_path):
    size = names.pools("egypt", "female").size(0)
    egyptian = {"region": "Middle Eastern", "gender": "female"}
    people = [traits(serial) | egyptian for serial in (4, 4 + size, 4 + 2 * size)]
    rows = {
        row["identity_id"]: row
        for row in ran(tmp_path / "all", people, countries=("EG",)).view("personas", "identity_id").rows()
    }
    found = [rows[person["identity_id"]] for person in people]
    assert [len(row["name"].split()) for row in found] == [2, 3, 3] and len({row["name"] for row in found}) == 3
    (alone,) = ran(tmp_path / "one", people[:1], countries=("EG",)).view("personas", "identity_id").rows()
    assert alone == found[0]


def test_of_two_with_one_drama_number_the_second_gets_one_that_cannot_exist(tmp_path):
    british = {"region": "White", "gender": "male"}
    people = [traits(serial) | british for serial in (11, 11 + phone.tiers("GB")[0].size)]
    rows = ran(tmp_path, people, countries=("GB",)).view("personas", "identity_id").rows()
    levels = {row["identity_id"]: json.loads(row["proof"])["phone_number"]["level"] for row in rows}
    assert [levels[person["identity_id"]] for person in people] == ["G3", "G2"]


def test_an_identity_for_which_nothing_is_left_is_rejected_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "MOST_FURTHER", 0)
    people = [
        traits(serial) | {"region": "Middle Eastern", "gender": "female"}
        for serial in (4, 4 + names.pools("egypt", "female").size(0))
    ]
    view = ran(tmp_path, people, countries=("EG",)).view("personas", "identity_id")
    assert [row["identity_id"] for row in view.rows()] == [people[0]["identity_id"]]
    (reject,) = view.rejects()
    assert (
        reject.item == people[1]["identity_id"] and reject.reason == "no fictitious value" and "names" in reject.detail
    )


def test_ids_of_another_origin_give_unique_personas_too():
    rows = made(
        [
            traits(number) | {"identity_id": f"{keyed.integer('elsewhere', number) % 10**8:08d}"}
            for number in range(1000)
        ]
    )
    for column in IDENTIFYING:
        assert len({row[column].casefold() for row in rows}) == 1000, column


def test_unknown_traits_are_rejected_and_bad_ids_refused(tmp_path):
    store = ran(tmp_path / "a", [traits(1) | {"gender": None}])
    assert store.view("personas", "identity_id").rejects()[0].item == identity_id(0, 1)
    with pytest.raises(UserError, match="'abc' is not an id of 8 digits"):
        ran(tmp_path / "b", [traits(1) | {"identity_id": "abc"}])


@pytest.mark.parametrize("country", ["US", "EC", "KR"])
def test_blood_types_are_as_frequent_as_in_the_country(country):
    fake = stage.load_engine(stage.Settings())
    fake.random = keyed.python_random("blood test", country)
    counts = Counter(fake.blood_type_in(country) for _ in range(5000))
    shares = [float(tables.grouped("blood", "country")[country][0][kind]) for kind in TYPES]
    merged = [(counts[kind], share) for kind, share in zip(TYPES, shares, strict=True)]
    common, rare = [pair for pair in merged if pair[1] > 1], [pair for pair in merged if pair[1] <= 1]
    observed = [pair[0] for pair in common] + [sum(pair[0] for pair in rare)]
    expected = [pair[1] for pair in common] + [sum(pair[1] for pair in rare)]
    assert chisquare(observed, [share * 5000 / sum(expected) for share in expected]).pvalue > 0.001


def test_tables_are_complete():
    for table, column in (("blood", "country"), ("cities", "country"), ("phone_blocks", "country")):
        assert set(tables.grouped(table, column)) == {row["country"] for row in tables.read("countries")}
    for row in tables.read("blood"):
        assert sum(float(row[kind]) for kind in TYPES) == pytest.approx(100, abs=1.001), row["country"]
    assert all(sum(int(row["cards"]) for row in rows) == 40 for rows in tables.grouped("regions", "region").values())
    for country, rows in tables.grouped("phone_blocks", "country").items():
        prefixes = sorted(row["prefix"] for row in rows)
        assert not [pair for pair in zip(prefixes, prefixes[1:]) if pair[1].startswith(pair[0])], country


@pytest.mark.parametrize(
    "content, message", [("a,b\n1,2\n1,2\n", "row 2 stands there twice"), ("a,b\n1\n", "row 1 has another number")]
)
def test_a_damaged_table_is_named(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    (tmp_path / f"{message[-5:]}.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        tables.read(message[-5:])


def test_summary_tells_countries_and_levels_of_proof(tmp_path):
    store = ran(tmp_path, [traits(number) for number in range(30)])
    summary = stage.summarise(stage.Settings(), store.view("personas", "identity_id"), {})
    assert "30 personas" in summary.text
    assert sum(row["personas"] for row in summary.tables["Personas by country"]) == 30
    assert {row["field"] for row in summary.tables["Proof of fiction"]} == {
        "name",
        "phone_number",
        "emails",
        "iban",
        "credit_card",
        "passport",
    }
    assert len(summary.tables["Sample personas"]) == 20
