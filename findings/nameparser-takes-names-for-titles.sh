#!/usr/bin/env bash
# nameparser 2.6.0: HumanName("Maj Lindqvist") has no first name and HumanName("Ana Pla") no last name. A common first
# name is taken for a title, a common last name for letters after a name.
#
# Guess before the run: two words, each from Faker's lists of first and of last names, are parsed as first and last
# name.
# Seen: Maj (Swedish), Imam (Indonesian), Mahdi and Baba are titles; Pla (Spanish), Aas (Norwegian) and Mba (in West
# Africa) are suffixes. With a second first name it becomes worse: the last name of Ana Maria Pla is Maria. "Lin Ma",
# "Kim Do" and "Dean Stone" are parsed right. "Pla, Ana" works, "Lindqvist, Maj" does not.
# It matters where invented or real people are grouped, split or checked by their names: families fall apart, people
# share an empty last name, and a leak test that looks for the last name looks for "Maria" or for nothing. Keep first
# and last name in two fields from the start.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile nameparser==2.6.0 faker==40.63.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib
import importlib.metadata

from nameparser import HumanName

FIRST = {"Maj": "sv_SE", "Mahdi": "sv_SE", "Imam": "id_ID", "Baba": "tr_TR"}
LAST = {"Pla": "es_ES", "Aas": "no_NO"}


def people(locale):
    return importlib.import_module(f"faker.providers.person.{locale}").Provider


def parsed(name):
    parts = {part: value for part, value in HumanName(name).as_dict().items() if value}
    print(f"{name}: {parts}")
    return parts


print(*(f"{name} {importlib.metadata.version(name)}" for name in ("nameparser", "faker")))
for name, locale in FIRST.items():
    parts = parsed(f"{name} Lindqvist")
    assert name in people(locale).first_names and parts["title"] == name and name != parts.get("first")
for name, locale in LAST.items():
    assert name in people(locale).last_names and parsed(f"Ana {name}") == {"first": "Ana", "suffix": name}
assert parsed("Ngozi Mba") == {"first": "Ngozi", "suffix": "Mba"}
assert parsed("Ana Maria Pla") == {"first": "Ana", "last": "Maria", "suffix": "Pla"}
assert parsed("Pla, Ana") == {"first": "Ana", "last": "Pla"}
assert parsed("Lindqvist, Maj") == {"title": "Maj", "last": "Lindqvist"}
for first, last in (("Lin", "Ma"), ("Kim", "Do"), ("Dean", "Stone")):
    assert parsed(f"{first} {last}") == {"first": first, "last": last}
PYTHON
