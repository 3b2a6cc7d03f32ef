"""The stage curation: which portraits and identities are kept, by rules over what analysis measured; no picture is
opened."""

import json

import numpy as np

from salmu.data import schemas
from salmu.data.keyed import digest
from salmu.data.store import Shard, ShardResult, StageView
from salmu.data.summary import Summary
from salmu.tasks.curation import funnel
from salmu.tasks.curation.choose import choose_roles
from salmu.tasks.curation.decide import decide
from salmu.tasks.curation.rules import RULES, SURPLUS, Settings

__all__ = ["Settings"]

NAME, VERSION = "curation", 2
UPSTREAM = ("anchors", "portraits", "analysis")
SCHEMA, KEY = schemas.CURATION, "file_name"
NOT_SHOWN = ("damaged", "no_face", "several_faces")  # scores that are counts


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """A single shard with all identities, since choosing among them needs them all."""
    identities = tuple(row["identity_id"] for row in upstream["anchors"].rows(["identity_id"]))
    return [Shard(index=0, items=identities, inputs=digest([upstream[name].manifest.digest for name in UPSTREAM]))]


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: None) -> ShardResult:
    """A row for every portrait, kept or dropped with its reason and with its scores. Raises UserError if too few
    identities are left."""
    decisions = decide(settings, upstream)
    measured = decisions.measured
    fit = [
        identity for identity, verdict in zip(measured.identities, decisions.verdicts, strict=True) if verdict is None
    ]
    roles = choose_roles(fit, settings)
    shown = {rule.name: _numbers(decisions.scores[rule.name]) for rule in RULES if rule.name not in NOT_SHOWN}
    rows = []
    for row, (name, place) in enumerate(zip(measured.names, measured.identity.tolist(), strict=True)):
        identity = measured.identities[place]
        role = roles.get(identity["identity_id"], "dropped")
        reason = decisions.reasons[row] or decisions.verdicts[place] or (SURPLUS if role == "dropped" else None)
        scores = {rule: values[row] for rule, values in shown.items() if values[row] is not None}
        rows.append(
            identity
            | {
                "file_name": name,
                "kept": reason is None,
                "reason": reason,
                "role": role,
                "identity_similarity": shown["outlier"][row],
                "anchor_similarity": shown["not_the_anchor"][row],
                "scores": json.dumps(scores),
                "duplicate_of": measured.names[decisions.twins[row]] if reason == "near_duplicate" else None,
                "fault": measured.faults[row],
            }
        )
    return ShardResult(rows, notes={"rules": decisions.table})


def _numbers(values: np.ndarray) -> list[float | None]:
    """Four decimals, None for nan."""
    return [None if value != value else round(value, 4) for value in values.tolist()]


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """The funnel, how each rule fared, the recall of planted faults, the good portraits lost, the kept people's
    demographics, and a sheet of dropped ones: the only pictures that are opened."""
    rows = list(view.rows())
    noted = [entry.notes["rules"] for entry in view.manifest.shards if "rules" in entry.notes]
    rules = noted[0] if noted else decide(settings, upstream).table  # runs of older versions noted nothing
    roles = {
        role: len({row["identity_id"] for row in rows if row["role"] == role and row["kept"]})
        for role in ("sensitive", "retain")
    }
    surplus = len({row["identity_id"] for row in rows if row["reason"] == SURPLUS})
    text = (
        f"{sum(row['kept'] for row in rows)} of {len(rows)} portraits kept, of {roles['sensitive']} sensitive and "
        f"{roles['retain']} retain identities; {surplus} identities are fit, but surplus."
    )
    if any(row["fault"] for row in rows):
        text += f" Good portraits lost: {funnel.good_lost(rows):.1%}."
    if missing := [line["rule"] for line in rules if isinstance(line["dropped"], str)]:
        text += f" Not measured, and so not judged: {', '.join(missing)}."
    tables = {
        "Funnel": funnel.steps(rows, rules),
        "Rules": rules,
        "Planted faults": funnel.recall(rows),
        "Identities": funnel.demographics(rows),
    }
    figures = {
        "Similarity to the identity's centre": funnel.similarity_figure(rows),
        "Who is kept": funnel.demographics_figure(rows),
        "Dropped portraits": funnel.dropped_sheet(rows, upstream["portraits"], settings.seed),
    }
    return Summary(text, tables, {title: figure for title, figure in figures.items() if figure})
