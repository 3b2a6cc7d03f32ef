"""The page about implicit concepts: what each model knows of styles and affiliations that captions seldom name."""

from pathlib import Path
from typing import Any

from salmu.data.documents import read_checked
from salmu.data.files import size
from salmu.data.readers import open_dataset
from salmu.evaluation.concepts.plan import UNSEEN
from salmu.evaluation.concepts.questions import CONCEPT_MRR, PICTURES, QUESTIONS, ZERO_SHOT
from salmu.evaluation.concepts.results import FOLDER, failures, is_sound, read_all
from salmu.evaluation.report.rendering import page
from salmu.evaluation.report.samples import thumbnail
from salmu.evaluation.unlearning.record import RECORD, Record
from salmu.evaluation.verdicts.leaderboard import in_words, reference_of

PAGE = "concepts.html"
PICTURES_SHOWN = 3  # of each concept
ROLES = {
    "forget": "to be forgotten",
    "association": "to be forgotten with half of its subjects",
    "holdout_identity": "to be kept",
}


def concepts_page(run_folder: Path, name: str) -> bytes | None:
    """report/concepts.html; None where `salmu concepts` was not run to its end."""
    rows = table(run_folder)
    if not rows:
        return None
    asked = {question: about for question, about in QUESTIONS.items() if question in rows[0]["questions"]}
    shown = {"rows": rows, "asked": asked, "told": told(rows), "roles": ROLES, "sheets": sheets(run_folder)}
    return page(PAGE, name=name, mrr=CONCEPT_MRR, zero_shot=ZERO_SHOT, **shown)


def table(run_folder: Path) -> list[dict[str, Any]]:
    """A row a model: name, results by question, GenKnow, failures (None where it is not judged), seconds of the method.
    Empty where a reference was not measured."""
    found = read_all(run_folder / FOLDER)
    if not {"clean", "compromised", "retrained"} <= found.keys():
        return []
    judged = is_sound(found["compromised"], found["clean"])
    return [
        {
            "model": model,
            "title": in_words(model).split(",")[0],
            "questions": results["questions"],
            "GenKnow": results["GenKnow"],
            "reference": reference_of(model) is not None,
            "failures": failures(results, found["retrained"]) if judged and reference_of(model) is None else None,
            "seconds": _seconds(run_folder / FOLDER / "unlearned" / model / RECORD),
        }
        for model, results in found.items()
    ]


def told(rows: list[dict[str, Any]]) -> list[str]:
    """The result in a sentence or two."""
    found = {row["model"]: row["questions"][PICTURES][CONCEPT_MRR] for row in rows}
    values = {which: found[which] for which in ("compromised", "clean", "retrained")}
    words = ", ".join(f"{part['value']:.2f} by {in_words(which)}" for which, part in values.items())
    lines = [f"{CONCEPT_MRR} of the {PICTURES}: {words}; chance is {values['clean']['chance']:.2f}."]
    methods = [row for row in rows if not row["reference"]]
    if any(row["failures"] is None for row in methods):
        lines.append("Compromised hardly knows the concepts, so that no method is judged; raise concepts.epochs.")
    elif methods:
        clear = [row["title"] for row in methods if not row["failures"]]
        lines.append(
            f"Of {len(methods)} methods, {len(clear)} forgot the concepts and harmed no others"
            + (f": {', '.join(clear)}." if clear else ".")
        )
    return lines


def sheets(run_folder: Path) -> list[dict[str, Any]]:
    """Each concept with a few of its pictures, of different subjects."""
    dataset = open_dataset(run_folder / FOLDER / "dataset")
    pictures: dict[str, list[str]] = {identity: [] for identity in dataset.identities}
    columns, taken = ["identity_id", "subject", "image"], {}
    for row in dataset.table(UNSEEN, columns).to_pylist():
        own = pictures[row["identity_id"]]
        if len(own) < PICTURES_SHOWN and taken.setdefault((row["identity_id"], row["subject"]), len(own)) == len(own):
            own.append(thumbnail(row["image"]["bytes"]))
    return [dataset.identities[identity] | {"pictures": own} for identity, own in pictures.items()]


def _seconds(path: Path) -> float | None:
    return read_checked(path, Record).get("seconds") if size(path) is not None else None
