"""`--scale FACTOR`: the sizes of a profile, multiplied together so that they still fit each other."""

import math
from typing import Any

from salmu.data.errors import UserError
from salmu.flows.settings import RunSettings, load_profile

# key -> the least that works. What is there is rounded up, what is asked of it is rounded down.
SUPPLIES = {
    "candidates.count": 1,
    "anchors.count": 1,
    "portraits.per_identity": 2,
    "pair.scenes": 0,
    "pair.everyday": 0,
    "unlearning.retain_scenes": 0,
    "evaluation.zero_shot_per_class": 1,
}
DEMANDS = {"curation.identities": 4, "curation.retain_identities": 0, "curation.min_portraits": 1}
METHOD_SIZES = ("retain_scenes", "scenes", "strangers", "others")  # of each method that has them


def scaled(profile: str | None, factor: float, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes {"stage.key": value} that multiply the sizes of a profile, with the given changes above them.

    Raises UserError for a scale without a profile (a run's own settings would shrink with every command), and for one
    that leaves too little to work with."""
    if profile is None:
        raise UserError("--scale multiplies the sizes of a profile; name it with --profile")
    if not 0 < factor < math.inf:
        raise UserError(f"--scale {factor:g}: a number above 0 is needed, such as 0.2")
    settings = load_profile(profile)
    found = _sizes(settings, factor) | _method_sizes(settings, factor)
    return found | changes


def _sizes(settings: RunSettings, factor: float) -> dict[str, Any]:
    found = {}
    for keys, rounded in ((SUPPLIES, math.ceil), (DEMANDS, math.floor)):
        for key, least in keys.items():
            section, name = key.split(".")
            value = getattr(getattr(settings, section), name)
            if value is None:  # all there are
                continue
            found[key] = rounded(round(value * factor, 6))
            if value >= least > found[key]:
                raise UserError(f"--scale {factor:g}: {key} would be {found[key]}, at least {least} is needed")
    return found


def _method_sizes(settings: RunSettings, factor: float) -> dict[str, Any]:
    return {
        f"unlearning.methods.{run.method}.{name}": math.ceil(run.values[name] * factor)
        for run in settings.unlearning.runs()
        for name in METHOD_SIZES
        if run.values.get(name)
    }
