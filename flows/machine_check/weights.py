"""Every weight that the settings name: where it lies, whether it can be read, whether its values are finite, and under
which licence it comes. Whether its kind and shape are right is what its loader says, when its engine is tried.

Nothing is fetched: a hub's repository counts if it is in the cache. Run it with HF_HUB_OFFLINE=1, for the hub is also
asked for commits."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.data.licences import UNKNOWN, model
from salmu.flows.machine_check.findings import FAILED, NOT_CHECKED, OK, Finding
from salmu.flows.machine_check.weight_files import READABLE, card_licence, read_values, weight_files
from salmu.flows.settings import RunSettings
from salmu.model_training.loading.folders import HUB
from salmu.tasks import photographs
from salmu.tasks.captions.vllm_batch import weights as language_model
from salmu.tasks.face_packs import FaceSettings, pack_files, pack_folder
from salmu.tasks.fairface import checkpoints, local_path
from salmu.tasks.labels import model_folder
from salmu.tasks.portraits.faceid import PARTS, parts
from salmu.tasks.sources import Source

NOT_HERE = "not in the hub's cache; it is fetched at the first use"


class Weight(NamedTuple):
    """Something that the settings name. `place`: its file or folder, None where it is not here."""

    stage: str
    use: str
    name: str
    place: Path | None
    problem: str = ""  # why it cannot be used, or why it is not here
    missing: bool = False  # a name of the hub that is fetched at its first use
    files: tuple[Path, ...] | None = None  # only these of the place


def named(settings: RunSettings) -> Iterator[Weight]:
    """All weights, stage by stage."""
    candidates, analysis, domain = settings.candidates, settings.analysis, settings.domain
    asked = candidates.source == "images"
    yield _pack("candidates", candidates.faces)
    if asked:
        yield from _fairface("candidates", candidates.fairface)
        if candidates.clip:
            yield _clip("candidates", candidates.clip)
    if settings.portraits.engine != "procedural":
        yield from _diffusion(settings)
    yield _pack("analysis", analysis.faces)
    yield _clip("analysis", analysis.clip)
    yield from _fairface("analysis", analysis.fairface)
    if analysis.second_faces:
        yield _pack("analysis", analysis.second_faces)
    if domain.reference:
        yield _pack("domain", domain.faces)
        yield _clip("domain", domain.clip)
    if settings.captions.engine == "vllm":
        yield _language_model(settings.captions.vllm)


def weights(settings: RunSettings) -> list[tuple[str, Finding]]:
    """(stage, finding) for each weight; a weight that several stages name is read once."""
    found, known = [], {}
    for weight in named(settings):
        key = weight[1:]
        known[key] = known[key] if key in known else looked_at(weight)
        found.append((weight.stage, known[key]))
    if settings.captions.engine == "openai":
        asked = settings.captions.openai
        text = f"at {asked.base_url}, which is asked below; licence: {known_licence(asked.model)}"
        found.append(("captions", Finding("weights", f"language model {asked.model}", OK, text)))
    return found


def looked_at(weight: Weight) -> Finding:
    """A weight, with all of its files read."""
    what = f"{weight.use} {weight.name}"
    if weight.place is None:
        state = NOT_CHECKED if weight.missing else FAILED
        return Finding("weights", what, state, f"{weight.problem}; licence: {licence(weight)}")
    try:
        if weight.name == photographs.NAME:
            files = tuple(photographs.files().values())
            told = "with the digests of pack.json"
        else:
            files = weight_files(weight.place) if weight.files is None else weight.files
            if not files:
                raise UserError(f"{weight.place}: no weights here ({', '.join(READABLE)})")
            values = sum(map(read_values, files))
            told = f"{values / 1e6:,.1f} M values, all finite" if values else "can be loaded"
    except UserError as error:
        return Finding("weights", what, FAILED, str(error))
    size = sum(path.stat().st_size for path in files) / 1e6
    many = f"{len(files)} files" if len(files) > 1 else files[0].name
    return Finding("weights", what, OK, f"{many}, {size:,.1f} MB, {told}; licence: {licence(weight)}")


def licence(weight: Weight) -> str:
    """What the weight's own card says; else what this project knows of the name; else "not stated"."""
    if weight.name == photographs.NAME:
        return photographs.pack().licence
    said = card_licence(weight.place) if weight.place else None
    return said or known_licence(weight.name)


def known_licence(name: str) -> str:
    """What this project knows of a name."""
    known = model(name, "", "").licence
    return "not stated" if known == UNKNOWN else known


def _pack(stage: str, faces: FaceSettings) -> Weight:
    try:
        folder = pack_folder(faces)
    except UserError as error:
        return Weight(stage, "face pack", faces.pack, None, str(error))
    files = tuple(path for path in pack_files(folder) if path.suffix == ".onnx")
    return Weight(stage, "face pack", faces.pack, folder, files=files)


def _clip(stage: str, name: str) -> Weight:
    try:
        folder = model_folder(name)
    except UserError as error:
        return Weight(stage, "CLIP", name, None, str(error))
    if folder:
        return Weight(stage, "CLIP", name, folder)
    if name.startswith(HUB):
        cached = in_cache(name.removeprefix(HUB), None)
        return Weight(stage, "CLIP", name, cached, "" if cached else NOT_HERE, missing=cached is None)
    file = Path(name.partition("/")[2]).expanduser()
    if file.is_file():
        return Weight(stage, "CLIP", name, file)
    return Weight(stage, "CLIP", name, None, "open_clip's own weights; they are fetched at the first use", missing=True)


def _fairface(stage: str, settings) -> Iterator[Weight]:
    for name in checkpoints(settings):
        try:
            place = local_path(name)
        except UserError as error:
            yield Weight(stage, "FairFace", name, None, str(error))
            continue
        repository, _, revision = name.partition("@")
        place = place or in_cache(repository, revision or None)
        yield Weight(stage, "FairFace", name, place, "" if place else NOT_HERE, missing=place is None)


def _diffusion(settings: RunSettings) -> Iterator[Weight]:
    portraits = settings.portraits
    try:
        found = parts(portraits.faceid, portraits.engine)
    except UserError as error:
        yield Weight("portraits", "diffusion", portraits.engine, None, str(error))
        return
    for part in PARTS:
        if source := getattr(found, part):
            yield _of_source("portraits", part.replace("_", " "), source)
    adapter = _of_source("portraits", "adapter", found.adapter)
    adapter = adapter._replace(name=f"{adapter.name}/{found.adapter_file}")
    if adapter.place is None:
        yield adapter
    elif (adapter.place / found.adapter_file).is_file():
        yield adapter._replace(files=(adapter.place / found.adapter_file,))
    elif found.adapter.commit is None:
        problem = f"no {found.adapter_file} in it; set portraits.faceid.adapter_file"
        yield adapter._replace(place=None, problem=problem)
    else:
        yield adapter._replace(place=None, problem=NOT_HERE, missing=True)


def _language_model(settings) -> Weight:
    try:
        return _of_source("captions", "language model", language_model(settings))
    except UserError as error:
        return Weight("captions", "language model", settings.model, None, str(error))


def _of_source(stage: str, use: str, source: Source) -> Weight:
    place = Path(source.name) if source.commit is None else in_cache(source.name, source.commit)
    return Weight(stage, use, source.name, place, "" if place else NOT_HERE, missing=place is None)


def in_cache(repository: str, revision: str | None) -> Path | None:
    """The folder of a repository's snapshot in the hub's cache."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except Exception:  # not there, or no repository's name: the hub's errors share no base
        return None
