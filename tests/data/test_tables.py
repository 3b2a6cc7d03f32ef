import re

import pytest

from salmu.data import tables
from salmu.data.errors import UserError
from salmu.data.keyed import python_random
from salmu.data.tables import figures
from salmu.tasks.personas.blood import TYPES
from salmu.tasks.personas.value_judges import PASSPORT

CURATED = {row["culture"] for row in tables.read("seeds") if row["role"] == "surname"} - {"nigeria", "romanian"}
PASSPORT_RULES = {  # of validator.js, isPassportNumber
    "AR": r"[A-Z]{3}\d{6}", "AT": r"[A-Z]\d{7}", "BE": r"[A-Z]{2}\d{6}", "BG": r"\d{9}", "BR": r"[A-Z]{2}\d{6}",
    "CA": r"[A-Z]{2}\d{6}", "CH": r"[A-Z]\d{7}", "CN": r"G\d{8}|E[A-HJ-NP-Z0-9]\d{7}", "CZ": r"\d{8}",
    "DE": r"[CFGHJKLMNPRTVWXYZ0-9]{9}", "DK": r"\d{9}", "ES": r"[A-Z0-9]{2}[A-Z0-9]?\d{6}", "FI": r"[A-Z]{2}\d{7}",
    "FR": r"\d{2}[A-Z]{2}\d{5}", "GB": r"\d{9}", "GR": r"[A-Z]{2}\d{7}", "HU": r"[A-Z]{2}\d{6,7}",
    "IE": r"[A-Z0-9]{2}\d{7}", "IN": r"[A-Z]\d{7}", "IR": r"[A-Z]\d{8}", "IT": r"[A-Z0-9]{2}\d{7}",
    "JP": r"[A-Z]{2}\d{7}", "KR": r"[MS]\d{8}", "NL": r"[A-Z]{2}[A-Z0-9]{6}\d", "PK": r"[A-Z]{2}\d{7}",
    "PH": r"[A-Z](\d{6}|\d{7}[A-Z])|[A-Z]{2}\d{6,7}", "PL": r"[A-Z]{2}\d{7}", "RO": r"\d{8,9}", "RU": r"\d{9}",
    "SE": r"\d{8}", "TH": r"[A-Z]{1,2}\d{6,7}", "TR": r"[A-Z]\d{8}", "UA": r"[A-Z]{2}\d{6}",
}  # fmt: skip


def names_of(culture: str) -> dict[str, list[str]]:
    return {role: [row["form"] for row in rows] for role, rows in tables.grouped(f"names/{culture}", "role").items()}


def test_a_full_name_tells_culture_and_gender():
    men, women, surnames = set(), set(), {}
    for culture in (row["culture"] for row in tables.read("cultures")):
        forms = {role: [tables.fold(form) for form in found] for role, found in names_of(culture).items()}
        for form in (form for found in forms.values() for form in found):
            assert re.fullmatch(r"[a-z]+([ -][a-z]+)*", form), form
        for role, found in forms.items():
            assert len(set(found)) == len(found), f"{culture}: two {role} forms count as one"
        men |= set(forms["given_m"])
        women |= set(forms["given_f"])
        assert not [form for role in ("given_m", "given_f") for form in forms[role] if " " in form]
        last_words = {form.split()[-1] for role in ("surname_m", "surname_f") for form in forms[role]}
        shared = last_words & set(surnames)
        assert not shared, f"{culture} and {surnames[shared.pop()]} share a surname" if shared else ""
        surnames |= dict.fromkeys(last_words, culture)
    assert not men & women


@pytest.mark.parametrize("culture", [row["culture"] for row in tables.read("cultures")])
def test_every_culture_has_names_for_its_people(culture):
    forms = names_of(culture)
    assert min(len(forms["given_m"]), len(forms["given_f"])) >= 96
    assert min(len(forms["surname_m"]), len(forms["surname_f"])) >= (123 if culture == "china" else 139)


def test_no_table_of_countries_has_a_gap():
    for table, column in (("blood", "country"), ("cities", "country"), ("phone_blocks", "country")):
        assert set(tables.grouped(table, column)) == {row["country"] for row in tables.read("countries")}
    for row in tables.read("blood"):
        assert sum(float(row[kind]) for kind in TYPES) == pytest.approx(100, abs=1.001), row["country"]
    assert all(sum(int(row["cards"]) for row in rows) == 40 for rows in tables.grouped("regions", "region").values())


