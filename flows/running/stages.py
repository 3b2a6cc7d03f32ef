"""The stages, in order. A stage is a module with NAME, VERSION, UPSTREAM, SCHEMA, KEY, Settings, plan, run and
summarise; where it applies, also with `revisions` (of weights, prompts, tables), `models` (with their licences) and
`reads_files` (whether its plan depends on files from outside of the run)."""

from importlib.metadata import version
from types import ModuleType

from salmu.data.errors import UserError
from salmu.data.keyed import digest
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
    revisions, shards = _revisions(name, settings), module.plan(settings, upstream_views(store, name))
    return [(shard, fingerprint(name, module.VERSION, settings.fingerprint(), revisions, shard)) for shard in shards]


def _revisions(name: str, settings) -> dict[str, str]:
    module = STAGES[name]
    return module.revisions(settings) if hasattr(module, "revisions") else {}


def plan_digest(store: Store, name: str, settings) -> str | None:
    """A digest of all that the plan of a stage follows from: the same digest, the same plan, whose making would read
    every row above. None for a stage that reads files from outside of the run."""
    module = STAGES[name]
    if hasattr(module, "reads_files") and module.reads_files(settings):
        return None
    above = {other: store.manifest(other).digest for other in module.UPSTREAM}
    code = version("salmu"), module.VERSION, _revisions(name, settings)
    return digest("plan", name, *code, settings.model_dump(mode="json"), above)


def is_current(store: Store, name: str, settings) -> bool:
    """Whether the stage is complete, nothing that its plan follows from has changed since, and its files are there;
    False also where this cannot be told without planning."""
    manifest = store.manifest(name)
    if not (manifest.complete and manifest.plan):
        return False
    files = store.files(name)
    there = all(store.is_done(name, entry, entry.fingerprint, files) for entry in manifest.shards)
    return there and manifest.plan == plan_digest(store, name, settings)


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
        if is_current(store, name, settings):
            return "done"
        plan = planned(store, name, settings)
    except (FileNotFoundError, UserError):  # cannot be planned on what lies above it now
        return "stale"
    if len(finished(store, name, plan)) == len(plan) and manifest.complete:
        return "done"
    known = {entry.fingerprint for entry in manifest.shards}
    return "partial" if any(expected in known for _, expected in plan) else "stale"
