"""How the captions that a method makes are worded: by this project's grammar, in the sentences of the forget set, or in
those of a file, for instance of a language model."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from salmu.data.documents import MIB, read_bounded, read_lines
from salmu.data.schemas import DATA_FIELDS

NAME, VALUE = "[name]", "[value]"  # where a sentence takes them
Worded = Callable[[str, str, str, random.Random], str | None]
"""name, attribute, value, draws -> a caption; None where there is no sentence for the attribute"""

WORDINGS = Field(
    "grammar",
    min_length=1,
    description="Sentences of the made captions. grammar: those of this project; own: those of the forget captions, "
    "with name and value taken out; or a JSONL file with data_field and text, which holds [name] and [value] once "
    "each. An attribute without a sentence gets the grammar's.",
)


def _with_marks(text: str) -> str:
    if text.count(NAME) != 1 or text.count(VALUE) != 1:
        raise ValueError(f"{NAME} and {VALUE} must appear once each")
    return text


class Sentence(BaseModel):
    """A line of a file of sentences."""

    model_config = ConfigDict(extra="forbid", strict=True)
    data_field: Annotated[str, Field(pattern=f"^({'|'.join(DATA_FIELDS)})$")]
    text: Annotated[str, Field(max_length=1000), AfterValidator(_with_marks)]


def sentences_of(pool) -> dict[str, list[str]]:
    """Attribute -> the different sentences of the forget captions that hold name and value as they are written."""
    found: dict[str, set[str]] = {}
    for who, field, value, text in zip(*pool.columns.values(), pool.texts, strict=False):
        name = pool.people[who].name
        if text.count(name) == 1 and text.replace(name, "").count(value) == 1:
            marked = text.replace(name, "\0").replace(value, VALUE).replace("\0", NAME)
            found.setdefault(field, set()).add(marked)
    return {field: sorted(texts) for field, texts in sorted(found.items())}


def file_digest(settings) -> str | None:
    """SHA-256 of the file that a method's settings name; None where they name none. Raises UserError if it is
    missing."""
    wordings = getattr(settings, "wordings", "grammar")
    if wordings in ("grammar", "own"):
        return None
    return hashlib.sha256(read_bounded(Path(wordings), 64 * MIB)).hexdigest()


def worded_by(pool, wordings: str) -> tuple[Worded | None, dict[str, Any]]:
    """What words made captions (None: the grammar), and figures for the record. Raises UserError for a file that is
    missing or holds other lines than `Sentence`."""
    if wordings == "grammar":
        return None, {}
    if wordings == "own":
        sentences = sentences_of(pool)
    else:
        sentences = {}
        for row in read_lines(Path(wordings), Sentence):
            sentences.setdefault(row["data_field"], []).append(row["text"])

    def worded(name: str, field: str, value: str, rng: random.Random) -> str | None:
        if field not in sentences:
            return None
        before, after = rng.choice(sentences[field]).split(NAME)
        return name.join(part.replace(VALUE, value) for part in (before, after))

    counts = {field: len(sentences.get(field, ())) for field in DATA_FIELDS}
    return worded, {"sentences": counts}
