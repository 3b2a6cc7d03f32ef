"""The JSON files beside the Parquet files, in the published form, and one of ours: why each value belongs to nobody."""

import json

from salmu.data.readers import CAPTIONS, FRAGILE_SET, GENERIC_CAPTIONS, IDENTITIES, PROOF_OF_FICTION
from salmu.data.schemas import DATA_FIELDS

_IDENTITY_KEYS = ("name", "country_code", *DATA_FIELDS)


def documents(pairs: list[dict], personas: list[dict]) -> dict[str, object]:
    """File name -> JSON document, for rows of the stages assembly and personas."""
    sensitive = [row for row in pairs if row["kind"] == "sensitive"]
    named = {row["identity_id"] for row in pairs}
    personas = sorted((row for row in personas if row["identity_id"] in named), key=lambda row: row["identity_id"])
    return {
        IDENTITIES: {row["identity_id"]: {key: row[key] for key in _IDENTITY_KEYS} for row in personas},
        CAPTIONS: {row["file_name"]: {"data_field": row["data_field"], "caption": row["text"]} for row in sensitive},
        GENERIC_CAPTIONS: {row["file_name"]: row["generic_text"] for row in sensitive},
        FRAGILE_SET: [],  # named once models are trained (fragile.py)
        PROOF_OF_FICTION: {row["identity_id"]: json.loads(row["proof"] or "{}") for row in personas},
    }


def to_bytes(document: object) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
