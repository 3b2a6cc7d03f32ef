"""The run that scale.py measures: as many shards of portraits as asked for, one person and two portraits each, planned
by the stages themselves and made by an engine that gives rows at once."""

import io
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from salmu.data import schemas
from salmu.data.procedural.person import draw_person
from salmu.data.store import Manifest, Shard, ShardResult, Store
from salmu.flows.running import stages
from salmu.flows.running.stages import STAGES, planned, upstream_views
from salmu.flows.settings import load_profile, save

PAIRED = 0.25  # share of the people who are sensitive
VARIANTS = ("question_answer", "direct", "passive", "possessive", "instruction")


def settings_of(size: int):
    return load_profile(
        "tiny",
        {
            "candidates.count": size,
            "anchors.count": size,
            "portraits.per_identity": 2,
            "portraits.identities_per_shard": 1,
            "curation.identities": max(2, round(size * PAIRED)),
            "curation.retain_identities": size,
            "personas.shard_size": 20,
            "captions.shard_size": 10,
        },
    )


class Engine:
    """Gives the rows of a shard at once: a picture of 1 KB for all."""

    def __init__(self, size: int):
        sink = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 255, (6, 6, 3)).astype("uint8")
        Image.fromarray(noise).resize((48, 48)).save(sink, "JPEG", quality=80)
        self.image, self.paired = sink.getvalue(), max(2, round(size * PAIRED))
        person = draw_person(np.random.default_rng(0), schemas.GENDERS[0], schemas.AGE_GROUPS[0], schemas.REGIONS[0])
        self.about = {"gender": schemas.GENDERS[0], "age_group": schemas.AGE_GROUPS[0], "region": schemas.REGIONS[0]}
        self.seen = self.about | {
            "age": 25,
            "face_embedding": [0.0, 1.0],
            "detection_score": 0.9,
            "source": "procedural",
        }
        self.traits = person.model_dump_json()

    def rows(self, stage: str, shard: Shard, upstream: dict) -> list[dict]:
        return getattr(self, stage, self.assembly)(shard, upstream)

    def candidates(self, shard, upstream):
        return [self.seen | {"identity_id": one, "image": self.image, "traits": self.traits} for one in shard.items]

    def anchors(self, shard, upstream):
        rows = enumerate(upstream["candidates"].rows(["identity_id", "image", "traits", "source"]))
        return [self.seen | row | {"rank": rank} for rank, row in rows]

    def portraits(self, shard, upstream):
        return [
            {
                "file_name": f"{item}_ar-1.00.jpg",
                "identity_id": item[:8],
                "portrait_index": int(item[9:]),
                "scene": "{}",
                "prompt": "a portrait",
                "width": 48,
                "height": 48,
                "image": self.image,
            }
            for item in shard.items
        ]

    def analysis(self, shard, upstream):
        measured = {"faces": 1, "brightness": 0.5, "anchor_similarity": 0.9, "labels": "{}", **self.about}
        return [
            measured | {"file_name": item, "identity_id": item[:8], "face_embedding": [1.0]} for item in shard.items
        ]

    def curation(self, shard, upstream):
        roles = {one: "sensitive" if n < self.paired else "retain" for n, one in enumerate(shard.items)}
        return [
            row
            | self.about
            | {"kept": True, "role": roles[row["identity_id"]], "scores": "{}", "identity_similarity": 0.9}
            for row in upstream["portraits"].rows(["file_name", "identity_id"])
        ]

    def domain(self, shard, upstream):
        return []

    def personas(self, shard, upstream):
        proof = json.dumps({field: {"level": "G3", "rule": "r", "source": "s"} for field in schemas.DATA_FIELDS})
        return [
            self.about
            | {
                field: [f"{field}.{one}@example.org"] if field == "emails" else f"{field} {one}"
                for field in schemas.DATA_FIELDS
            }
            | {"identity_id": one, "name": f"Person {one}", "age": 25, "country_code": "FR", "proof": proof}
            for one in shard.items
        ]

    def captions(self, shard, upstream):
        people = {row["identity_id"] for row in upstream["personas"].rows_of(shard.items, ["identity_id"])}
        rows = [
            {
                "caption_id": f"{one}/{field}/{variant}",
                "identity_id": one,
                "data_field": field,
                "value": f"{field} {one}",
                "variant": variant,
                "style": style,
                "generator": "grammar",
                "attempts": 1,
                "text": f"Person {one}: {field} {one}.",
            }
            for one in people
            for field in schemas.DATA_FIELDS
            for variant, style in enumerate(VARIANTS)
        ]
        for one in shard.items:
            for number in (1, 2):
                name = f"{one}_{number:03}_ar-1.00.jpg"
                about = {
                    "caption_id": f"generic/{name}",
                    "identity_id": one,
                    "file_name": name,
                    "data_field": "generic",
                }
                rows.append(about | {"variant": 0, "style": "generic", "text": "A person.", "generator": "grammar"})
        return rows

    def assembly(self, shard, upstream):
        return STAGES["assembly"].run(shard, self.settings.assembly, upstream, None).rows


def make(size: int, folder: Path) -> dict[str, float]:
    """Make the run. CPU seconds of planning and of writing, all stages together."""
    store, settings, engine = Store(folder), settings_of(size), Engine(size)
    engine.settings = settings
    folder.mkdir(parents=True)
    save(settings, folder)
    told = Counter()
    for name, module in STAGES.items():
        start = time.process_time()
        plan = planned(store, name, getattr(settings, name))
        told["planning"] += time.process_time() - start
        manifest = Manifest(
            stage=name,
            version=module.VERSION,
            settings=getattr(settings, name).model_dump(mode="json"),
            planned=len(plan),
            upstream={other: store.manifest(other).digest for other in module.UPSTREAM},
            complete=True,
        )
        if hasattr(stages, "plan_digest"):
            manifest.plan = stages.plan_digest(store, name, getattr(settings, name))
        views = upstream_views(store, name)
        for shard, expected in plan:
            result = ShardResult(engine.rows(name, shard, views))
            start = time.process_time()
            manifest.shards.append(store.write_shard(name, module.SCHEMA, shard, result, expected, 1.0))
            told["writing"] += time.process_time() - start
        store.write_manifest(manifest)
    return {f"make: {name}": round(seconds, 3) for name, seconds in told.items()}
