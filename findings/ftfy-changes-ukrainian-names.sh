#!/usr/bin/env bash
# ftfy 6.3.1: fix_text, with its defaults, changes the spelling of Ukrainian names: the apostrophe in Демʼян, which
# Unicode provides as a letter (U+02BC), becomes the ASCII quotation mark.
#
# Guess before the run: correctly encoded names, of any language, come back as they are.
# Seen: the letter is treated as a curly quotation mark. 19 of the 948 names in Faker's uk_UA lists are changed. The
# letter belongs to the word and a quotation mark ends it, so \w+ finds one word before and two after. Names of ha_NG
# and uz_UZ change as well, but those lists hold quotation marks in the first place.
# It matters if captions are cleaned with ftfy and the table of people is not, or the other way round: the name of the
# person is not found in the caption, so a leak or a forgotten fact is not counted. open_clip's tokenizer cleans its
# text this way. Clean both, or pass uncurl_quotes=False.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile ftfy==6.3.1 faker==40.63.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import re
import unicodedata

import ftfy
from faker.providers.person.uk_UA import Provider

LETTER = "\u02bc"
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("ftfy", "faker")))
KINDS = "first_names", "middle_names", "last_names"
lists = [names for key, names in vars(Provider).items() if key.startswith(KINDS) and not isinstance(names, property)]
names = sorted({name for part in lists for name in part})
changed = {name: ftfy.fix_text(name) for name in names if ftfy.fix_text(name) != name}
print(f"U+02BC is {unicodedata.name(LETTER)}, category {unicodedata.category(LETTER)}")
print(f"{len(changed)} of {len(names)} Ukrainian names are changed, such as {list(changed.items())[:3]}")
name = "Дем\u02bcян"
before, after = (re.findall(r"\w+", text) for text in (name, ftfy.fix_text(name)))
print(f"words in {name}: {before}, after fix_text: {after}")
assert len(changed) == 19 and all(fixed == name.replace(LETTER, "'") for name, fixed in changed.items())
assert len(before) == 1 and len(after) == 2
assert not any(ftfy.fix_text(name, uncurl_quotes=False) != name for name in changed)
PYTHON
