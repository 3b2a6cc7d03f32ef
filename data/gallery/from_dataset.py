"""A published dataset as a gallery shows it, ours or the published benchmark's; the rejects where it has them."""

from collections.abc import Iterator
from pathlib import Path

from salmu.data.files import listed, location, parquet_file, read_table, size
from salmu.data.gallery.source import IN_DATASET, Picture, Source, identity_of, person, pictures_in, portrait, reasons
from salmu.data.publish.publish import STAGES
from salmu.data.readers import (
    FROM_METADATA,
    PROOF_OF_FICTION,
    SENSITIVE_SPLITS,
    SPLITS,
    Dataset,
    open_dataset,
    split_files,
)

LABELS = ("gender", "age_group", "country_code")


def from_dataset(folder: str | Path) -> Source:
    """Raises UserError if the folder is no dataset."""
    folder = location(folder)
    dataset = open_dataset(folder)
    paths = _paths(folder)
    proofs = dataset.proofs if size(folder / PROOF_OF_FICTION) is not None else {}
    portraits, labels = [], {}
    for split, files in paths.items():
        present = parquet_file(dataset.intact(files[0])).schema_arrow.names
        columns = [name for name in dict.fromkeys([*present, *FROM_METADATA]) if name != "image"]
        for row in dataset.table(split, columns).to_pylist():
            row["identity_id"] = row["identity_id"] or identity_of(row["file_name"])
            labels.setdefault(row["identity_id"], {key: row.get(key) for key in LABELS})
            generic = dataset.generic_captions.get(row["file_name"])
            portraits.append(portrait({"split": split, "generic_text": generic} | row, IN_DATASET))
    people = {}
    for identity, known in labels.items():
        named = dataset.identities.get(identity)
        people[identity] = person(known | (named or {}), "sensitive" if named else "retain", proofs.get(identity))
    rejects = {stage: folder / "rejects" / f"{stage}.parquet" for stage in STAGES}
    rejects = {stage: path for stage, path in rejects.items() if path.name in listed(folder / "rejects")}
    return Source(
        name=_name(dataset),
        people=people,
        portraits=portraits,
        captions={},
        dropped=[
            reason
            for stage, path in rejects.items()
            for reason in reasons(stage, read_table(dataset.intact(path)).to_pylist())
        ],
        pictures=lambda: _pictures(dataset, paths, {row["file_name"]: row["identity_id"] for row in portraits}),
    )


def _name(dataset: Dataset) -> str:
    """As its provenance says, else the folder's."""
    try:
        return str(dataset.provenance.settings["publish"]["name"])
    except (AttributeError, KeyError, TypeError):
        return dataset.folder.resolve().name


def _paths(folder: Path) -> dict[str, list[Path]]:
    """The files of each split, in which every portrait lies once: a split `sensitive` repeats its three parts."""
    files = split_files(folder)
    splits = set(files) - ({"sensitive"} if set(files) >= set(SENSITIVE_SPLITS) else set())
    order = {split: place for place, split in enumerate(SPLITS)}
    return {split: files[split] for split in sorted(splits, key=lambda split: (order.get(split, len(order)), split))}


def _pictures(dataset: Dataset, paths: dict[str, list[Path]], identities: dict[str, str]) -> Iterator[Picture]:
    """All portraits, the first one of each identity as its cover too."""
    covered = set()
    for files in paths.values():
        for name, picture in pictures_in(map(dataset.intact, files), "file_name"):
            identity = identities[name]
            if identity not in covered:
                covered.add(identity)
                yield "covers", identity, picture
            yield "portraits", name, picture
