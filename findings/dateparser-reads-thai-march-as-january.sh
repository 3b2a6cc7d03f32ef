#!/usr/bin/env bash
# dateparser 1.5.0: the usual short form of March in Thai is read as January, June in Punjabi as January, and the short
# form of January in Burmese as June. The language is given.
#
# Guess before the run: a date that Babel writes in a language is read in that language as the same date, or not at all.
# Seen: that holds for nearly all of its languages. In Thai eleven short months are read right and one is not: "25 มี.ค.
# 1987" is 25 January 1987. The long form of March is right. There is no warning.
# It matters for dates of birth taken from captions or forms: the value has the right type, day and year, so no check of
# the format finds it, and one in twelve people of that language has a wrong birthday. Write dates as 1987-03-25, or
# parse back what a language's dates look like before they are used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile dateparser==1.5.0 babel==2.19.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import datetime
import importlib.metadata

import dateparser
from babel.dates import format_date

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("dateparser", "babel")))
wrong = {}
for language in ("th", "pa", "my", "de", "fr", "ru", "ja", "ar"):
    for month in range(1, 13):
        day = datetime.date(1987, month, 25)
        text = format_date(day, "medium", locale=language)
        read = dateparser.parse(text, languages=[language])
        if read and read.date() != day:
            wrong[language, month] = read.month
            print(f"{language}: {day} is written {text!r} and read as {read.date()}")
long = dateparser.parse("25 มีนาคม 1987", languages=["th"])
print(f"th: the long form of March is read as {long.date()}")
assert wrong == {("th", 3): 1, ("pa", 6): 1, ("my", 1): 6} and long.month == 3
PYTHON
