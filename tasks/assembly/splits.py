"""The two split schemes of the sensitive pairs.

Identities have the same role in both: half of them are `association` (half of what they have is in forget, the rest
in holdout_association), a quarter lie in forget, a quarter in holdout_identity. The schemes differ in what
is halved: facts (all pairs of one persona and attribute lie on one side), or, as published, pairs.

Before, some may be set aside: no model is trained on these outsiders, so that membership can be tested.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from salmu.data.errors import UserError
from salmu.data.keyed import digest, ranked
from salmu.data.schemas import OUTSIDERS

ROLES = ("association", "holdout_identity", "association", "forget")  # 774 identities: 387, 194, 193, as published


def identity_roles(identities: Iterable[dict], seed: int, outsider_share: float = 0.0) -> dict[str, str]:
    """Identity id -> role, for rows with identity_id, gender and region.

    In order of gender, region and keyed rank, a share of the identities, rounded down, is set aside at equal distances;
    one of each role stays. The roles are dealt out in turn to the others, so that each role has its share of every
    gender to within one identity. Raises UserError when there are fewer identities than roles."""

    def place(row: dict) -> tuple:
        return row["gender"] or "", row["region"] or "", digest(seed, "assembly", "role", row["identity_id"])

    order = sorted(identities, key=place)
    if len(order) < len(ROLES):
        raise UserError(
            f"assembly: {len(order)} sensitive identities are left after curation, the splits need "
            f"at least {len(ROLES)}: raise anchors.count or relax the thresholds of curation"
        )
    outsiders = min(math.floor(outsider_share * len(order) + 1e-9), len(order) - len(ROLES))
    away = {(2 * number + 1) * len(order) // (2 * outsiders) for number in range(outsiders)}
    dealt = [row["identity_id"] for place, row in enumerate(order) if place not in away]
    roles = {identity_id: ROLES[number % len(ROLES)] for number, identity_id in enumerate(dealt)}
    return roles | {order[place]["identity_id"]: OUTSIDERS for place in sorted(away)}


def fact_sides(sensitive: dict[str, dict], roles: dict[str, str], seed: int) -> dict[str, str]:
    """File name -> split by facts, for pairs {file_name: row with identity_id and data_field}."""
    facts = defaultdict(set)
    for row in sensitive.values():
        facts[row["identity_id"]].add(row["data_field"])
    forget = {
        (identity_id, field)
        for identity_id, fields in facts.items()
        for field in _half(fields, seed, "fact", identity_id)
    }
    return {
        name: _side(roles[row["identity_id"]], (row["identity_id"], row["data_field"]) in forget)
        for name, row in sensitive.items()
    }


def pair_sides(sensitive: dict[str, dict], roles: dict[str, str], seed: int) -> dict[str, str]:
    """File name -> split, as published: single pairs, half of an identity's in forget."""
    names = defaultdict(list)
    for name, row in sensitive.items():
        names[row["identity_id"]].append(name)
    forget = {name for identity_id, own in names.items() for name in _half(own, seed, "pair", identity_id)}
    return {name: _side(roles[row["identity_id"]], name in forget) for name, row in sensitive.items()}


def _half(items: Iterable[str], *key) -> list[str]:
    items = ranked(items, *key)
    return items[: (len(items) + 1) // 2]


def _side(role: str, chosen: bool) -> str:
    if role != "association":
        return role
    return "forget" if chosen else "holdout_association"
