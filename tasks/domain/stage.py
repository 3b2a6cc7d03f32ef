"""The stage domain: are the kept portraits diverse, apart from each other, and like a folder of reference portraits?

Nothing depends on it. Its rows are the measured reference portraits, whose pictures are not stored."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.foreign_names import is_content, is_utf8, printable
from salmu.data.keyed import digest
from salmu.data.licences import Model
from salmu.data.pictures import LARGEST_FILE
from salmu.data.settings import NOT_IN_FINGERPRINT, StageSettings
from salmu.data.store import Reject, Shard, ShardResult, StageView
from salmu.data.summary import Summary
from salmu.tasks.analysis import stage as analysis
from salmu.tasks.devices import Device
from salmu.tasks.domain.figures import diversity_figure, likeness_figure, separation_figure
from salmu.tasks.domain.identities import Pairs, diversity, draw_pairs, separation
from salmu.tasks.domain.likeness import by_group, compare, measures, smallest_seen
from salmu.tasks.domain.sample import Sample, kept_sample, reference_sample
from salmu.tasks.face_packs import FaceSettings

NAME, VERSION = "domain", 1
UPSTREAM = ("anchors", "portraits", "analysis", "curation")
SCHEMA, KEY = schemas.DOMAIN, "file_name"
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
SHOWN = 12  # of the measures that differ most


class Settings(StageSettings):
    """What the kept portraits are compared with, and how."""

    reference: str | None = Field(
        None,
        description="Folder of reference portraits, one picture per person, such as photographs of 100 people; without "
        "it likeness is not tested.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )  # the files' digests are in the shard
    faces: FaceSettings = Field(FaceSettings(), description="As analysis.faces: the models must be the same.")
    clip: str = Field("embedded", description="As analysis.clip.")
    device: Device = Field("auto", description="Where the models compute.")
    batch_size: int = Field(64, ge=1, description="Pictures in a batch.")
    threads: int = Field(2, ge=1, description="Threads that decode ahead.", json_schema_extra=NOT_IN_FINGERPRINT)
    alpha: float = Field(0.05, gt=0, lt=1, description="Level of all tests of likeness together.")
    correction: Literal["holm", "benjamini-hochberg"] = Field(
        "holm",
        description="For the number of tests: holm bounds the chance of any false alarm, benjamini-hochberg the share "
        "of false alarms.",
    )
    directions: int = Field(32, ge=1, description="Most principal directions of each embedding that are tested.")
    max_people: int = Field(2000, ge=2, description="Most identities in the tests of likeness.")
    per_identity: int = Field(16, ge=1, description="Most portraits of an identity for diversity and separation.")
    max_pairs: int = Field(200_000, ge=1, description="Most pairs of portraits of each kind.")


def reads_files(settings: Settings) -> bool:
    """Whether the plan depends on files from outside of the run."""
    return settings.reference is not None


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """One shard with the reference portraits, or with nothing. Raises UserError if the folder is missing or empty, or
    the models are not those of analysis."""
    measured_with = upstream["analysis"].manifest.settings
    for name, value in settings.model_dump(mode="json", include={"faces", "clip"}).items():
        if settings.reference and measured_with.get(name, value) != value:
            raise UserError(
                f"domain.{name} is {value!r}, but analysis measured the portraits with {measured_with[name]!r}: give "
                "both the same value"
            )
    files = _pictures(settings.reference)
    content = [[name, file_sha256(path)] for name, path in files.items()]
    inputs = digest(content, [upstream[name].manifest.digest for name in UPSTREAM])
    return [Shard(index=0, items=tuple(files), inputs=inputs)]


def revisions(settings: Settings) -> dict[str, str]:
    """Digests of the models, where there is something to measure."""
    return analysis.revisions(_as_analysis(settings)) if settings.reference else {}


def models(settings: Settings) -> list[Model]:
    """The weights that are used, with their licences."""
    return analysis.models(_as_analysis(settings)) if settings.reference else []


def uses_gpu(settings: Settings) -> bool:
    """Whether a GPU here would be used."""
    return bool(settings.reference) and analysis.uses_gpu(_as_analysis(settings))


def load_engine(settings: Settings) -> analysis.Engine | None:
    return analysis.load_engine(_as_analysis(settings)) if settings.reference else None


def run(
    shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: analysis.Engine | None
) -> ShardResult:
    """Measure each reference portrait once; one that cannot be decoded, or whose name is not UTF-8, is rejected.

    Raises UserError if the embeddings do not have the width of the portraits'."""
    files = _pictures(settings.reference)
    named = [name for name in shard.items if is_utf8(str(files[name]))]
    pictures = ({"file_name": name, "identity_id": name, "image": _content(files[name])} for name in named)
    result = analysis.measure(pictures, settings, engine)
    odd = [Reject(name, "name is not UTF-8", "rename it") for name in shard.items if name not in named]
    result = result._replace(rejects=[*result.rejects, *odd])
    if result.rows:
        _check_width(result.rows[0], upstream["analysis"])
    return result


def _as_analysis(settings: Settings) -> analysis.Settings:
    return analysis.Settings(
        **{name: getattr(settings, name) for name in ("faces", "clip", "device", "batch_size", "threads")}
    )


