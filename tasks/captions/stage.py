"""Stage captions: five captions of each fact of each persona, and one without personal data for every kept portrait."""

import json
from collections import Counter
from typing import Any, Literal, NamedTuple

from pydantic import Field

from data import keyed, schemas
from data.settings import StageSettings
from data.store import Shard, ShardResult, StageView, chunks
from data.summary import Summary
from prompts import loader
from tasks.captions import diversity, generic
from tasks.captions.grammar import Grammar
from tasks.captions.validate import Fact, masked

NAME, VERSION = "captions", 1
UPSTREAM = ("portraits", "curation", "personas")
SCHEMA, KEY = schemas.CAPTIONS, "caption_id"
GENERIC = "generic"


class Settings(StageSettings):
    """Captions: what is said about the personas and the portraits."""

    engine: Literal["grammar"] = Field(
        "grammar", description="Who words the facts: grammar (sentences of prompts/captions.yaml)."
    )
    attempts: int = Field(20, ge=1, description="Draws for a caption before the run stops.")
    shard_size: int = Field(100, ge=1, description="Identities a shard.")


class Engine(NamedTuple):
    facts: Grammar
    generic: generic.GenericPrompts


class Portrait(NamedTuple):
    file_name: str
    scene: str  # JSON, or empty
    gender: str


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """Shards of identities that have a persona or a kept portrait."""
    portraits, personas = _portraits(upstream), upstream["personas"].row_digests()
    identities = sorted({*portraits, *personas})
    return [
        Shard(
            index=index,
            items=items,
            inputs=keyed.digest([[personas.get(item), portraits.get(item, [])] for item in items]),
        )
        for index, items in enumerate(chunks(identities, settings.shard_size))
    ]


def revisions(settings: Settings) -> dict[str, str]:
    return {name: loader.digest(name) for name in ("captions", "generic")}


def load_engine(settings: Settings) -> Engine:
    return Engine(Grammar(), generic.load())


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Engine) -> ShardResult:
    portraits = _portraits(upstream)
    personas = {row["identity_id"]: row for row in upstream["personas"].rows_of(shard.items)}
    rows: list[dict[str, Any]] = []
    for identity in shard.items:
        persona = personas.get(identity)
        if persona:
            rows += _fact_rows(persona, settings, engine)
        private = (
            (persona["name"], persona["first_name"], persona["last_name"], *values(persona).values()) if persona else ()
        )
        rows += [
            _generic_row(identity, portrait, private, settings, engine) for portrait in portraits.get(identity, [])
        ]
    return ShardResult(rows)


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


def _portraits(upstream: dict[str, StageView]) -> dict[str, list[Portrait]]:
    """Identity id -> its kept portraits, by file name."""
    genders = {
        row["file_name"]: row["gender"]
        for row in upstream["curation"].rows(["file_name", "kept", "gender"])
        if row["kept"]
    }
    found: dict[str, list[Portrait]] = {}
    for row in upstream["portraits"].rows(["file_name", "identity_id", "scene"]):
        if row["file_name"] in genders:
            found.setdefault(row["identity_id"], []).append(
                Portrait(row["file_name"], row["scene"] or "", genders[row["file_name"]] or "")
            )
    return {identity: sorted(portraits) for identity, portraits in found.items()}


def _fact_rows(persona: dict[str, Any], settings: Settings, engine: Engine) -> list[dict[str, Any]]:
    return [
        {
            "caption_id": f"{fact.identity}/{fact.field}/{variant}",
            "identity_id": fact.identity,
            "data_field": fact.field,
            "value": fact.value,
            "variant": variant,
            "style": caption.style,
            "text": caption.text,
            "generator": engine.facts.name,
            "attempts": caption.attempts,
        }
        for fact in facts(persona)
        for variant, caption in enumerate(engine.facts.captions(fact, settings.seed, settings.attempts))
    ]


def _generic_row(
    identity: str, portrait: Portrait, private: tuple[str, ...], settings: Settings, engine: Engine
) -> dict[str, Any]:
    scene = json.loads(portrait.scene) if portrait.scene else {}
    text, attempts = generic.caption(
        engine.generic, portrait.file_name, scene, portrait.gender, settings.seed, private, settings.attempts
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
        "attempts": attempts,
    }


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    rows = list(view.rows())
    names = {row["identity_id"]: row["name"] for row in upstream["personas"].rows(["identity_id", "name"])}
    stated = [row for row in rows if row["data_field"] != GENERIC]
    frames: dict[str, list[str]] = {}
    for row in stated:
        frames.setdefault(row["data_field"], []).append(
            masked(row["text"], Fact("", names[row["identity_id"]], "", "", row["value"]))
        )
    frames[GENERIC] = [row["text"] for row in rows if row["data_field"] == GENERIC]
    redrawn = sum(row["attempts"] > 1 for row in rows)
    sample = keyed.ranked([row["caption_id"] for row in stated], "sample")[:20]
    text = (
        f"{len(stated)} captions of {len(names)} personas and {len(frames[GENERIC])} without personal data, all valid; "
        f"{redrawn} were drawn more than once."
    )
    return Summary(
        text,
        {
            "Captions by field and style": [
                {"field": field, "style": style, "captions": count}
                for (field, style), count in sorted(Counter((row["data_field"], row["style"]) for row in rows).items())
            ],
            "Variety (name and value masked)": [
                {"field": field, "captions": len(texts), **diversity.measures(texts)}
                for field, texts in frames.items()
                if texts
            ],
            "Sample captions": [
                {"field": row["data_field"], "style": row["style"], "text": row["text"]}
                for row in stated
                if row["caption_id"] in sample
            ],
            "Sample generic captions": [{"text": text} for text in keyed.ranked(frames[GENERIC], "sample")[:10]],
        },
        {"Caption length in words": diversity.length_histogram([row["text"] for row in rows])} if rows else {},
    )
