"""The card of the concepts' dataset, and what its Croissant file says beyond the columns."""

from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import yaml

from salmu.data.procedural.concepts.captions import KINDS
from salmu.data.publish.card import markdown_table
from salmu.data.publish.columns import Column
from salmu.data.publish.settings import PublishSettings
from salmu.data.readers import SPLITS
from salmu.data.text import markdown_cell
from salmu.evaluation.concepts.plan import SAID, UNSEEN, Concept, new_subjects
from salmu.evaluation.concepts.settings import ConceptSettings

TEMPLATE = Path(__file__).with_name("card.md")
ABOUT = (
    "Drawn works of invented artists, each with a look, and portraits of members of invented groups, each with a sign. "
    "Few captions name the artist or the group: to measure whether a CLIP-style model forgets what it was hardly ever "
    "told in words."
)
SPLIT_WORDS = {
    "forget": "to be forgotten: whole concepts, and others with half of their subjects",
    "holdout_association": "the other subjects of the latter",
    "holdout_identity": "concepts that nobody asked to forget",
    "retain_synth": "pictures of the same subjects without a concept",
    UNSEEN: "all concepts with subjects that no training picture of a concept has; for measuring only",
}


def card(
    settings: ConceptSettings,
    publish: PublishSettings,
    concepts: list[Concept],
    rows: list[dict[str, Any]],
    columns: tuple[Column, ...],
    digest: str,
) -> str:
    """README.md. `rows`: of all pairs, without pictures; `digest`: of the content."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.globals["table"] = markdown_table
    environment.filters["words"] = markdown_cell
    name, kinds = f"{publish.name} concepts", Counter((row["split"], row["concept_kind"]) for row in rows)
    said = Counter(row["split"] for row in rows if row["says"] == SAID)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        yaml=yaml.safe_dump(_front_matter(publish, name), sort_keys=False, allow_unicode=True),
        name=name,
        about=ABOUT,
        total=len(rows),
        concepts=concepts,
        digest=digest,
        composition=[
            {"split": split}
            | {f"{kind}s": kinds[split, kind] for kind in KINDS}
            | {"captions that name the concept": said[split], "what it holds": words}
            for split, words in SPLIT_WORDS.items()
        ],
        new="; ".join(f"{kind}: {', '.join(sorted(new_subjects(settings, kind)))}" for kind in KINDS),
        columns=[{"column": f"`{name}`", "type": dtype, "meaning": meaning} for name, dtype, meaning in columns],
    )


def _front_matter(publish: PublishSettings, name: str) -> dict[str, Any]:
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in (*SPLITS, UNSEEN)]
    own = {"license_name": publish.licence_name, "license_link": publish.licence_link}
    return {
        "license": publish.licence,
        **(own if publish.licence == "other" else {}),
        "pretty_name": name,
        "language": ["en"],
        "tags": ["machine-unlearning", "multimodal", "clip", "synthetic"],
        "configs": [{"config_name": "default", "default": True, "data_files": files}],
    }


def responsible(made_from: dict[str, Any]) -> dict[str, Any]:
    """Values of Croissant's responsible-AI vocabulary. `made_from`: the provenance's inputs."""
    return {
        "rai:dataCollection": "Drawn by a program; provenance.json holds its settings.",
        "rai:dataCollectionType": ["Synthetic data generation"],
        "rai:dataCollectionMissingData": "identity_id, data_field, concept and says are null for plain pictures; value "
        "is null where the caption names no concept.",
        "rai:dataPreprocessingProtocol": [f"Rows: {made_from['stages']['concepts']['rows']}."],
        "rai:dataAnnotationProtocol": ["Captions are worded by a small grammar, from what is drawn."],
        "rai:annotationsPerItem": "1",
        "rai:dataLimitations": ["Looks and signs are simpler than real ones; captions follow a few sentences."],
        "rai:dataUseCases": ["Evaluation of machine unlearning."],
        "rai:personalSensitiveInformation": ["None: no artist, group or person exists."],
    }
