"""What curation shows: how many portraits each rule dropped, how many planted faults were caught, and at what price."""

import io
from collections import Counter
from typing import Any

import numpy as np
from PIL import Image

from salmu.data.keyed import ranked
from salmu.data.schemas import AGE_GROUPS, GENDERS
from salmu.data.store import StageView
from salmu.tasks.curation.rules import FOR_ITSELF, REASONS
from salmu.tasks.figures import new_figure, png

Row = dict[str, Any]
SHEET, TILE = (3, 8), 96


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
    figure = new_figure(6, 3)
    axes = figure.subplots()
    axes.hist(
        list(values.values()),
        bins=np.linspace(-0.3, 1, 53),
        stacked=True,
        label=list(values),
        color=("#4c78a8", "#f2a541", "#c8443c"),
    )
    axes.set(xlabel="cosine to the centre of the identity's good portraits", ylabel="portraits", yscale="symlog")
    axes.legend(frameon=False)
    return png(figure)


def demographics_figure(rows: list[Row]) -> bytes:
    """Kept identities by gender, age group and region."""
    identities = list({row["identity_id"]: row for row in rows if row["kept"]}.values())
    figure = new_figure(9, 2.8)
    for axes, name in zip(
        figure.subplots(1, 3, width_ratios=(1, 2, 2)), ("gender", "age_group", "region"), strict=True
    ):
        counts = Counter(str(row[name]) for row in identities)
        labels = sorted(counts)
        bottom = np.zeros(len(labels))
        for role, colour in (("sensitive", "#4c78a8"), ("retain", "#a5c3e0")):
            heights = [sum(str(row[name]) == label and row["role"] == role for row in identities) for label in labels]
            axes.bar(labels, heights, bottom=bottom, label=role, color=colour)
            bottom += heights
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(axis="x", labelrotation=0 if name == "gender" else 30, labelsize=7)
    axes.legend(frameon=False, fontsize=7)
    return png(figure)


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
    figure = new_figure(SHEET[1] * 1.15, SHEET[0] * 1.4, dpi=80)
    grid = figure.subplots(*SHEET).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (name, reason) in zip(grid, list(chosen.items())[: len(grid)], strict=False):
        picture = Image.open(io.BytesIO(images[name])).convert("RGB")
        picture.thumbnail((TILE, TILE))
        axes.imshow(picture)
        axes.set_title(f"{reason}\n({faults[name] or 'good'})", fontsize=6)
    return png(figure)


def _planted(rows: list[Row]) -> int:
    return sum(row["fault"] is not None for row in rows)
