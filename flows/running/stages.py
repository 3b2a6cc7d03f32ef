"""The stages, in order. A stage is a module with NAME, VERSION, UPSTREAM, SCHEMA, KEY, Settings, plan, run and
summarise."""

from types import ModuleType

from salmu.data.errors import UserError
from salmu.data.licences import Model
from salmu.data.store import Entry, Shard, StageView, Store, fingerprint
from salmu.tasks.analysis import stage as analysis
from salmu.tasks.anchors import stage as anchors
from salmu.tasks.assembly import stage as assembly
from salmu.tasks.candidates import stage as candidates
from salmu.tasks.captions import stage as captions
from salmu.tasks.curation import stage as curation
from salmu.tasks.domain import stage as domain
from salmu.tasks.personas import stage as personas
from salmu.tasks.portraits import stage as portraits

STAGES: dict[str, ModuleType] = {
    module.NAME: module
    for module in (candidates, anchors, portraits, analysis, curation, domain, personas, captions, assembly)
}


def upstream_views(store: Store, name: str) -> dict[str, StageView]:
    """A reader for each stage that this one reads."""
    return {other: store.view(other, STAGES[other].KEY) for other in STAGES[name].UPSTREAM}


def models_of(settings) -> list[Model]:
    """The weights that the stages of a run use, each once, with their licences. `settings`: of the whole run."""
    found = {}
    for name, module in STAGES.items():
        for model in module.models(getattr(settings, name)) if hasattr(module, "models") else []:
            found.setdefault((model.name, model.revision), model)
    return list(found.values())


def downstream(name: str) -> list[str]:
    """The stages that depend on this one, in order."""
    affected = {name}
    for other, module in STAGES.items():
        if affected & set(module.UPSTREAM):
            affected.add(other)
    return [other for other in STAGES if other in affected and other != name]


def planned(store: Store, name: str, settings) -> list[tuple[Shard, str]]:
    """The shards of a stage with the fingerprint that each must have now. Raises UserError for bad settings or
    input."""
    module = STAGES[name]
    revisions = module.revisions(settings) if hasattr(module, "revisions") else {}
    shards = module.plan(settings, upstream_views(store, name))
    return [(shard, fingerprint(name, module.VERSION, settings.fingerprint(), revisions, shard)) for shard in shards]


def finished(store: Store, name: str, plan: list[tuple[Shard, str]]) -> dict[int, Entry]:
    """Index -> entry of the planned shards that the store already holds under the same fingerprint."""
    entries, files = {entry.index: entry for entry in store.manifest(name).shards}, store.files(name)
    return {
        shard.index: entries[shard.index]
        for shard, expected in plan
        if shard.index in entries and store.is_done(name, entries[shard.index], expected, files)
    }


def state(store: Store, name: str, settings) -> str:
    """new | partial | done | stale | waiting (for a stage above it), judged from the store alone."""
    if any(not store.manifest(other).complete for other in STAGES[name].UPSTREAM):
        return "waiting" if not store.manifest(name).shards else "stale"
    manifest = store.manifest(name)
    if not manifest.shards:
        return "new"
    try:
        plan = planned(store, name, settings)
    except (FileNotFoundError, UserError):  # cannot be planned on what lies above it now
        return "stale"
    if len(finished(store, name, plan)) == len(plan) and manifest.complete:
        return "done"
    known = {entry.fingerprint for entry in manifest.shards}
    return "partial" if any(expected in known for _, expected in plan) else "stale"
