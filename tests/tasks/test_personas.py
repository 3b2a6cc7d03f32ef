import json
import re
from collections import Counter

import email_validator
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

from salmu.data import keyed, schemas, tables
from salmu.data.errors import UserError
from salmu.data.identities import IDENTITIES, identity_id, permute, serial_of, unpermute
from salmu.data.store import Store
from salmu.data.tables import figures
from salmu.tasks.personas import country, names, phone, stage
from salmu.tasks.personas.blood import TYPES
from salmu.tasks.personas.country import deal

IDENTIFYING = ("name", "phone_number", "iban", "credit_card", "passport")
RESERVED = re.compile(  # written down anew from the regulators' pages, not from our table
    r"\+1\d{3}55501\d\d|\+447700900\d{3}|\+441632960\d{3}|\+3532091\d{5}|\+61[2378](5550|7010)\d{4}|\+463?70174060[5-9]|\+467017406[1-9]\d"
    r"|\+49(3023125|6990009|4066969|2214710|8999998)\d{3}|\+33(63998|19900|26191|35301|46571|53649)\d{4}"
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
    fake = stage.load_engine(chosen)
    return [stage.persona(person, chosen, fake) for person in people]


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
    import nomquamgender  # seconds

    judge = nomquamgender.NBGC()
    table = judge.annotate(
        [f"{tables.fold(row['first_name'].split()[0]).replace('-', '')} x" for row in thousand], as_df=True
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


@pytest.mark.parametrize("culture, gender", [("egypt", "female"), ("spanish", "male"), ("senegal", "male")])
def test_names_of_all_numbers_and_turns_differ(culture, gender):
    sizes = names.first_turns(culture, gender)
    starts = [sum(sizes[:further]) for further in range(4)]
    numbers = [start + step for start in starts for step in (*range(300), *range(-300, 0)) if start + step >= 0]
    found = [str(names.nth_name(culture, gender, number, "0", turn)) for number in set(numbers) for turn in (0, 1)]
    assert len({tables.fold(name) for name in found}) == len(found) >= 4000
    lengths = {
        further: len(str(names.nth_name(culture, gender, start, "0")).split()) for further, start in enumerate(starts)
    }
    assert lengths == {further: 1 + further + names.pools(culture, gender).surname_count for further in range(4)}


def test_a_small_name_space_is_used_up_without_a_repetition(monkeypatch):
    few = names.Pools(["Ana", "Eva", "Ida", "Ola"], ["Ana", "Eva", "Ida", "Ola"], ["Alm", "Bek", "Cid"], 1)
    few = few._replace(further=few.given)
    monkeypatch.setattr(names, "pools", lambda culture, gender: few)
    names.first_turns.cache_clear()
    sizes = names.first_turns("few", "female")
    assert sizes[:2] == (12, 18)  # 4 x 3 names of two words; of the 36 with one further name half are second turns
    found = [str(names.nth_name("few", "female", number, "0", turn)) for turn in (0, 1) for number in range(30)]
    assert len(set(found)) == 60
    names.first_turns.cache_clear()


def test_a_public_figures_name_goes_to_nobody_and_moves_nobody_else(monkeypatch):
    place = [deal("White", serial, "0", ("GB",)) for serial in range(40)]
    fake = stage.load_engine(stage.Settings())

    def all_names() -> list[str]:
        return [str(fake.fictitious_name(one.culture, "male", one.of_culture, "0")) for one in place]

    before = all_names()
    monkeypatch.setattr(figures, "hashes", lambda: frozenset({figures.hashed(before[7])}))
    after = all_names()
    assert [one for one, other in zip(before, after) if one != other] == [before[7]]
    assert len(after[7].split()) == 3 and after[7] not in before


def test_numbers_of_a_culture_and_of_a_country_belong_to_one_identity_each():
    dealt = [deal(region, serial, "7") for serial in range(3000) for region in schemas.REGIONS]
    # a serial has one region in a run, and may have any: all of them together must not share a number either
    assert len({(one.culture, one.of_culture) for one in dealt}) == len(dealt)
    assert len({(one.country, one.of_country) for one in dealt}) == len(dealt)
    assert all(one.of_culture < country.most("culture", one.culture, (), 3000) for one in dealt)
    assert all(one.of_country < country.most("country", one.country, (), 3000) for one in dealt)


@pytest.mark.parametrize("row", tables.read("countries"), ids=lambda row: row["country"])
def test_names_and_phones_suffice_for_any_id_of_eight_digits(row):
    assert phone.tiers(row["country"])[-1].size >= country.most("country", row["country"])
    for gender in schemas.GENDERS:
        sizes = names.first_turns(row["culture"], gender)
        assert sum(sizes[:-1]) >= country.most("culture", row["culture"])


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
    countries = [deal(schemas.REGIONS[number % 7], number, "0").country for number in range(300)]
    assert len(set(countries)) == 65 and len(set(countries[:48])) >= 25


def test_countries_can_be_limited(tmp_path):
    rows = made([traits(number) for number in (0, 7, 14, 21)], countries=("DE", "FR"))
    assert {row["country_code"] for row in rows} <= {"DE", "FR"}
    with pytest.raises(UserError, match="XX.*not in data/tables/countries.csv"):
        ran(tmp_path, [traits(0)], countries=("DE", "XX"))
    with pytest.raises(UserError, match="deck of region 'Black'"):
        ran(tmp_path / "black", [traits(1)], countries=("DE",))


def test_the_first_of_a_country_get_drama_numbers_and_the_next_ones_that_cannot_exist():
    fake, (reserved, other) = stage.load_engine(stage.Settings()), phone.tiers("GB")
    step = country.most("country", "GB")
    levels = {number: fake.fictitious_phone("GB", number, "0", step).level for number in (0, reserved.size - 1)}
    levels |= {number: fake.fictitious_phone("GB", number, "0", step).level for number in (reserved.size, step - 1)}
    assert list(levels.values()) == ["G3", "G3", "G2", "G2"]
    texts = {fake.fictitious_phone("GB", number, "0", step).text for number in range(reserved.size)}
    assert len(texts) == reserved.size and other.size >= step


def test_a_number_that_the_metadata_calls_valid_is_passed_over_and_nobody_else_gets_another(monkeypatch):
    fake, judged = stage.load_engine(stage.Settings()), phonenumbers.is_valid_number
    step = country.most("country", "CH", (), 1000)
    before = [fake.fictitious_phone("CH", number, "0", step).text for number in range(step)]
    monkeypatch.setattr(
        phone.phonenumbers,
        "is_valid_number",
        lambda found: phonenumbers.format_number(found, 1) == before[3] or judged(found),
    )
    after = [fake.fictitious_phone("CH", number, "0", step).text for number in range(step)]
    assert [number for number in range(step) if before[number] != after[number]] == [3]
    assert len(set(after)) == step


def test_an_identity_for_which_nothing_is_left_is_rejected_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "is_figure", lambda first, last: "Egypt" not in first)
    people = [traits(4) | {"region": "Middle Eastern", "gender": "female"}, traits(5) | {"gender": "other"}]
    view = ran(tmp_path, people).view("personas", "identity_id")
    assert not list(view.rows())
    assert {reject.item: reject.detail for reject in view.rejects()} == {
        identity_id(0, 4): "no female name of culture " + deal("Middle Eastern", 4, "0").culture + " is left",
        identity_id(0, 5): f"gender 'other' or age group {people[1]['age_group']!r} unknown",
    }


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
