#!/usr/bin/env bash
# csvkit 2.2.0 with agate 1.14.2: a column of the first names April, May and June comes out as the dates 0001-04-01,
# 0001-05-01 and 0001-06-01, and a column that says "f" for each of these women as false.
#
# Guess before the run: text. A month without a day and a year is no date, and "f" is one letter of a column of sexes.
# Seen: csvjson, csvjoin, csvsort and csvsql all write the dates; csvgrep and csvstack do not guess types. Jan, August,
# Sun and Friday are dates as well. With --date-format %Y-%m-%d, a form that none of them has, April becomes 1 April of
# this year or the next, at midnight. If the column also holds Anna, or the other one "m", all of it stays text.
# It matters for small tables of people, such as one shard or the rows to be forgotten: the whole table is right and the
# excerpt is not, so names are lost there and csvjoin, by first name, finds no row of the excerpt in the table. Pass -I
# (--no-inference) to every command, and --blanks where somebody is called Null or comes from NA, Namibia.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile csvkit==2.2.0 agate==1.14.2 parsedatetime==2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])


def table(text, name="women"):
    path = folder / f"{name}.csv"
    path.write_text(text)
    return path


def csvkit(tool, *arguments):
    command = [folder / "venv/bin" / tool, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rows(text, *options):
    return [list(row.values()) for row in json.loads(csvkit("csvjson", *options, table(text)))]


WOMEN = "first_name,last_name,sex\nApril,Berg,f\nMay,Moe,f\nJune,Lund,f\n"
MIXED = WOMEN + "Anna,Vik,m\n"
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("csvkit", "agate")))
guessed, exact, mixed = rows(WOMEN), rows(WOMEN, "-I"), rows(MIXED)
form = rows(WOMEN, "--date-format", "%Y-%m-%d")
print("csvjson:", guessed)
print("csvjson -I:", exact)
print("with Anna:", mixed)
print("csvjson --date-format %Y-%m-%d:", [row[0] for row in form])
text = [line.split(",") for line in WOMEN.splitlines()[1:]]
assert exact == text and mixed == [*text, ["Anna", "Vik", "m"]]
assert guessed == [[f"0001-0{month}-01", row[1], False] for month, row in zip((4, 5, 6), text)]
assert re.fullmatch(r"2\d{3}-04-01T00:00:00", form[0][0])
for tool, options in {"csvsort": (), "csvjoin": (), "csvgrep": ("-c", "sex", "-m", "f"), "csvstack": ()}.items():
    line = csvkit(tool, *options, table(WOMEN)).splitlines()[1]
    print(f"{tool}: {line}")
    assert line == ("0001-04-01,Berg,False" if tool in ("csvsort", "csvjoin") else "April,Berg,f")
made = csvkit("csvsql", table(WOMEN))
print("csvsql:", " ".join(made.split()))
assert "first_name DATE" in made and "sex BOOLEAN" in made
joined = [
    len(csvkit("csvjoin", *options, "-c", "first_name", table(WOMEN), table(MIXED, "all")).splitlines()) - 1
    for options in ((), ("-I",))
]
print("csvjoin of the women with all: {} rows, with -I: {}".format(*joined))
assert joined == [0, 3]
for name in ("Jan", "August", "Sun", "Friday"):
    date = rows(f"first_name\n{name}\n")[0][0]
    print(f"{name} alone: {date}")
    assert date.startswith("0001-0")
PYTHON
