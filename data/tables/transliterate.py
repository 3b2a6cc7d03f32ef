"""Cyrillic and Greek names in Latin letters, by the national standards; used when the tables are built, never at run
time.

ru: ICAO Doc 9303 without soft sign; uk: resolution 55 of 2010; bg: Transliteration Act of 2009; el: ELOT 743 (UN 1987).
"""

import re
import unicodedata

_COMMON = dict(zip("абвдзклмнопрстуф", "abvdzklmnoprstuf", strict=True))
_RU = _COMMON | {
    "г": "g",
    "е": "e",
    "ё": "e",
    "ж": "zh",
    "и": "i",
    "й": "i",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ъ": "ie",
    "ы": "y",
    "ь": "",
    "э": "e",
    "ю": "iu",
    "я": "ia",
}
_UK = _COMMON | {
    "г": "h",
    "ґ": "g",
    "е": "e",
    "є": "ie",
    "ж": "zh",
    "и": "y",
    "і": "i",
    "ї": "i",
    "й": "i",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ь": "",
    "ю": "iu",
    "я": "ia",
    "ʼ": "",
    "'": "",
    "’": "",
}
_UK_FIRST = {"є": "ye", "ї": "yi", "й": "y", "ю": "yu", "я": "ya"}
_BG = _COMMON | {
    "г": "g",
    "е": "e",
    "ж": "zh",
    "и": "i",
    "й": "y",
    "х": "h",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "sht",
    "ъ": "a",
    "ь": "y",
    "ю": "yu",
    "я": "ya",
}
_EL = dict(
    zip("αβγδεζηθικλμνξοπρσςτυφχψω", "a v g d e z i th i k l m n x o p r s s t y f ch ps o".split(), strict=True)
)
_EL_PAIRS = [
    ("αυ(?=[βγδζλμνραειουηω])", "av"),
    ("αυ", "af"),
    ("ευ(?=[βγδζλμνραειουηω])", "ev"),
    ("ευ", "ef"),
    ("ου", "ou"),
    ("γγ", "ng"),
    ("γξ", "nx"),
    ("γχ", "nch"),
    ("^μπ", "b"),
    ("μπ$", "b"),
    ("μπ", "mp"),
]


def latin(word: str, language: str) -> str:
    """One word of a language (ru, uk, bg, el) in Latin letters, capitalised as it was at its first letter."""
    lower = word.lower()
    if language == "el":
        lower = "".join(
            c for c in unicodedata.normalize("NFD", lower) if c != "\u0301"
        )  # the accent, not the diaeresis
        for pattern, latin_form in _EL_PAIRS:
            lower = re.sub(pattern, latin_form, unicodedata.normalize("NFC", lower))
        lower = "".join(c for c in unicodedata.normalize("NFD", lower) if c != "\u0308")
        text = "".join(_EL.get(c, c) for c in lower)
    elif language == "uk":
        lower = lower.replace("зг", "zgh")
        text = _UK_FIRST.get(lower[:1], _UK.get(lower[:1], lower[:1])) + "".join(_UK.get(c, c) for c in lower[1:])
    elif language == "bg":
        text = "".join(_BG.get(c, c) for c in re.sub("ия$", "ia", lower))
    else:
        text = "".join(_RU.get(c, c) for c in lower)
    return text[:1].upper() + text[1:]