def test_no_block_of_phone_numbers_lies_in_another():
    for country, rows in tables.grouped("phone_blocks", "country").items():
        prefixes = sorted(row["prefix"] for row in rows)
        assert not [pair for pair in zip(prefixes, prefixes[1:]) if pair[1].startswith(pair[0])], country


@pytest.mark.parametrize("row", tables.read("countries"), ids=lambda row: row["country"])
def test_passport_patterns_are_within_the_rule_that_they_name(row):
    assert (row["passport_from"] == "validator.js") == (row["country"] in PASSPORT_RULES)
    signs, rng = {"A": "AHNZ", "C": "CFRZ", "9": "0123456789"}, python_random("passports", row["country"])
    for _ in range(20):
        number = "".join(rng.choice(signs.get(sign, sign)) for sign in row["passport"])
        assert re.fullmatch(PASSPORT_RULES.get(row["country"], r"[A-Z0-9]{7,9}"), number)
        assert re.fullmatch("".join(PASSPORT.get(sign, sign) for sign in row["passport"]), number)


@pytest.mark.parametrize("path", sorted(tables.FOLDER.rglob("*.csv")), ids=lambda path: path.stem)
def test_every_table_states_source_and_date(path):
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert re.search("source", " ".join(header), re.I) and re.search(r"date: 20\d\d-\d\d-\d\d", " ".join(header), re.I)


@pytest.mark.parametrize(
    "content, message",
    [
        ("a,b\n1,2\n1,2\n", "row 2 repeats row 1: 1, 2; remove one of them"),
        ("a,b\n1\n", "row 1 has another number of columns"),
        ("a,b\n1,2,3\n", "row 1 has another number of columns"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    tables.read.cache_clear()
    (tmp_path / "damaged.csv").write_text("# Source: test; date: 2026-01-01\n" + content)
    with pytest.raises(UserError, match=f"damaged.csv: {message}"):
        tables.read("damaged")


def test_two_rows_for_one_country_are_refused_whatever_else_they_say(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    tables.read.cache_clear()
    (tmp_path / "blood.csv").write_text("# Source: test\ncountry,O+\nDE,40\nFR,36\nDE,41\n")
    with pytest.raises(UserError, match="blood.csv: row 3 repeats row 1: DE; remove one of them"):
        tables.read("blood")
    tables.read.cache_clear()


def test_a_missing_table_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="none.csv: no such table"):
        tables.read("none")


def test_public_figures_are_known_in_either_order_and_with_accents():
    for first, last in (
        ("Angela", "Merkel"),
        ("Ming", "Yao"),
        ("Nicolás", "Maduro Moros"),
        ("Barack Hussein", "Obama"),
    ):
        assert figures.is_figure(first, last), (first, last)
    assert not figures.is_figure("Angela", "Merkelbach")


def test_the_list_of_public_figures_holds_no_name():
    assert all(re.fullmatch("[0-9a-f]{16}", row["hash"]) for row in tables.read(figures.TABLE))
    assert len(tables.read(figures.TABLE)) > 2000


def test_a_list_of_figures_is_made_of_any_file_of_names(tmp_path, monkeypatch, capsys):
    (tmp_path / "one.txt").write_text("Ada_Lovelace\nPlato\n")
    (tmp_path / "two.tsv").write_text("id\tname\n1\tÉmile Zola\n2\tADA LOVELACE\n")
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    files = [str(tmp_path / "one.txt"), str(tmp_path / "two.tsv")]
    monkeypatch.setattr("sys.argv", ["figures", *files, "--source", "two lists", "--licence", "CC0-1.0"])
    figures.main()
    text = (tmp_path / "public_figures.csv").read_text()
    assert capsys.readouterr().out == "2 names in public_figures.csv\n"
    assert "# Source: two lists; licence: CC0-1.0; 2 names." in text
    assert text.splitlines()[-2:] == sorted([figures.hashed("Lovelace Ada"), figures.hashed("emile zola")])


def test_a_file_of_names_without_that_column_is_refused(tmp_path):
    (tmp_path / "names.csv").write_text("person\nAda Lovelace\n")
    with pytest.raises(UserError, match="no column 'name'; it has person"):
        list(figures.names_in(tmp_path / "names.csv", "name"))
    with pytest.raises(UserError, match="cannot be read"):
        list(figures.names_in(tmp_path / "none.txt", "name"))
