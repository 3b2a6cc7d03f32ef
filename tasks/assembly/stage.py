"""Stage assembly: which portrait becomes which pair, and its side of the splits. One image = one pair = one caption."""

from collections import Counter, defaultdict
from typing import Any

from pydantic import Field

from salmu.data import schemas
from salmu.data.keyed import digest, ranked
from salmu.data.settings import StageSettings
from salmu.data.store import Reject, Shard, ShardResult, StageView
from salmu.data.summary import Summary
from salmu.tasks.assembly.splits import fact_sides, identity_roles, pair_sides

NAME, VERSION = "assembly", 2
UPSTREAM = ("portraits", "curation", "personas", "captions")
SCHEMA, KEY = schemas.PAIRS, "file_name"


class Settings(StageSettings):
    """Shares of the dataset."""

    outsider_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Share of the sensitive identities whom no model is trained on: the split outsiders, with which membership "
            "and traces of deletion are tested. The published benchmark has none."
        ),
    )
    joint_share: float = Field(
        749 / 60_802,
        ge=0,
        le=0.5,
        description=(
            "Share of the sensitive portraits that become retain_joint: with the identity, but a generic caption. "
            "Drawn evenly over the identities that are in forget. Published: 749 of 60,802."
        ),
    )


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """One shard: the splits are drawn over all pairs at once, and hold no images."""
    items = tuple(sorted(row["file_name"] for row in _kept(upstream)))
    return [Shard(index=0, items=items, inputs=digest([upstream[name].manifest.digest for name in UPSTREAM]))]


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Any) -> ShardResult:
    """Every kept portrait exactly once, in order of file names; those without a usable caption are rejected."""
    captions = _Captions(upstream["captions"])
    portraits, rejects = {}, []
    for row in sorted(_kept(upstream), key=lambda row: row["file_name"]):
        if row["file_name"] not in captions.generic:
            rejects.append(Reject(row["file_name"], "no generic caption"))
        elif row["role"] == "sensitive" and not captions.facts(row["identity_id"]):
            rejects.append(Reject(row["file_name"], "identity without captions", row["identity_id"]))
        else:
            portraits[row["file_name"]] = row
    sizes = {row["file_name"]: row for row in upstream["portraits"].rows(["file_name", "width", "height"])}
    personas = {row["identity_id"]: row for row in upstream["personas"].rows(["identity_id", "country_code"])}
    identities = {row["identity_id"]: row for row in portraits.values() if row["role"] == "sensitive"}
    roles = identity_roles(identities.values(), settings.seed, settings.outsider_share)
    joint = _joint(portraits, roles, settings)
    sensitive = _sensitive(portraits, captions, joint, settings)
    facts = fact_sides(sensitive, roles, settings.seed)
    pairs = pair_sides(sensitive, roles, settings.seed)

    def row_of(name: str) -> dict[str, Any]:
        portrait, caption = portraits[name], sensitive.get(name, {})
        kind = "sensitive" if caption else "retain_joint" if name in joint else "retain_disjoint"
        kind = "outsider" if roles.get(portrait["identity_id"]) == schemas.OUTSIDERS else kind
        identity_id = None if kind == "retain_disjoint" else portrait["identity_id"]
        generic = captions.generic[name]
        return {
            "file_name": name,
            "identity_id": identity_id,
            "text": caption.get("text", generic["text"]),
            "data_field": caption.get("data_field"),
            "value": caption.get("value"),
            "caption_style": caption.get("style", generic["style"]),
            "kind": kind,
            "split": facts.get(name, "retain_synth"),
            "split_published": pairs.get(name, "retain_synth"),
            "generic_text": generic["text"],
            "gender": portrait["gender"],
            "age_group": portrait["age_group"],
            "country_code": personas[identity_id]["country_code"] if identity_id in personas else None,
            "width": sizes[name]["width"],
            "height": sizes[name]["height"],
            "identity_similarity": portrait["identity_similarity"],
        }

    return ShardResult([row_of(name) for name in portraits], rejects)


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """Counts of both split schemes, and of the attributes."""
    rows = list(view.rows(["file_name", "identity_id", "data_field", "kind", "split", "split_published"]))
    tables = {}
    splits = ("forget", "holdout_association", "holdout_identity", "retain_synth")
    for title, column in (("Splits by fact", "split"), ("Splits by pair (published scheme)", "split_published")):
        tables[title] = [
            _counts(name, [row for row in rows if row[column] == name])
            for name in (*splits, *((schemas.OUTSIDERS,) if settings.outsider_share else ()))
        ]
    tables["Pairs by attribute"] = [
        _counts(field, [row for row in rows if row["data_field"] == field]) for field in schemas.DATA_FIELDS
    ]
    kinds = Counter(row["kind"] for row in rows)
    text = (
        f"**{len(rows):,} pairs**: {kinds['sensitive']:,} sensitive, {kinds['retain_joint']:,} retain_joint, "
        f"{kinds['retain_disjoint']:,} retain_disjoint"
        + (f", {kinds['outsider']:,} of outsiders." if kinds["outsider"] else ".")
    )
    return Summary(text, tables)


