"""The page about image generators that are built on the pair: whom they draw with each text tower."""

import io
from pathlib import Path
from typing import Any

from salmu.data.files import read_bytes, size
from salmu.data.pictures import decode
from salmu.evaluation.encoding.run_models import START
from salmu.evaluation.propagation.results import EXACT, FOLDER, PICTURES, QUESTIONS, read_propagation
from salmu.evaluation.report.rendering import page
from salmu.evaluation.verdicts.leaderboard import in_words

PAGE = "generator.html"
SHEETS = ("forgotten people", "names", "other people", "neutral")  # questions whose drawings are shown
WAYS = {
    "portraits": "Trained on portraits alone, through Compromised's image tower; asked through the text tower. It "
    "reads no caption in training, so whoever is recognised is what the two towers know.",
    "pooled": "Trained and asked with the text tower's embedding of the caption. It learns from the captions who is "
    "who; an exchanged tower may still lead there.",
    "tokens": "Trained and asked with the states of the caption's tokens, as Stable Diffusion is. Methods that aim at "
    "the embedding may leave them as they were.",
}


def generator_page(run_folder: Path, name: str) -> bytes | None:
    """report/generator.html; None where `salmu generator` was not run."""
    results = read_propagation(run_folder)
    if results is None:
        return None
    parts = [
        {
            "way": way,
            "about": WAYS[way],
            "rows": [
                {"title": title(tower), "found": found["ways"][way]}
                for tower, found in results["towers"].items()
                if way in found["ways"]
            ],
            "sheets": {question: _sheet(run_folder, results, way, question) for question in SHEETS},
        }
        for way in results["settings"]["ways"]
    ]
    asked = {question: about for question, about in QUESTIONS.items() if results["asked"][question]}
    return page(PAGE, name=name, results=results, parts=parts, asked=asked, told=told(results))


def told(results: dict[str, Any]) -> list[str]:
    """One sentence a way: how often forgotten people are recognised, by Compromised's tower and the references."""
    lines = []
    for way in results["settings"]["ways"]:
        shares = {
            tower: results["towers"][tower]["ways"][way]["forgotten people"]["recognised"]
            for tower in (START, "clean", "retrained", EXACT)
            if "forgotten people" in results["towers"].get(tower, {"ways": {}})["ways"].get(way, {})
        }
        if {START, "clean"} <= shares.keys():
            words = [f"{share['value']:.0%} by the tower of {title(tower)}" for tower, share in shares.items()]
            chance = f"chance is {shares[START]['chance']:.1%}"
            lines.append(
                f"{way}: drawings of wholly forgotten people that are recognised: {', '.join(words)}; {chance}."
            )
    return lines


def title(tower: str) -> str:
    """A tower as tables name it."""
    return "Retrained, generator of its own" if tower == EXACT else in_words(tower)


def _sheet(run_folder: Path, results: dict[str, Any], way: str, question: str) -> list[dict[str, Any]]:
    """The pictures of a question: a strip of portraits, and one for each tower."""
    line = list(QUESTIONS).index(question)
    files = {"portraits": "the portrait"} | {f"{way}-{tower}": title(tower) for tower in results["towers"]}
    found = []
    for file, words in files.items():
        path = run_folder / FOLDER / PICTURES / f"{file}.png"
        if results["asked"][question] and size(path) is not None:
            sheet, content = decode(read_bytes(path)), io.BytesIO()
            side = sheet.height // len(QUESTIONS)
            sheet.crop((0, side * line, sheet.width, side * (line + 1))).save(content, "PNG")
            found.append({"title": words, "strip": content.getvalue()})
    return found