def _pictures(folder: str | None) -> dict[str, Path]:
    """Printable name relative to the folder -> picture file, sorted. Raises UserError if there is none."""
    if folder is None:
        return {}
    top = Path(folder).expanduser()
    found = {
        printable(path.relative_to(top).as_posix()): path
        for path in sorted(top.rglob("*"))
        if path.suffix.lower() in PICTURES and is_content(path.relative_to(top).as_posix()) and path.is_file()
    }
    if not found:
        raise UserError(
            f"domain.reference: {top}: {'no pictures here' if top.is_dir() else 'no such folder'} "
            f"({', '.join(sorted(PICTURES))}); give a folder of portraits, one a person, or leave it out"
        )
    return found


def _content(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST_FILE + 1)


def _check_width(row: dict, portraits: StageView) -> None:
    table = next(iter(portraits.tables(["clip_embedding"])), None)
    widths = {len(value) for value in table.column("clip_embedding").drop_null()[:1].to_pylist()} if table else set()
    if widths and len(row["clip_embedding"]) not in widths:
        raise UserError(
            f"domain.clip gives embeddings of {len(row['clip_embedding'])} values, but analysis.clip gave "
            f"{widths.pop()}: give both the same model"
        )


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """Likeness to the reference, diversity and separation, and what the numbers mean."""
    ours = kept_sample(upstream, settings.seed, settings.per_identity)
    pairs = draw_pairs(ours, settings.max_pairs, settings.seed)
    texts, tables, figures = [], {}, {}
    for part in (_likeness(settings, view, ours), _diversity(ours, pairs), _separation(ours, pairs)):
        texts.append(part.text)
        tables |= part.tables
        figures |= part.figures
    return Summary("\n\n".join(texts), tables, figures)


def _likeness(settings: Settings, view: StageView, ours: Sample) -> Summary:
    if not view.manifest.rows:
        return Summary("Likeness to real portraits was not tested: no reference folder is given (domain.reference).")
    reference = reference_sample(view)
    people, references = min(len(ours.one_each), settings.max_people), len(reference.one_each)
    if not people or not references:
        return Summary("Likeness could not be tested: no face is in the reference folder, or nothing was kept.")
    tests = measures(ours, reference, settings.directions, settings.max_people, settings.seed)
    results = compare(tests, settings.alpha, settings.correction)
    seen = smallest_seen(people, references, len(results), settings.alpha)
    text = (
        f"Likeness: {sum(row['differs'] for row in results)} of {len(results)} measures differ between {people} of our "
        f"people and {references} reference portraits ({view.manifest.rows - references} more have no face, "
        f"{len(view.rejects())} are damaged); Kolmogorov-Smirnov, {settings.correction} at {settings.alpha:g}, median "
        f"statistic {np.median([row['KS'] for row in results]):.2f} of 1. One portrait of each person counts, and "
        "disjoint pairs for similarities, so that values are independent; the reference portraits are taken to show "
        f"different people. With samples of these sizes a statistic below about {seen:.2f} goes unseen: no difference "
        "found does not mean that there is none."
    )
    tables = {
        "Likeness to the reference": by_group(results),
        "What differs most": sorted(results, key=lambda row: -row["KS"])[:SHOWN],
    }
    return Summary(text, tables, {"Likeness to the reference": likeness_figure(tests, results)})


def _diversity(ours: Sample, pairs: Pairs) -> Summary:
    table, distances = diversity(ours, pairs)
    if len(table) < 2:
        return Summary("Diversity could not be measured: it takes two identities with two portraits each.")
    within, between = (row["50 %"] for row in table)
    text = (
        f"Diversity: two portraits of an identity are {within:.3f} apart in CLIP distance (median), two of different "
        f"identities {between:.3f}. The nearer the first is to the second, the less do portraits repeat themselves."
    )
    return Summary(text, {"CLIP distance of two portraits": table}, {"Diversity": diversity_figure(distances)})


def _separation(ours: Sample, pairs: Pairs) -> Summary:
    found = separation(ours, pairs)
    if found is None:
        return Summary("Separation could not be measured: it takes two identities with two portraits each.")
    accepted = ", ".join(f"{true:.2%} at {rate:.1%}" for rate, true in found.accepted_at.items())
    text = (
        f"Separation: a face verifier distinguishes one identity from two with d' {found.d_prime:.2f} (distance of the "
        f"means in standard deviations) and an equal error rate of {found.equal_error_rate:.2%}; of the true pairs it "
        f"accepts {accepted} false accepts. Pairs of an identity depend on each other, so these describe the set, "
        "without an interval."
    )
    row = {
        "genuine pairs": len(found.genuine),
        "impostor pairs": len(found.impostor),
        "identities": len(ours.one_each),
        "d'": round(found.d_prime, 3),
        "equal error rate": round(found.equal_error_rate, 5),
    } | {f"true accepts at {rate:g}": round(true, 4) for rate, true in found.accepted_at.items()}
    title = "Separation of identities"
    return Summary(text, {title: [row]}, {title: separation_figure(found)})