def _counts(name: str, rows: list[dict]) -> dict[str, Any]:
    return {"name": name, "pairs": len(rows), "identities": len({row["identity_id"] for row in rows} - {None})}


def _kept(upstream: dict[str, StageView]) -> list[dict[str, Any]]:
    return [row for row in upstream["curation"].rows() if row["kept"]]


class _Captions:
    """The captions by what they are for."""

    def __init__(self, view: StageView):
        self.generic: dict[str, dict] = {}
        self._facts: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
        for row in view.rows(["identity_id", "data_field", "value", "file_name", "variant", "style", "text"]):
            if row["data_field"] == "generic":
                self.generic[row["file_name"]] = row
            else:
                self._facts[row["identity_id"]][row["data_field"]].append(row)

    def facts(self, identity_id: str) -> list[str]:
        """The attributes of which the identity has captions."""
        return sorted(self._facts.get(identity_id, ()))

    def variants(self, identity_id: str, data_field: str) -> list[dict]:
        return self._facts[identity_id][data_field]


def _joint(portraits: dict[str, dict], roles: dict[str, str], settings: Settings) -> set[str]:
    """Portraits of retain_joint: one of each identity in forget, then a second of each, … up to the share."""
    outside = (None, schemas.OUTSIDERS)
    sensitive = [row for row in portraits.values() if roles.get(row["identity_id"]) not in outside]
    turns = []
    for identity_id, names in _by_identity(sensitive).items():
        if roles[identity_id] != "holdout_identity":
            names = ranked(names, settings.seed, NAME, "joint")
            turns += [(turn, digest(settings.seed, NAME, "joint", name), name) for turn, name in enumerate(names[:-1])]
    return {name for _, _, name in sorted(turns)[: round(settings.joint_share * len(sensitive))]}


def _sensitive(portraits: dict[str, dict], captions: _Captions, joint: set[str], settings: Settings) -> dict[str, dict]:
    """File name -> caption. An identity's portraits take its attributes in turn, both in keyed order: a uniform draw in
    which each fact gets its portraits. The pairs of one fact take its caption variants in turn, in keyed order too."""
    chosen = {}
    rows = [row for row in portraits.values() if row["role"] == "sensitive" and row["file_name"] not in joint]
    for identity_id, names in _by_identity(rows).items():
        fields = ranked(captions.facts(identity_id), settings.seed, NAME, "fields", identity_id)
        for number, name in enumerate(ranked(names, settings.seed, NAME, "portraits")):
            field = fields[number % len(fields)]
            variants = sorted(
                captions.variants(identity_id, field),
                key=lambda caption: digest(settings.seed, NAME, "variant", identity_id, field, caption["variant"]),
            )
            chosen[name] = variants[number // len(fields) % len(variants)]
    return chosen


def _by_identity(rows: list[dict]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["identity_id"]].append(row["file_name"])
    return groups
