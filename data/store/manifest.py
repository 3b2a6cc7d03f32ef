"""What a stage plans and what it has done: shards, their results, and the manifest that commits them."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from salmu.data.keyed import digest

Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class Shard(BaseModel):
    """A unit of work: which items, made from which upstream rows."""

    model_config = ConfigDict(frozen=True)
    index: int
    items: tuple[str, ...]  # keys of what it makes or works on, in order
    inputs: str = ""  # digest of the upstream rows used


class Reject(NamedTuple):
    item: str
    reason: str  # a short fixed phrase, counted in summaries
    detail: str = ""


class ShardResult(NamedTuple):
    rows: list[dict[str, Any]]
    rejects: list[Reject] = []
    notes: dict[str, Any] = {}  # small, of JSON: what the stage's summary tells and the rows do not say


class Entry(BaseModel):
    """A manifest row: the commit record of a shard."""

    model_config = ConfigDict(extra="forbid")
    index: NonNegativeInt
    fingerprint: str
    rows: NonNegativeInt
    bytes: NonNegativeInt
    sha256: Sha256
    rejects: NonNegativeInt = 0
    rejects_bytes: NonNegativeInt = 0
    rejects_sha256: Sha256 = ""
    items: NonNegativeInt = 0
    seconds: float = 0.0
    host: str = ""
    notes: dict[str, Any] = {}  # of the ShardResult


class Manifest(BaseModel):
    """What a stage has done. `digest` covers the content only, so it is equal for equal outputs."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
    stage: str
    version: int = 0
    settings: dict[str, Any] = {}
    upstream: dict[str, str] = {}  # upstream stage -> digest of its manifest when this one was finished
    shards: list[Entry] = []
    planned: NonNegativeInt = 0  # shards in the plan
    plan: str | None = None  # of a complete stage: digest of all that its plan followed from
    complete: bool = False  # all of them are in
    checksum: str | None = None  # of all the rest, as it was written; runs of older versions have none

    @property
    def digest(self) -> str:
        return digest([[e.index, e.sha256, e.rejects_sha256] for e in sorted(self.shards, key=lambda e: e.index)])

    @property
    def rows(self) -> int:
        return sum(e.rows for e in self.shards)

    @property
    def rejects(self) -> int:
        return sum(e.rejects for e in self.shards)


def fingerprint(stage: str, version: int, settings: Mapping, revisions: Mapping[str, str], shard: Shard) -> str:
    """Same fingerprint: same bytes."""
    return digest(stage, version, settings, revisions, shard.index, shard.items, shard.inputs)


def chunks(items: list[str], size: int) -> list[tuple[str, ...]]:
    """Consecutive groups of `size`."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
