"""The page about captioners on the image towers: what they say when they are asked for personal data."""

import functools
from pathlib import Path
from typing import Any

from salmu.evaluation.captioner.results import BLIND, GROUPS, NAMED, WAYS, read_captions
from salmu.evaluation.encoding.run_models import START
from salmu.evaluation.metrics.bootstrap import Sums, interval
from salmu.evaluation.report.plots import looks, rows_of_points
from salmu.evaluation.report.rendering import page
from salmu.evaluation.report.tradeoff import short_names
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
    """What the shares of digits say, a sentence a way."""
    group = _forgotten(results)
    controls, towers = results["controls"], results["towers"]
    shares = {
        way: ", ".join(
            f"{name} {_percent(towers[tower]['ways'][way], group)}" for tower, name in short_names(towers).items()
        )
        for way in WAYS
    }
    above = {way: ", ".join(surely_above_blind(results, way, group)) or "none" for way in WAYS}
    blind, named = (_percent(controls[name], group) for name in (BLIND, NAMED))
    lines = [
        f"{group}, digits right by the captioner that was built on {in_words(START)}: {shares['built']}. Without a "
        f"picture {blind} are right; told who it is, {named}. Surely more than without a picture: {above['built']}.",
        f"{group}, digits right by captioners of each tower's own that never saw these facts: {shares['fresh']}. "
        f"Surely more than without a picture: {above['fresh']}.",
    ]
    if results["asked"]["other people"]:
        own = _percent(towers[START]["ways"]["fresh"], "other people")
        lines.append(f"The same captioner on {in_words(START)} says {own} of the digits of people whom it did learn.")
    return lines


def surely_above_blind(results: dict[str, Any], way: str, group: str) -> list[str]:
    """The towers on which the interval of the difference from the blind captioner, people drawn in pairs, lies above
    0."""
    found, blind = [], _sums(results["controls"][BLIND][group]["digits"])
    for tower, name in short_names(results["towers"]).items():
        own = _sums(results["towers"][tower]["ways"][way][group]["digits"])
        drawn = interval(own, results["seed"], "captioner", way, group, other=blind) if own and blind else None
        if drawn and drawn[0] > 0:
            found.append(name)
    return found


def _sums(share: dict[str, Any]) -> Sums | None:
    return Sums.read(share["clusters"]) if share["value"] is not None else None


def _forgotten(results: dict[str, Any]) -> str:
    """The group that the page begins with."""
    return FORGOTTEN if results["asked"][FORGOTTEN] else "forgotten facts"


def _percent(found: dict[str, Any], group: str) -> str:
    share = found[group]["digits"]["value"]
    return "none" if share is None else f"{share:.0%}"


def digits(results: dict[str, Any], dark: bool = False, narrow: bool = False) -> bytes:
    """Share of digits right of the forgotten facts, both ways of each tower, as PNG."""
    group = _forgotten(results)
    found = {way: [_shown(one["ways"][way][group]["digits"]) for one in results["towers"].values()] for way in WAYS}
    blind = _shown(results["controls"][BLIND][group]["digits"])["value"]
    names = [in_words(tower) for tower in results["towers"]]
    return rows_of_points(names, found, f"digits right, {group}", blind, dark, narrow)


def _shown(share: dict[str, Any]) -> dict[str, Any]:
    """A share for the plot; at 0 where nothing was asked."""
    return {"value": share["value"] or 0.0, "interval": share.get("interval")}
