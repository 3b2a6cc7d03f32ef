"""Which of the identities that are fit are chosen: as many as wanted, in balance."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from salmu.data.errors import UserError
from salmu.data.keyed import ranked
from salmu.tasks.balance import CELL, rarest_cell
from salmu.tasks.curation.rules import Settings

Row = dict[str, Any]


def choose_roles(fit: list[Row], settings: Settings) -> dict[str, str]:
    """identity_id -> sensitive or retain. Raises UserError if too few identities are fit."""
    wanted = settings.identities + settings.retain_identities
    if len(fit) < wanted:
        raise UserError(
            f"curation: {len(fit)} identities have at least {settings.min_portraits} good portraits and pass the other "
            f"rules, but {wanted} are wanted (identities {settings.identities} + retain_identities "
            f"{settings.retain_identities}); raise anchors.count or portraits.per_identity, lower "
            "curation.min_portraits, or ask for fewer"
        )
    sensitive = choose_balanced(fit, settings.identities, settings.seed, "curation", "sensitive")
    chosen = set(sensitive)
    rest = [identity for identity in fit if identity["identity_id"] not in chosen]
    retain = choose_balanced(rest, settings.retain_identities, settings.seed, "curation", "retain")
    return dict.fromkeys(sensitive, "sensitive") | dict.fromkeys(retain, "retain")


def choose_balanced(identities: Iterable[Row], count: int, *salt) -> list[str]:
    """Ids of up to `count` identities, spread evenly over genders, age groups and regions.

    One by one, from the cell whose three values are rarest so far; who comes first in a cell, and which of equal cells
    comes first, is drawn by the salt."""
    cells: dict[tuple, list[str]] = {}
    for identity in identities:
        cells.setdefault(tuple(identity[name] for name in CELL), []).append(identity["identity_id"])
    waiting = {cell: ranked(cells[cell], *salt)[::-1] for cell in ranked(cells, *salt)}
    taken: Counter = Counter()
    chosen: list[str] = []
    while waiting and len(chosen) < count:
        cell = rarest_cell(waiting, taken)
        chosen.append(waiting[cell].pop())
        taken.update([*enumerate(cell), cell])
        if not waiting[cell]:
            del waiting[cell]
    return chosen
