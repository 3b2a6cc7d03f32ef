"""What cannot work, found in the settings before anything starts: sizes that exclude each other, engines that cannot
draw what they are given, folders that are not there. Used by `salmu run`, `salmu plan`, `salmu stage` and every
deployment."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.flows.names import PARTS
from salmu.flows.settings import RunSettings
from salmu.model_training.model_files import require_loss
from salmu.tasks import photographs
from salmu.tasks.assembly.splits import ROLES
from salmu.tasks.candidates.sources import list_pictures
from salmu.tasks.candidates.stage import DRAWN
from salmu.tasks.face_packs import pack_folder
from salmu.tasks.fairface import require_checkpoints
from salmu.tasks.labels import model_folder
from salmu.tasks.personas.country import require_countries

TOLD = 3  # problems in one message


class Problem(NamedTuple):
    part: str  # of names.PARTS, where the run would end
    message: str
    missing: bool = False  # something that another machine may have


def check_before_start(settings: RunSettings, parts: Sequence[str] = PARTS, here: bool = True) -> list[str]:
    """Raises UserError with what keeps these parts of a run from being made. Returns warnings: what works, but is
    limited by something else, or is most likely not what was wanted.

    `here`: the run will be made on this machine; without it, a missing folder is a warning."""
    there, read = counted(settings)
    found = [problem for problem in (*problems(settings, read), *_missing_weights(settings)) if problem.part in parts]
    fatal = [problem.message for problem in found if here or not problem.missing]
    if fatal:
        more = f"; and {len(fatal) - TOLD} more" if len(fatal) > TOLD else ""
        raise UserError("; ".join(fatal[:TOLD]) + more)
    return [problem.message for problem in found] + list(_warnings(settings, parts, there, read))


def problems(settings: RunSettings, read: int | None) -> list[Problem]:
    """What keeps parts of a run from being made, but for weights that are missing. `read`: candidates that are read."""
    return [*_sizes(settings, read), *_engines(settings), *_missing_data(settings)]


def counted(settings: RunSettings) -> tuple[int | None, int | None]:
    """How many candidates there are, and how many of them are read at most; None: not known here."""
    source = settings.candidates
    if source.source == "procedural":
        return (source.count or DRAWN,) * 2
    try:
        there = len(list_pictures(source.images))
    except UserError:
        return None, source.count
    return there, min(source.count or there, there)


def _sizes(settings: RunSettings, read: int | None) -> Iterator[Problem]:
    curation, pair, per_identity = settings.curation, settings.pair, settings.portraits.per_identity
    wanted = curation.identities + curation.retain_identities
    for key, count, more in (
        ("anchors.count", settings.anchors.count, "raise it"),
        ("the number of candidates", read, "raise candidates.count or name more pictures"),
    ):
        if count is not None and count < wanted:
            yield Problem(
                "curation",
                f"{key} is {count}, but {wanted} identities are wanted (curation.identities {curation.identities} + "
                f"curation.retain_identities {curation.retain_identities}); {more}, or lower these",
            )
            break
    if curation.identities < len(ROLES):
        yield Problem("curation", f"curation.identities is {curation.identities}; the splits need {len(ROLES)}")
    if per_identity < curation.min_portraits:
        yield Problem(
            "curation",
            f"portraits.per_identity is {per_identity}, but curation.min_portraits asks for at least "
            f"{curation.min_portraits} good ones of each; raise the first or lower the second",
        )
    retain = pair.scenes + pair.everyday + wanted * per_identity  # at most
    if not pair.retain and retain < pair.batch_size:
        yield Problem(
            "pair",
            f"pair.batch_size is {pair.batch_size}, but there are {retain} retain pairs at most; raise pair.scenes or "
            "lower pair.batch_size",
        )
    if pair.batch_size % (pair.processes * pair.accumulate):
        yield Problem(
            "pair",
            f"pair.batch_size {pair.batch_size} does not divide by pair.processes {pair.processes} x pair.accumulate "
            f"{pair.accumulate}",
        )
    if pair.sensitive_group % pair.processes:
        yield Problem(
            "pair", f"pair.sensitive_group {pair.sensitive_group} does not divide by pair.processes {pair.processes}"
        )


def _engines(settings: RunSettings) -> Iterator[Problem]:
    portraits, domain = settings.portraits, settings.domain
    if settings.candidates.source == "images" and portraits.engine == "procedural":
        yield Problem(
            "portraits",
            "portraits.engine 'procedural' draws people of candidates.source 'procedural' only, not those of pictures; "
            "set portraits.engine to ip_adapter_faceid_plus, or stop before with --until anchors",
        )
    if settings.curation.min_second_similarity is not None and settings.analysis.second_faces is None:
        yield Problem("curation", "curation.min_second_similarity needs a second pack: set analysis.second_faces")
    if settings.candidates.faces.pack == photographs.NAME and portraits.engine != "procedural":
        yield Problem(
            "portraits",
            f"portraits.engine {portraits.engine!r} draws by ArcFace's embeddings of 512 numbers, and the face pack "
            "photographs gives 128; set candidates.faces.pack to buffalo_l, or stop before with --until anchors",
        )
    multiple = portraits.faceid.size_multiple
    if portraits.engine != "procedural" and portraits.short_side % multiple:
        nearest = max(round(portraits.short_side / multiple), 1) * multiple
        yield Problem(
            "portraits",
            f"portraits.short_side {portraits.short_side} is not a multiple of portraits.faceid.size_multiple "
            f"{multiple}; set it to {nearest}",
        )
    try:
        require_countries(settings.personas.countries)
    except UserError as error:
        yield Problem("personas", str(error))
    try:
        require_loss(settings.pair.model, settings.pair.loss)
    except UserError as error:
        yield Problem("pair", str(error))
    for name in ("faces", "clip"):
        if domain.reference and getattr(domain, name) != getattr(settings.analysis, name):
            yield Problem("domain", f"domain.{name} differs from analysis.{name}; give both the same value")


def _missing_data(settings: RunSettings) -> Iterator[Problem]:
    candidates, domain = settings.candidates, settings.domain
    asked = candidates.source == "images"
    for key, path in (
        *((f"candidates.images: {path}", path) for path in candidates.images if asked),
        (f"candidates.attributes: {candidates.attributes}", candidates.attributes if asked else None),
        (f"domain.reference: {domain.reference}", domain.reference),
        (f"evaluation.zero_shot: {settings.evaluation.zero_shot}", settings.evaluation.zero_shot),
    ):
        if path is not None and not Path(path).expanduser().exists():
            part = key.partition(".")[0]
            yield Problem("benchmark" if part == "evaluation" else part, f"{key}: no such file or folder", missing=True)
    if asked and not candidates.images:
        yield Problem("candidates", "candidates.source is 'images', but candidates.images names no folder or archive")
    for source in settings.pair.retain:
        if "://" not in source.urls and not set(source.urls) & set("*{?[") and not Path(source.urls).exists():
            yield Problem("pair", f"pair.retain: {source.urls}: no such file or folder", missing=True)


def _missing_weights(settings: RunSettings) -> Iterator[Problem]:
    candidates, analysis, domain = settings.candidates, settings.analysis, settings.domain
    asked = candidates.source == "images"
    for part, require, value in (
        ("candidates", pack_folder, candidates.faces),
        ("candidates", require_checkpoints, candidates.fairface if asked else None),
        ("candidates", model_folder, candidates.clip if asked else None),
        ("analysis", pack_folder, analysis.faces),
        ("analysis", pack_folder, analysis.second_faces),
        ("analysis", require_checkpoints, analysis.fairface),
        ("analysis", model_folder, analysis.clip),
        ("domain", pack_folder, domain.faces if domain.reference else None),
    ):
        try:
            if value is not None:
                require(value)
        except UserError as error:
            yield Problem(part, f"{part}: {error}", missing=True)


def _warnings(settings: RunSettings, parts: Sequence[str], there: int | None, read: int | None) -> Iterator[str]:
    candidates, anchors = settings.candidates, settings.anchors
    if candidates.source == "images":
        yield from _warnings_about_photographs(settings, parts)
    if there is not None and read < there:
        yield f"{read:,} of {there:,} pictures are read, the first ones (candidates.count)"
    elif there is not None and there < (candidates.count or 0):
        yield f"candidates.count is {candidates.count:,}, but there are only {there:,} pictures"
    if "anchors" in parts and read is not None and read < (anchors.count or 0):
        yield f"anchors.count is {anchors.count:,}, but there are only {read:,} candidates (candidates.count)"
    shown, scenes = settings.unlearning.retain_scenes, settings.pair.scenes
    if "benchmark" in parts and shown > scenes:
        yield (
            f"unlearning.retain_scenes is {shown:,}, but the pair is trained on {scenes:,} scenes (pair.scenes): "
            "methods get no more than those"
        )


def _warnings_about_photographs(settings: RunSettings, parts: Sequence[str]) -> Iterator[str]:
    packs = {"candidates": settings.candidates.faces.pack, "analysis": settings.analysis.faces.pack}
    for part, pack in packs.items():
        if part in parts and pack == "embedded":
            yield (
                f"{part.upper()} USES THE EMBEDDED FACE MODELS, WHICH KNOW DRAWN FACES ONLY. On photographs their "
                f"results are worthless. Set {part}.faces.pack to photographs or buffalo_l."
            )
    if "analysis" in parts and settings.analysis.clip == "embedded":
        yield "analysis.clip is the embedded model, which knows drawn pictures only; name another for photographs"
