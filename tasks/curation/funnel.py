"""What curation shows: how many portraits each rule dropped, how many planted faults were caught, and at what price."""

from collections import Counter
from typing import Any

import numpy as np

from salmu.data.keyed import ranked
from salmu.data.schemas import AGE_GROUPS, GENDERS
from salmu.data.store import StageView
from salmu.tasks.charts import Panel, bar_charts
from salmu.tasks.curation.rules import FOR_ITSELF, REASONS
from salmu.tasks.pictures import labelled_sheet

Row = dict[str, Any]
SHEET = (3, 8)  # rows and columns of pictures


def steps(rows: list[Row], rules: list[Row]) -> list[Row]:
    """The funnel: portraits put in, dropped by each rule in its order ("not measured" where the rule could not judge),
    kept; and how many of them had a planted fault."""
    missing = {line["rule"] for line in rules if isinstance(line["dropped"], str)}
    counts = Counter((row["reason"], row["fault"] is not None) for row in rows)
    left, table = (
        len(rows),
        [{"step": "input", "portraits": len(rows), "with a planted fault": _planted(rows), "left": len(rows)}],
    )
    for reason in REASONS:
        good, planted = counts[reason, False], counts[reason, True]
        left -= good + planted
        dropped = "not measured" if reason in missing else good + planted
        table.append({"step": reason, "portraits": dropped, "with a planted fault": planted, "left": left})
    kept = [row for row in rows if row["kept"]]
    table.append({"step": "kept", "portraits": len(kept), "with a planted fault": _planted(kept), "left": len(kept)})
    return table


def recall(rows: list[Row]) -> list[Row]:
    """For each type of planted fault: planted, caught by a rule about the portrait, recall, and the rules that caught
    it."""
    table = []
    for fault in sorted({row["fault"] for row in rows if row["fault"]}):
        planted = [row for row in rows if row["fault"] == fault]
        caught = Counter(row["reason"] for row in planted if row["reason"] in FOR_ITSELF)
        table.append(
            {
                "fault": fault,
                "planted": len(planted),
                "caught": caught.total(),
                "recall": round(caught.total() / len(planted), 4),
                "by": ", ".join(f"{reason} {count}" for reason, count in caught.most_common()),
            }
        )
    return table


def good_lost(rows: list[Row]) -> float:
    """Share of the portraits without a planted fault that a rule about the portrait dropped."""
    good = [row for row in rows if row["fault"] is None]
    return sum(row["reason"] in FOR_ITSELF for row in good) / max(len(good), 1)


def demographics(rows: list[Row]) -> list[Row]:
    """Identities by role, gender and age group."""
    identities = {row["identity_id"]: row for row in rows}.values()
    counts = Counter((row["role"], row["gender"], row["age_group"]) for row in identities)
    return [
        {"role": role, "gender": gender} | {group: counts[role, gender, group] for group in AGE_GROUPS}
        for role in ("sensitive", "retain", "dropped")
        for gender in GENDERS
    ]


def similarity_figure(rows: list[Row]) -> bytes:
    """Histogram of the similarity to the identity's centre: kept, good but dropped, planted."""
    groups = {
        "kept": [row for row in rows if row["reason"] not in FOR_ITSELF and not row["fault"]],
        "good, but dropped": [row for row in rows if row["reason"] in FOR_ITSELF and not row["fault"]],
        "planted fault": [row for row in rows if row["fault"]],
    }
    values = {
        name: [row["identity_similarity"] for row in group if row["identity_similarity"] is not None]
        for name, group in groups.items()
    }
    edges = np.linspace(-0.3, 1, 53)
    labels = [""] * (len(edges) - 1)
    for tenth in range(-3, 10):
        labels[int(np.searchsorted(edges, tenth / 10 + 1e-9)) - 1] = f"{tenth / 10:g}"
    heights = {name: np.histogram(found, edges)[0].tolist() for name, found in values.items()}
    told = "cosine to the centre of the identity's good portraits"
    return bar_charts([Panel("", heights, labels)], told, "portraits", logarithmic=True)


def demographics_figure(rows: list[Row]) -> bytes:
    """Kept identities by gender, age group and region."""
    identities = list({row["identity_id"]: row for row in rows if row["kept"]}.values())
    panels = []
    for name in ("gender", "age_group", "region"):
        counts = Counter((str(row[name]), row["role"]) for row in identities)
        labels = sorted({label for label, _ in counts})
        series = {role: [counts[label, role] for label in labels] for role in ("sensitive", "retain")}
        panels.append(Panel(name.replace("_", " "), series, labels))
    return bar_charts(panels, ylabel="identities", size=(900, 280))


def dropped_sheet(rows: list[Row], portraits: StageView, seed: int) -> bytes | None:
    """Some dropped portraits with reason and planted fault, the reasons in turns; None if nothing was dropped for
    itself."""
    waiting = {
        reason: ranked([row["file_name"] for row in rows if row["reason"] == reason], seed, "sheet")[::-1]
        for reason in REASONS
        if reason in FOR_ITSELF and reason != "damaged"
    }
    chosen: dict[str, str] = {}
    while any(waiting.values()) and len(chosen) < SHEET[0] * SHEET[1]:
        for reason in [reason for reason, names in waiting.items() if names]:
            chosen[waiting[reason].pop()] = reason
    if not chosen:
        return None
    faults = {row["file_name"]: row["fault"] for row in rows if row["file_name"] in chosen}
    images = {row["file_name"]: row["image"] for row in portraits.rows_of(chosen, ["image"])}
    pictures = [(images[name], f"{reason}\n({faults[name] or 'good'})") for name, reason in chosen.items()]
    return labelled_sheet(pictures, SHEET[1])


def _planted(rows: list[Row]) -> int:
    return sum(row["fault"] is not None for row in rows)
