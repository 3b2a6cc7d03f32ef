"""The stage curation: which portraits and identities are kept, by rules over what analysis measured; no picture is
opened."""

from data import schemas
from data.errors import UserError
from data.keyed import digest
from data.store import Shard, ShardResult, StageView, chunks
from data.summary import Summary
from tasks.curation import funnel
from tasks.curation.rules import SURPLUS, Settings, choose_balanced, judge_identity

__all__ = ["Settings"]

NAME, VERSION = "curation", 1
UPSTREAM = ("anchors", "portraits", "analysis")
SCHEMA, KEY = schemas.CURATION, "file_name"
DEMOGRAPHICS = ["identity_id", "gender", "age_group", "region"]
IDENTITIES_AT_ONCE = 64  # so that memory stays bounded: an embedding a portrait
MEASURED = [name for name in schemas.ANALYSIS.names if name not in ("box", "landmarks", "labels")]


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """A single shard with all identities, since choosing among them needs them all."""
    identities = tuple(row["identity_id"] for row in upstream["anchors"].rows(["identity_id"]))
    return [Shard(index=0, items=identities, inputs=digest([upstream[name].manifest.digest for name in UPSTREAM]))]


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: None) -> ShardResult:
    """A row for every portrait, kept or dropped with its reason. Raises UserError if too few identities are left."""
    identities = {row["identity_id"]: row for row in upstream["anchors"].rows(DEMOGRAPHICS)}
    judged, verdicts = {}, {}
    for group in chunks(list(identities), IDENTITIES_AT_ONCE):
        for identity_id, portraits in _portraits_of(group, upstream).items():
            found, verdicts[identity_id] = judge_identity(portraits, identities[identity_id], settings)
            judged[identity_id] = [
                (row["file_name"], row["fault"], *reason) for row, reason in zip(portraits, found, strict=True)
            ]
    roles = _choose_roles([identity for key, identity in identities.items() if verdicts[key] is None], settings)
    rows = []
    for identity_id, identity in identities.items():
        role = roles.get(identity_id, "dropped")
        instead = verdicts[identity_id] or (SURPLUS if role == "dropped" else None)
        for file_name, fault, reason, similarity in judged[identity_id]:
            reason = reason or instead
            rows.append(
                identity
                | {
                    "file_name": file_name,
                    "kept": reason is None,
                    "reason": reason,
                    "role": role,
                    "identity_similarity": similarity,
                    "fault": fault,
                }
            )
    return ShardResult(rows)


def _portraits_of(identities: tuple[str, ...], upstream: dict[str, StageView]) -> dict[str, list[dict]]:
    """The portraits of these identities with what analysis measured on each; nothing but None where it rejected the
    picture."""
    measured = {row["file_name"]: row for row in upstream["analysis"].rows_of(identities, MEASURED, by="identity_id")}
    portraits: dict[str, list[dict]] = {identity_id: [] for identity_id in identities}
    for row in upstream["portraits"].rows_of(identities, ["file_name", "fault"], by="identity_id"):
        portraits[row["identity_id"]].append(dict.fromkeys(MEASURED) | measured.get(row["file_name"], {}) | row)
    return portraits


def _choose_roles(fit: list[dict], settings: Settings) -> dict[str, str]:
    wanted = settings.identities + settings.retain_identities
    if len(fit) < wanted:
        raise UserError(
            f"curation: {len(fit)} identities have at least {settings.min_portraits} good portraits, but {wanted} are "
            f"wanted (identities {settings.identities} + retain_identities {settings.retain_identities}); raise "
            "anchors.count or portraits.per_identity, lower curation.min_portraits, or want fewer"
        )
    sensitive = choose_balanced(fit, settings.identities, settings.seed, NAME, "sensitive")
    rest = [identity for identity in fit if identity["identity_id"] not in set(sensitive)]
    retain = choose_balanced(rest, settings.retain_identities, settings.seed, NAME, "retain")
    return dict.fromkeys(sensitive, "sensitive") | dict.fromkeys(retain, "retain")


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """The funnel, the recall of planted faults, the good portraits lost, the kept people's demographics, and a sheet of
    dropped ones."""
    rows = list(view.rows())
    losses = funnel.good_lost(rows)
    kept = sum(row["kept"] for row in rows)
    roles = {
        role: len({row["identity_id"] for row in rows if row["role"] == role and row["kept"]})
        for role in ("sensitive", "retain")
    }
    text = (
        f"{kept} of {len(rows)} portraits kept, of {roles['sensitive']} sensitive and {roles['retain']} retain "
        f"identities. Good portraits lost: {losses:.1%}."
    )
    tables = {
        "Funnel": funnel.steps(rows),
        "Planted faults": funnel.recall(rows),
        "Identities": funnel.demographics(rows),
    }
    figures = {
        "Similarity to the identity's centre": funnel.similarity_figure(rows),
        "Who is kept": funnel.demographics_figure(rows),
        "Dropped portraits": funnel.dropped_sheet(rows, upstream["portraits"], settings.seed),
    }
    return Summary(text, tables, {title: figure for title, figure in figures.items() if figure})
