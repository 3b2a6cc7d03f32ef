"""The YAML at the top of the card, which the Hugging Face Hub and `datasets` read.

The configuration `default` is the split scheme that names the files. The other scheme cuts across them, so that each of
its splits is a configuration of its own, `<scheme>_<split>`: the files that hold its rows, and a filter on them."""

from pathlib import Path
from typing import Any

from salmu.data.publish.columns import COLUMNS
from salmu.data.readers import SENSITIVE_SPLITS

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
SCHEMES = {"facts": "split", "published": "split_published"}  # scheme -> column


def other(scheme: str) -> str:
    """The split scheme that does not name the files."""
    return next(name for name in SCHEMES if name != scheme)


def front_matter(
    settings, splits: dict[str, list[dict]], image_bytes: dict[str, int], folder: Path, own_faces: bool
) -> dict[str, Any]:
    """`settings`: PublishSettings; `splits`: pairs by split; `image_bytes`: bytes of each file name's image; `folder`:
    where the Parquet files lie; `own_faces`: no other set of pictures was used."""
    configs, infos = _default(splits, image_bytes, folder)
    for config, info in _of_the_other_scheme(settings.scheme, splits, image_bytes):
        configs.append(config)
        infos.append(info)
    total = sum(map(len, splits.values()))
    return {
        "license": settings.licence,
        **_licence_of_its_own(settings),
        "pretty_name": settings.name,
        "language": ["en"],
        "size_categories": [next((name for limit, name in SIZES if total < limit), "n>1M")],
        "task_categories": ["zero-shot-image-classification", "image-to-text"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "multilinguality": ["monolingual"],
        "source_datasets": ["original" if own_faces else "extended|other"],
        "tags": ["machine-unlearning", "multimodal", "clip", "privacy", "synthetic"],
        **_gating(settings),
        "configs": configs,
        "dataset_info": infos,
    }


def _licence_of_its_own(settings) -> dict[str, Any]:
    if settings.licence != "other":
        return {}
    return {"license_name": settings.licence_name, "license_link": settings.licence_link}


def _gating(settings) -> dict[str, Any]:
    if settings.gating == "none":
        return {}
    prompt = {"extra_gated_prompt": settings.gated_prompt} if settings.gated_prompt else {}
    return prompt | ({"extra_gated_fields": settings.gated_fields} if settings.gated_fields else {})


def _default(splits: dict[str, list[dict]], image_bytes: dict[str, int], folder: Path) -> tuple[list, list]:
    """The split `sensitive` names the files of its three parts: no byte lies there twice."""
    parts = [row for split in SENSITIVE_SPLITS for row in splits[split]]
    sizes = [_size(split, rows, image_bytes) for split, rows in splits.items()]
    info = {
        "config_name": "default",
        "features": [{"name": column.name, "dtype": column.dtype} for column in COLUMNS],
        "splits": [*sizes, _size("sensitive", parts, image_bytes)],
        "download_size": sum(path.stat().st_size for path in (folder / "data").glob("*.parquet")),
        "dataset_size": sum(size["num_bytes"] for size in sizes),
    }
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    sensitive = {"split": "sensitive", "path": [f"data/{split}-*.parquet" for split in SENSITIVE_SPLITS]}
    return [{"config_name": "default", "default": True, "data_files": [*files, sensitive]}], [info]


def _of_the_other_scheme(scheme: str, splits: dict[str, list[dict]], image_bytes: dict[str, int]):
    column = SCHEMES[other(scheme)]
    for split in splits:
        rows = {where: [row for row in rows if row[column] == split] for where, rows in splits.items()}
        holding = [where for where, found in rows.items() if found]
        if not holding:
            continue
        name = f"{other(scheme)}_{split}"
        files = [{"split": split, "path": [f"data/{where}-*.parquet" for where in holding]}]
        config = {"config_name": name, "data_files": files, "filters": [[column, "==", split]]}
        yield config, {"config_name": name, "splits": [_size(split, sum(rows.values(), []), image_bytes)]}


def _size(split: str, rows: list[dict], image_bytes: dict[str, int]) -> dict[str, Any]:
    size = sum(image_bytes[row["file_name"]] + len(row["file_name"]) + _values_size(row) for row in rows)
    return {"name": split, "num_bytes": size, "num_examples": len(rows)}


def _values_size(row: dict) -> int:
    values = (row[column.name] for column in COLUMNS if column.name != "image")
    return sum(len(value.encode()) if isinstance(value, str) else 4 for value in values)
