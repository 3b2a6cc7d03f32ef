"""What the stage captions reads of portraits and personas, and the rows that it writes."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.store import StageView
from salmu.tasks.captions import generic
from salmu.tasks.captions.grammar import Caption
from salmu.tasks.captions.validate import Fact

GENERIC = "generic"


class Portrait(NamedTuple):
    file_name: str
    scene: str  # JSON, or empty
    gender: str
    age_group: str


def values(persona: dict[str, Any]) -> dict[str, str]:
    """Data field -> the persona's value; of several mail addresses the first."""
    return {field: persona[field][0] if field == "emails" else persona[field] for field in schemas.DATA_FIELDS}


def facts(persona: dict[str, Any]) -> list[Fact]:
    """The eight facts of a persona."""
    told = values(persona)
    return [
        Fact(
            persona["identity_id"],
            persona["name"],
            persona["gender"],
            field,
            value,
            tuple(other for other_field, other in told.items() if other_field != field),
        )
        for field, value in told.items()
    ]


def kept_portraits(
    upstream: dict[str, StageView], identities: Sequence[str] | None = None
) -> dict[str, list[Portrait]]:
    """Identity id -> its kept portraits, by file name; of these identities, whose portraits alone are read, or of
    all."""
    labels, columns = upstream["curation"].once(kept_labels), ["file_name", "identity_id", "scene"]
    portraits = upstream["portraits"]
    rows = portraits.rows(columns) if identities is None else portraits.rows_of(identities, columns, "identity_id")
    found: dict[str, list[Portrait]] = {}
    for row in rows:
        if row["file_name"] in labels:
            found.setdefault(row["identity_id"], []).append(
                Portrait(row["file_name"], row["scene"] or "", *labels[row["file_name"]])
            )
    return {identity: sorted(portraits) for identity, portraits in found.items()}


def kept_labels(curation: StageView) -> dict[str, tuple[str, str]]:
    """File name of each kept portrait -> gender and age group of its identity."""
    found: dict[str, tuple[str, str]] = {}
    same: dict[tuple[str, str], tuple[str, str]] = {}  # one object for all that have the same labels
    for row in curation.rows(["file_name", "kept", "gender", "age_group"]):
        if row["kept"]:
            labels = (row["gender"] or "", row["age_group"] or "")
            found[row["file_name"]] = same.setdefault(labels, labels)
    return found


def fact_rows(fact: Fact, captions: list[Caption]) -> list[dict[str, Any]]:
    return [
        {
            "caption_id": f"{fact.identity}/{fact.field}/{variant}",
            "identity_id": fact.identity,
            "data_field": fact.field,
            "value": fact.value,
            "variant": variant,
            "style": caption.style,
            "text": caption.text,
            "generator": caption.generator,
            "attempts": caption.attempts,
            "broken_rules": list(caption.broken),
        }
        for variant, caption in enumerate(captions)
    ]


def generic_row(
    identity: str,
    portrait: Portrait,
    private: tuple[str, ...],
    prompts: generic.GenericPrompts,
    seed: int,
    attempts: int,
) -> dict[str, Any]:
    try:
        scene = json.loads(portrait.scene) if portrait.scene else {}
    except ValueError:
        raise UserError(f"portraits: {portrait.file_name}: the scene is not JSON; make the portrait again") from None
    text, drawn = generic.caption(
        prompts,
        portrait.file_name,
        scene if isinstance(scene, dict) else {},
        portrait.gender,
        portrait.age_group,
        seed,
        private,
        attempts,
    )
    return {
        "caption_id": f"{GENERIC}/{portrait.file_name}",
        "identity_id": identity,
        "data_field": GENERIC,
        "file_name": portrait.file_name,
        "variant": 0,
        "style": GENERIC,
        "text": text,
        "generator": "grammar",
        "attempts": drawn,
        "broken_rules": [],
    }
