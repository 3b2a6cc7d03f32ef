"""The page about captioners on the image towers: what they say when they are asked for personal data."""

import functools
from pathlib import Path
from typing import Any

from salmu.evaluation.captioner.results import BLIND, GROUPS, NAMED, START, WAYS, read_captions
from salmu.evaluation.report.plots import looks, rows_of_points
from salmu.evaluation.report.rendering import page
from salmu.evaluation.verdicts.leaderboard import in_words

PAGE = "captioner.html"
MEASURES = {"digits": "share of the digits right, each in its place", "values": "share of the values right"}
FORGOTTEN = "forgotten people"


def captioner_page(run_folder: Path, name: str) -> bytes | None:
    """report/captioner.html; None where `salmu captioner` was not run."""
    results = read_captions(run_folder)
    if results is None:
        return None
    groups = [group for group in GROUPS if results["asked"][group]]
    return page(
        PAGE,
        name=name,
        results=results,
        rows=rows_of(results),
        groups={group: GROUPS[group] for group in groups},
        measures=MEASURES,
        ways=WAYS,
        told=told(results),
        plot=looks(digits, results),
        narrow_plot=looks(functools.partial(digits, narrow=True), results),
    )


def rows_of(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Title and findings of each captioner: the controls, then both ways of each tower."""
    rows = [(name, found) for name, found in results["controls"].items()]
    for way in WAYS:
        rows += [(f"{way}: {in_words(tower)}", one["ways"][way]) for tower, one in results["towers"].items()]
    return rows


def told(results: dict[str, Any]) -> list[str]:
    """What the digits say, in two sentences."""
    group = FORGOTTEN if results["asked"][FORGOTTEN] else "forgotten facts"
    controls, towers = results["controls"], results["towers"]

    def share(found: dict[str, Any]) -> str:
        return f"{found[group]['digits']['value']:.0%}" if found[group]["digits"]["value"] is not None else "none"

    built = ", ".join(f"{in_words(tower)} {share(one['ways']['built'])}" for tower, one in towers.items())
    fresh = ", ".join(f"{in_words(tower)} {share(one['ways']['fresh'])}" for tower, one in towers.items())
    about = f"without a picture it says {share(controls[BLIND])}, told who it is {share(controls[NAMED])}"
    return [
        f"{group}, digits right by the captioner that was built on {in_words(START)}: {built}; {about}.",
        f"{group}, digits right by a captioner of the tower's own that never saw the forgotten facts: {fresh}.",
    ]


def digits(results: dict[str, Any], dark: bool = False, narrow: bool = False) -> bytes:
    """Share of digits right of the forgotten facts, both ways of each tower, as PNG."""
    group = FORGOTTEN if results["asked"][FORGOTTEN] else "forgotten facts"
    found = {way: [_shown(one["ways"][way][group]["digits"]) for one in results["towers"].values()] for way in WAYS}
    blind = _shown(results["controls"][BLIND][group]["digits"])["value"]
    names = [in_words(tower) for tower in results["towers"]]
    return rows_of_points(names, found, f"digits right, {group}", blind, dark, narrow)


def _shown(share: dict[str, Any]) -> dict[str, Any]:
    """A share for the plot; at 0 where nothing was asked."""
    return {"value": share["value"] or 0.0, "interval": share.get("interval")}
