"""What a run would do and what it costs, before anything runs: `salmu plan`."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from salmu.data.schemas import DATA_FIELDS
from salmu.data.store import Store
from salmu.flows.machine_check.measured_rates import Measured
from salmu.flows.running.stages import STAGES, finished, planned, state
from salmu.flows.settings import RunSettings
from salmu.tasks.candidates.sources import list_pictures
from salmu.tasks.candidates.stage import DRAWN, candidates_a_shard

MEASURED = "measured on 2 server cores by benchmarks/rates.py"
PUBLISHED = "published: diffusers on an A100, SD1.5, 512 px, batch 16 (2.2 images/s at 30 steps)"
ASSUMED = "assumed, not measured"


class Rate(NamedTuple):
    """What an item costs where nothing of the run is there to measure it by."""

    seconds: float  # on one core, or one GPU
    bytes: int  # kept on disk
    on: str  # core | GPU
    source: str


# (stage, engine) -> rate
RATES = {
    ("candidates", "procedural"): Rate(0.090, 10_600, "core", MEASURED),
    ("candidates", "images"): Rate(0.02, 60_000, "GPU", ASSUMED),
    ("anchors", ""): Rate(0.0021, 9_800, "core", MEASURED),
    ("portraits", "procedural"): Rate(0.046, 7_600, "core", MEASURED),
    ("portraits", "ip_adapter_faceid_plus"): Rate(0.45, 110_000, "GPU", PUBLISHED),
    ("portraits", "ip_adapter_faceid_sdxl"): Rate(3.0, 400_000, "GPU", ASSUMED),
    ("analysis", "embedded"): Rate(0.0136, 3_800, "core", MEASURED),
    ("analysis", "models"): Rate(0.03, 7_000, "GPU", ASSUMED),
    ("curation", ""): Rate(0.0004, 63, "core", MEASURED),
    ("domain", ""): Rate(0.05, 6_000, "core", ASSUMED),
    ("personas", ""): Rate(0.0062, 350, "core", MEASURED),
    ("captions", "grammar"): Rate(0.00034, 51, "core", MEASURED),
    ("captions", "vllm"): Rate(0.025, 50, "GPU", ASSUMED),
    ("captions", "openai"): Rate(0.05, 50, "core", ASSUMED),
    ("assembly", ""): Rate(0.00007, 82, "core", MEASURED),
}
STEPS = 30  # that the rates of portraits are for
PIXELS = {"ip_adapter_faceid_plus": 512**2, "ip_adapter_faceid_sdxl": 1024**2}


def engine_of(stage: str, settings: RunSettings) -> str:
    """Which engine of a stage the settings ask for, as RATES names it."""
    own = getattr(settings, stage)
    if stage == "candidates":
        return own.source
    if stage in ("portraits", "captions"):
        return own.engine
    if stage == "analysis":
        return "embedded" if own.clip == "embedded" else "models"
    return ""


def rate_of(stage: str, settings: RunSettings) -> Rate:
    """The tabled rate of a stage, for the size and the steps of its pictures."""
    engine = engine_of(stage, settings)
    rate = RATES[stage, engine]
    if engine in PIXELS:
        size = settings.portraits.short_side**2 / PIXELS[engine]
        seconds = rate.seconds * size * settings.portraits.faceid.steps / STEPS
        return rate._replace(seconds=seconds, bytes=round(rate.bytes * size))
    return rate


def expected_items(settings: RunSettings) -> dict[str, int]:
    """Items of each stage if nothing but what is surplus is dropped: an upper bound."""
    source = settings.candidates
    candidates = source.count or (DRAWN if source.source == "procedural" else len(list_pictures(source.images)))
    anchors = min(settings.anchors.count or candidates, candidates)
    portraits = anchors * settings.portraits.per_identity
    personas = min(settings.curation.identities, anchors)
    kept = min(anchors, settings.curation.identities + settings.curation.retain_identities)
    kept *= settings.portraits.per_identity
    return {
        "candidates": candidates,
        "anchors": anchors,
        "portraits": portraits,
        "analysis": portraits,
        "curation": portraits,
        "domain": 0,
        "personas": personas,
        "captions": personas * len(DATA_FIELDS) * 5 + kept,
        "assembly": kept,
    }


def expected_shards(settings: RunSettings, items: Mapping[str, int]) -> dict[str, int]:
    """Shards of each stage with so many items. More workers than shards are of no use to a stage."""
    people = {"portraits": "portraits", "analysis": "analysis", "captions": "assembly"}  # stage -> whose portraits
    sizes = {
        "candidates": candidates_a_shard(settings.candidates),
        "portraits": settings.portraits.identities_per_shard,
        "analysis": settings.analysis.identities_per_shard,
        "personas": settings.personas.shard_size,
        "captions": settings.captions.shard_size,
    }
    found = {}
    for stage in items:
        count = items[people[stage]] / settings.portraits.per_identity if stage in people else items[stage]
        found[stage] = max(1, math.ceil(count / sizes[stage])) if stage in sizes else 1
    return found


def plan_rows(
    store: Store, settings: RunSettings, workers: int, gpus: int, measured: Mapping[str, Measured] | None = None
) -> list[dict]:
    """One row a stage: items, what the store holds already, and what the rest costs in time and disk. The rate is that
    of the run itself where it has begun the stage, else the `measured` one, else the tabled one."""
    rows, above_changes = [], set()
    all_items = expected_items(settings)
    all_shards = expected_shards(settings, all_items)
    for name, items in all_items.items():
        condition = state(store, name, getattr(settings, name))
        if above_changes & set(STAGES[name].UPSTREAM):
            condition = "stale" if store.manifest(name).shards else "new"
        held = 0
        if condition == "partial":
            plan = planned(store, name, getattr(settings, name))
            held = sum(entry.items for entry in finished(store, name, plan).values())
        elif condition == "done":
            held = items
        if condition != "done":
            above_changes.add(name)
        rate = rate_of(name, settings)
        if measured and name in measured:
            rate = rate._replace(**measured[name]._asdict())
        entries = [entry for entry in store.manifest(name).shards if entry.rows]
        if entries:
            seconds = sum(entry.seconds for entry in entries) / sum(entry.rows for entry in entries)
            rate = rate._replace(seconds=seconds, source="this run")
        work = (items - held) * rate.seconds
        shards = math.ceil(all_shards[name] * (items - held) / max(items, 1))
        rows.append(
            {
                "stage": name,
                "engine": engine_of(name, settings),
                "state": condition,
                "items": items,
                "to make": items - held,
                "hours of work": round(work / 3600, 3),
                "on": rate.on,
                "seconds": round(work / max(1, min(gpus if rate.on == "GPU" else workers, shards)), 1),
                "MB": round(items * rate.bytes / 1e6, 1),
                "rate": rate.source,
            }
        )
    return rows


def totals(rows: list[dict], workers: int, gpus: int, gpu_price: float) -> str:
    """The sum of a plan, in one paragraph. `gpu_price`: of a GPU-hour, in any currency."""
    hours = {on: sum(row["hours of work"] for row in rows if row["on"] == on) for on in ("core", "GPU")}
    text = f"in all about {sum(row['seconds'] for row in rows):.0f} s"
    text += f" on {workers} cores" + (f" and {gpus} GPUs" if hours["GPU"] else "")
    text += f" and {sum(row['MB'] for row in rows):,.0f} MB for the stages, before the model pair"
    if hours["GPU"]:
        cost = hours["GPU"] * gpu_price
        text += (
            f"\n{hours['GPU']:.1f} GPU-hours, {cost:,.2f} at {gpu_price:g} a GPU-hour; {hours['core']:.1f} core-hours"
        )
    return text
