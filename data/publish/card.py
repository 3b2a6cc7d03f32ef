"""The dataset card, README.md: YAML for the Hugging Face Hub, and a text that states what the manifests say."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import jinja2
import yaml

from salmu.data.licences import TABLES, pictures
from salmu.data.publish.columns import COLUMNS
from salmu.data.publish.fragile import sentence
from salmu.data.publish.front_matter import SCHEMES, front_matter, other
from salmu.data.schemas import DATA_FIELDS
from salmu.data.text import latex, markdown_cell

TEMPLATE = Path(__file__).with_name("card.md")


def render(
    settings,
    made_from: dict[str, Any],
    splits: dict[str, list[dict]],
    personas: list[dict],
    dropped: dict[str, list[dict]],
    image_bytes: dict[str, int],
    folder: Path,
    digest: str,
) -> str:
    """The card of a folder whose Parquet files and tars are written. `settings`: PublishSettings; `made_from`: the
    provenance's inputs; `splits`: pairs by split; `personas`: rows of that stage; `dropped`: rejects by stage;
    `image_bytes`: bytes of each file name's image; `digest`: of the content."""
    pairs = [row for rows in splits.values() for row in rows]
    personas = [row for row in personas if row["identity_id"] in {row["identity_id"] for row in pairs}]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.globals["table"] = markdown_table
    environment.filters |= {"words": markdown_cell, "bibtex": latex}
    generation = yaml.safe_dump(made_from["settings"], sort_keys=False, allow_unicode=True, width=120)
    own_faces = not made_from["settings"].get("candidates", {}).get("images")
    top = front_matter(settings, splits, image_bytes, folder, own_faces)
    tars = sorted((folder / "webdataset").glob("forget-*.tar"))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        yaml=yaml.safe_dump(top, sort_keys=False, allow_unicode=True),
        settings=settings,
        digest=digest,
        total=len(pairs),
        identities=len(personas),
        scheme_column=SCHEMES[settings.scheme],
        other_scheme=other(settings.scheme),
        first_file=min(path.stem for path in (folder / "data").glob("*.parquet")),
        last_tar=tars[-1].stem[-6:] if tars else "000000",
        composition=[
            {
                "split": split,
                "pairs": len(rows),
                "images, MB": round(sum(image_bytes[row["file_name"]] for row in rows) / 1e6, 1),
                "identities": len({row["identity_id"] for row in rows} - {None}),
            }
            for split, rows in splits.items()
        ],
        kinds=Counter(row["kind"] for row in pairs),
        fragile=sentence(0),
        by_field=[
            {"attribute": field, "pairs": sum(row["data_field"] == field for row in pairs)}
            | {f"in {split}": sum(row["data_field"] == field for row in splits[split]) for split in list(splits)[:3]}
            for field in DATA_FIELDS
        ],
        columns=[{"column": f"`{name}`", "type": dtype, "meaning": meaning} for name, dtype, meaning in COLUMNS],
        funnel=_funnel(made_from["stages"], dropped),
        reasons=[
            {"stage": stage, "reason": reason, "dropped": count}
            for stage, rows in dropped.items()
            for reason, count in Counter(row["reason"] for row in rows).most_common()
        ],
        demographics=_demographics(personas, splits),
        countries=", ".join(f"{name} {count}" for name, count in counted(row["country_code"] for row in personas)),
        proofs=_proofs(personas),
        chain=_chain(made_from),
        generation=generation,
        fence="`" * max([3, *(len(run) + 1 for run in re.findall("`+", generation))]),
        packages=", ".join(f"{name} {version}" for name, version in made_from["packages"].items() if version),
        licence=_licence(settings),
    )


def _licence(settings) -> str:
    if not settings.licence_name:
        return markdown_cell(settings.licence)
    link = settings.licence_link.replace("(", "%28").replace(")", "%29")  # a parenthesis ends the link
    return f"[{markdown_cell(settings.licence_name)}]({link})"


def markdown_table(rows: list[dict[str, Any]], markdown: tuple[str, ...] = ()) -> str:
    """Rows of equal keys as a Markdown table; integers with thousands separators. `markdown`: keys whose values are
    Markdown already; others are shown as they are."""
    if not rows:
        return "(none)"
    cells = [
        [f"{value:,}" if isinstance(value, int) else _cell(str(value), key in markdown) for key, value in row.items()]
        for row in rows
    ]
    rules = ["---:" if isinstance(value, int | float) else "---" for value in rows[0].values()]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(rows[0]), rules, *cells])


def _cell(text: str, is_markdown: bool) -> str:
    return text.replace("|", "\\|") if is_markdown else markdown_cell(text)


def _funnel(stages: dict[str, dict], dropped: dict[str, list[dict]]) -> list[dict]:
    """Curation keeps a row for each portrait that it drops, other stages do not."""
    return [
        {
            "stage": stage,
            "dropped": len(dropped[stage]),
            "left": counts["rows"] - (len(dropped[stage]) - counts["rejects"]),
        }
        for stage, counts in stages.items()
    ]


def counted(values) -> list[tuple[str, int]]:
    """Values with how often each is there, the most frequent first, then by name."""
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0] or ""))


def _demographics(personas: list[dict], splits: dict[str, list[dict]]) -> list[dict]:
    held = {split: {row["identity_id"] for row in splits[split]} for split in ("forget", "holdout_association")}
    rows = []
    for title, column in (("gender", "gender"), ("age group", "age_group"), ("region", "region")):
        groups = defaultdict(list)
        for persona in personas:
            groups[persona[column] or "unknown"].append(persona["identity_id"])
        for group, members in sorted(groups.items()):
            partly = sum(member in held["holdout_association"] for member in members)
            wholly = sum(member in held["forget"] for member in members) - partly
            rest = len(members) - partly - wholly
            rows.append(
                {"": title, "group": group, "identities": len(members)}
                | {"wholly in forget": wholly, "partly": partly, "held out": rest}
            )
    return rows


def demographics_text(personas: list[dict]) -> str:
    """The groups in one sentence."""
    groups = (("gender", "gender"), ("age group", "age_group"), ("region", "region"), ("country", "country_code"))
    parts = (
        f"{title}: "
        + ", ".join(f"{name or 'unknown'} {count}" for name, count in counted(row[column] for row in personas))
        for title, column in groups
    )
    return f"{len(personas)} identities; " + "; ".join(parts) + "."


def _proofs(personas: list[dict]) -> list[dict]:
    """How many identities, of how many countries, have a value of each level."""
    countries = defaultdict(list)
    for row in personas:
        for field, proof in json.loads(row["proof"] or "{}").items():
            countries[field, str(proof["level"])].append(row["country_code"])
    return [
        {"attribute": field, "level": level, "identities": len(found), "countries": len(set(found))}
        for (field, level), found in sorted(countries.items())
    ]


def _chain(made_from: dict[str, Any]) -> list[dict]:
    """What the dataset was made from, with the licence of each part."""
    source = made_from["settings"].get("candidates", {})
    faces = [
        {"part": name, "for": "the faces that anchors are chosen from", "licence": pictures(name), "revision": ""}
        for name in source.get("images", ())
    ] or [
        {
            "part": "salmu",
            "for": "draws the faces; every stage",
            "licence": "Apache-2.0",
            "revision": made_from["packages"]["salmu"] or "",
        }
    ]
    return [
        *faces,
        *({"part": name, "for": use, "licence": licence, "revision": ""} for name, use, licence in TABLES),
        *(
            {
                "part": model["name"],
                "for": model["use"],
                "licence": model["licence"],
                "revision": model["revision"][:16],
            }
            for model in made_from["models"]
        ),
    ]
