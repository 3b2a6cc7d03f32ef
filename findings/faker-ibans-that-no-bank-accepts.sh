#!/usr/bin/env bash
# Faker 40.63.0: iban() gives numbers that every IBAN checker refuses for en_IN, es_MX and zh_CN (British, but 20
# characters instead of 22) and for bn_BD, es_AR, es_CO and th_TH (countries that have no IBAN). For sv_SE,
# fr_BE, ga_IE, de_LU and many others it is a British one.
#
# Guess before the run: every IBAN has the length and the check digits of its country, and a locale whose country uses
# IBANs gives its own, as de_DE and fr_FR do. Only bank and account are invented.
# Seen: as above, by python-stdnum and by schwifty. The check digits are right; length or country is not. (Those of
# en_PH are invented as well, but there Faker says so.)
# It matters for invented people with bank details: a validity filter drops everybody of these locales, and a model
# learns that Swedes and Irish have British accounts. Swedish and Irish people of one seed even share the number.
# Take the country of the IBAN from the person, and check each value.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile faker==40.63.0 python-stdnum==2.2 schwifty==2026.10.1
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import schwifty
from faker import Faker
from stdnum import iban

REFUSED = "en_IN", "es_MX", "zh_CN", "bn_BD", "es_AR", "es_CO", "th_TH"
BRITISH = "sv_SE", "fr_BE", "ga_IE", "de_LU"
RIGHT = "de_DE", "fr_FR", "nl_BE", "it_IT"


def known(number):
    try:
        return bool(schwifty.IBAN(number))
    except schwifty.exceptions.SchwiftyException:
        return False


def drawn(locale):
    """One number, the countries of a hundred, and how many of them python-stdnum and schwifty accept."""
    fake = Faker(locale)
    fake.seed_instance(0)
    numbers = [fake.iban() for _ in range(100)]
    accepted = sum(map(iban.is_valid, numbers)), sum(map(known, numbers))
    return numbers[0], {number[:2] for number in numbers}, accepted


found = {locale: drawn(locale) for locale in (*REFUSED, *BRITISH, *RIGHT)}
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("faker", "python-stdnum", "schwifty")))
for locale, (number, countries, accepted) in found.items():
    print(f"{locale}: {number}, countries {countries}, accepted by stdnum and schwifty: {accepted} of 100")
assert all(found[locale][2] == (0, 0) for locale in REFUSED)
assert all(found[locale][1:] == ({"GB"}, (100, 100)) for locale in BRITISH)
assert all(found[locale][1:] == ({locale[-2:]}, (100, 100)) for locale in RIGHT)
assert found["sv_SE"][0] == found["ga_IE"][0]
PYTHON
