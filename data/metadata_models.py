"""The JSON documents beside the Parquet files of a published folder, ours or somebody else's, as pydantic models."""

from typing import Annotated, Required

from pydantic import ConfigDict, Field, RootModel
from typing_extensions import TypedDict

_LENIENT = ConfigDict(extra="allow", coerce_numbers_to_str=True)
Values = Annotated[list[str], Field(min_length=1)]


class Identity(TypedDict, total=False):
    """A person: the name and the eight attributes. Others may stand beside them."""

    __pydantic_config__ = _LENIENT
    name: Required[str]
    country_code: str | None
    city: str | None
    job: str | None
    blood_type: str | None
    phone_number: str | None
    emails: Values | str | None
    iban: str | None
    credit_card: str | None
    passport: str | None


class SensitiveCaption(TypedDict, total=False):
    """What the caption of a pair states."""

    __pydantic_config__ = _LENIENT
    data_field: Required[str]
    caption: str


class Proof(TypedDict, total=False):
    """Why a value belongs to nobody."""

    __pydantic_config__ = _LENIENT
    level: Required[str]
    rule: Required[str]
    source: Required[str]


class Identities(RootModel[dict[str, Identity]]):
    """identities_metadata.json: identity id -> the person."""


class SensitiveCaptions(RootModel[dict[str, SensitiveCaption]]):
    """sensitive_set_captions_metadata.json: file name -> what is stated."""


class GenericCaptions(RootModel[dict[str, str]]):
    """sensitive_set_generic_captions.json: file name -> a caption without personal data."""


class FragileSet(RootModel[list[str]]):
    """fragile_set_ids.json: file names."""


class Proofs(RootModel[dict[str, dict[str, Proof]]]):
    """proof_of_fiction.json: identity id -> data field -> proof."""
