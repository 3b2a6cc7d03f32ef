"""The dataset card, README.md: YAML for the Hugging Face Hub, and a text that states what the manifests say."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import yaml

from data.publish.columns import COLUMNS
from data.readers import SENSITIVE_SPLITS
from data.schemas import DATA_FIELDS

TEMPLATE = Path(__file__).with_name("card.md")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
COUNTRIES_SHOWN = 10


def render(
    settings,
    made_from: dict[str, Any],
    splits: dict[str, list[dict]],
    personas: list[dict],
    dropped: dict[str, list[dict]],
    image_bytes: dict[str, int],
) -> str:
    """The card. `settings`: PublishSettings; `made_from`: the provenance's inputs; `splits`: pairs by split;
    `personas`: rows of that stage; `dropped`: rejects by stage; `image_bytes`: bytes of the images by split."""
    pairs = [row for rows in splits.values() for row in rows]
    with_persona = {row["identity_id"]: row for row in pairs if row["identity_id"]}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.globals["table"] = markdown_table
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        yaml=yaml.safe_dump(front_matter(settings, splits, image_bytes), sort_keys=False, allow_unicode=True),
        settings=settings,
        total=len(pairs),
        identities=len(with_persona),
        scheme_column="split" if settings.scheme == "facts" else "split_published",
        composition=[
            {
                "split": split,
                "pairs": len(rows),
                "images, MB": round(image_bytes[split] / 1e6, 1),
                "identities": len({row["identity_id"] for row in rows} - {None}),
            }
            for split, rows in splits.items()
        ],
        kinds=Counter(row["kind"] for row in pairs),
        fragile=sum(row["fragile"] for row in pairs),
        by_field=[
            {
                "attribute": field,
                "pairs": sum(row["data_field"] == field for row in pairs),
                "of these in forget": sum(row["data_field"] == field for row in splits["forget"]),
            }
            for field in DATA_FIELDS
        ],
        columns=[{"column": f"`{name}`", "type": dtype, "meaning": meaning} for name, dtype, meaning in COLUMNS],
        funnel=[
            {"stage": stage, "rows": counts["rows"], "dropped": len(dropped[stage])}
            for stage, counts in made_from["stages"].items()
        ],
        reasons=[
            {"stage": stage, "reason": reason, "dropped": count}
            for stage, rows in dropped.items()
            for reason, count in Counter(row["reason"] for row in rows).most_common()
        ],
        demographics=_demographics(list(with_persona.values())),
        proofs=_proofs([row for row in personas if row["identity_id"] in with_persona]),
        models=[
            {
                "model": model["name"],
                "for": model["use"],
                "licence": model["licence"],
                "revision": model["revision"][:16],
            }
            for model in made_from["models"]
        ],
        generation={name: json.dumps(values, ensure_ascii=False) for name, values in made_from["settings"].items()},
    )


def front_matter(settings, splits: dict[str, list[dict]], image_bytes: dict[str, int]) -> dict[str, Any]:
    """The YAML of the card. The split `sensitive` names the files of its three parts: no byte lies there twice."""
    sizes = {
        split: {
            "name": split,
            "num_bytes": image_bytes[split] + sum(len(row["text"].encode()) for row in rows),
            "num_examples": len(rows),
        }
        for split, rows in splits.items()
    }
    parts = [sizes[split] for split in SENSITIVE_SPLITS]
    sensitive = {"name": "sensitive"} | {key: sum(part[key] for part in parts) for key in ("num_bytes", "num_examples")}
    total = sum(map(len, splits.values()))
    return {
        "license": settings.licence,
        "pretty_name": settings.name,
        "language": ["en"],
        "size_categories": [next((name for limit, name in SIZES if total < limit), "n>1M")],
        "task_categories": ["zero-shot-image-classification", "image-to-text"],
        "annotations_creators": ["machine-generated"],
        "tags": ["machine-unlearning", "multimodal", "clip", "privacy", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    *({"split": split, "path": f"data/{split}-*.parquet"} for split in splits),
                    {"split": "sensitive", "path": [f"data/{split}-*.parquet" for split in SENSITIVE_SPLITS]},
                ],
            }
        ],
        "dataset_info": {
            "features": [{"name": column.name, "dtype": column.dtype} for column in COLUMNS],
            "splits": [*sizes.values(), sensitive],
        },
    }


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table; integers with thousands separators."""
    if not rows:
        return "(none)"
    cells = [
        [f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|") for value in row.values()]
        for row in rows
    ]
    rules = ["---:" if isinstance(value, int | float) else "---" for value in rows[0].values()]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(rows[0]), rules, *cells])


def _demographics(identities: list[dict]) -> list[dict]:
    rows = []
    for title, column in (("gender", "gender"), ("age group", "age_group"), ("country", "country_code")):
        counts = Counter(row[column] or "unknown" for row in identities)
        shown = counts.most_common(COUNTRIES_SHOWN) if column == "country_code" else sorted(counts.items())
        rows += [{"": title, "group": group, "identities": count} for group, count in shown]
        if len(shown) < len(counts):
            rest = counts.total() - sum(count for _, count in shown)
            rows.append({"": title, "group": f"{len(counts) - len(shown)} others", "identities": rest})
    return rows


def _proofs(personas: list[dict]) -> list[dict]:
    counts = Counter()
    for row in personas:
        counts.update((field, str(proof["level"])) for field, proof in json.loads(row["proof"] or "{}").items())
    return [
        {"attribute": field, "level": level, "identities": count} for (field, level), count in sorted(counts.items())
    ]
