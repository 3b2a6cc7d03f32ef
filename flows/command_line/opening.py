"""What the arguments of a command name: a run's folder, its settings, overrides."""

import sys
from typing import Any

from salmu.data.files import location, size
from salmu.data.store import Store
from salmu.flows.running.lock import holder
from salmu.flows.settings import RunSettings, load_run, parse_assignment


def overrides(options) -> dict[str, Any]:
    """--set KEY=VALUE as {"stage.key": value}, with what --scale changes below them."""
    changes = dict(parse_assignment(text) for text in options.assignments)
    if getattr(options, "scale", None) is None:
        return changes
    from salmu.flows.scale import scaled

    return scaled(options.profile, options.scale, changes)


def existing(options) -> Store:
    """The folder of a run that exists. Raises UserError if there is none, also where a folder of that name holds
    something else."""
    store = Store(location(options.runs) / (options.run or "tiny"))
    if size(store.folder / "settings.yaml") is None:
        load_run(store.folder)  # says which run may be meant
    return store


def opened(options) -> tuple[Store, RunSettings]:
    """A run that exists, and the settings that it was made with. Raises UserError if there is none."""
    store = existing(options)
    return store, load_run(store.folder)


def note_methods_left_out(settings: RunSettings) -> None:
    """Say on stderr which methods of --methods a run does not make: the option makes them known, nothing more."""
    from salmu.evaluation.unlearning.outside import files
    from salmu.evaluation.unlearning.registry import methods

    left = [path.stem for path in files() if path.stem in methods() and path.stem not in settings.unlearning.methods]
    if left:
        key = f"unlearning.methods.{left[0]}"
        print(f"note: this run does not use {', '.join(left)}; to use it, add --set {key}={{}}", file=sys.stderr)


def note_if_under_way(folder) -> None:
    """Say on stderr that a process works on the run, so that what a command shows may be half of it."""
    found = holder(folder)
    if found and found.alive:
        print(f"note: this run is under way ({found}); this shows what it has so far", file=sys.stderr)
