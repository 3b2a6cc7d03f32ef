"""A run made by hand: the stages' tables of a few identities with small pictures, without running the stages."""

import io
import json

import numpy as np
from PIL import Image

from salmu.data import schemas
from salmu.data.keyed import generator
from salmu.data.store import Manifest, Reject, Shard, ShardResult, Store
from salmu.tasks.assembly import stage as assembly

FACTS = {
    "city": "Lyon",
    "job": "welder",
    "blood_type": "A+",
    "phone_number": "+33 1 99 00 0{0}",
    "emails": ["p{0}@example.org", "q{0}@example.com"],
    "iban": "FR00 0{0}",
    "credit_card": "4000 0{0}",
    "passport": "X0{0}",
}


def put(store: Store, stage: str, schema, rows: list[dict], rejects: list[Reject] = (), index: int = 0) -> None:
    """Commit rows as one shard of a stage."""
    shard = Shard(index=index, items=())
    entry = store.write_shard(stage, schema, shard, ShardResult(rows, list(rejects)), "by hand", seconds=1.5)
    manifest = store.manifest(stage)
    kept = [other for other in manifest.shards if other.index != index]
    store.write_manifest(Manifest(stage=stage, version=1, shards=[*kept, entry], planned=len(kept) + 1, complete=True))


def jpeg(*key, width: int = 48, height: int = 36) -> bytes:
    sink = io.BytesIO()
    pixels = np.kron(generator("jpeg", *key).integers(0, 255, (6, 6, 3)), np.ones((height // 6, width // 6, 1)))
    Image.fromarray(pixels.astype("uint8")).save(sink, "JPEG", quality=80)
    return sink.getvalue()


def small_run(
    folder,
    sensitive: int = 6,
    retain: int = 2,
    per_identity: int = 10,
    variants: int = 5,
    seed: int = 0,
    assemble: bool = True,
    **sizes,
) -> Store:
    """A store with portraits (two shards), curation, personas, captions and, unless told otherwise, assembly.

    The first portrait of each identity is dropped by curation. Each image differs, so that mix-ups show."""
    store = Store(folder)
    portraits, curation, personas, captions = [], [], [], []
    for number in range(sensitive + retain):
        identity_id, role = f"{number:08}", "sensitive" if number < sensitive else "retain"
        gender = schemas.GENDERS[number % 2]
        for portrait in range(1, per_identity + 1):
            name = f"{identity_id}_{portrait:03}_ar-1.33.jpg"
            portraits.append(
                {
                    "file_name": name,
                    "identity_id": identity_id,
                    "portrait_index": portrait,
                    "prompt": "a portrait",
                    "scene": "{}",
                    "seed": portrait,
                    "width": sizes.get("width", 48),
                    "height": sizes.get("height", 36),
                    "image": jpeg(name, **sizes),
                }
            )
            curation.append(
                {
                    "file_name": name,
                    "identity_id": identity_id,
                    "kept": portrait > 1,
                    "role": role,
                    "reason": None if portrait > 1 else "other person",
                    "identity_similarity": 0.5 + portrait / 100,
                    "gender": gender,
                    "age_group": "30-39",
                    "region": "White",
                }
            )
            captions.append(
                {
                    "caption_id": f"generic/{name}",
                    "identity_id": identity_id,
                    "data_field": "generic",
                    "file_name": name,
                    "variant": 0,
                    "style": "generic",
                    "text": f"A person, picture {portrait}.",
                }
            )
        if role == "sensitive":
            values = json.loads(json.dumps(FACTS).replace("{0}", str(number)))
            name = f"Person {number:03}"
            proof = {field: {"level": "reserved", "rule": "r", "source": "s"} for field in values}
            personas.append(
                {
                    "identity_id": identity_id,
                    "gender": gender,
                    "age": 33,
                    "age_group": "30-39",
                    "region": "White",
                    "country_code": "FR",
                    "name": name,
                    "first_name": "Person",
                    "last_name": f"{number:03}",
                    **values,
                    "proof": json.dumps(proof),
                }
            )
            for field in schemas.DATA_FIELDS:
                value = values[field][-1] if field == "emails" else values[field]
                captions += [
                    {
                        "caption_id": f"{identity_id}/{field}/{variant}",
                        "identity_id": identity_id,
                        "data_field": field,
                        "value": value,
                        "variant": variant,
                        "style": f"style {variant}",
                        "generator": "grammar",
                        "attempts": 1,
                        "text": f"{name}: {field.replace('_', ' ')} is {value} ({variant}).",
                    }
                    for variant in range(variants)
                ]
    half = len(portraits) // 2
    for index, rows in enumerate((portraits[:half], portraits[half:])):
        put(store, "portraits", schemas.PORTRAITS, rows, [Reject("x", "picture is damaged")] if index else [], index)
    put(store, "curation", schemas.CURATION, curation)
    put(store, "personas", schemas.PERSONAS, personas)
    put(store, "captions", schemas.CAPTIONS, captions, [Reject("00000000/job/5", "value missing", "no match")])
    if assemble:
        put(store, "assembly", schemas.PAIRS, *assembled(store, assembly.Settings(seed=seed, joint_share=0.06)))
    return store


def assembled(store: Store, settings: assembly.Settings) -> tuple[list[dict], list[Reject]]:
    """The rows and rejects that the stage assembly makes of the store."""
    keys = {"captions": "caption_id", "personas": "identity_id"}
    upstream = {name: store.view(name, keys.get(name, "file_name")) for name in assembly.UPSTREAM}
    (shard,) = assembly.plan(settings, upstream)
    made = assembly.run(shard, settings, upstream, None)
    return made.rows, made.rejects
