"""Stores with what the stage captions reads, made by hand; as a script, one shard of the stage, to be killed.

python tests/caption_runs.py FOLDER SETTINGS_AS_JSON
"""

import json
import sys
from pathlib import Path

import pytest
from mutations import person
from small_run import put

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.store import Manifest, StageView, Store
from salmu.tasks.captions import stage

SCENE = {"framing": "close-up", "background": "park", "clothing": "blazer", "clothing_colour": "olive"}
KEYS = {"portraits": "file_name", "curation": "file_name", "personas": "identity_id"}


def prepared(folder, numbers=(0, 1, 2), retain=(2,)) -> Store:
    """Identities with two kept portraits and a dropped one each; those of `retain` have no persona."""
    store, portraits, curation, personas = Store(folder), [], [], []
    for number in numbers:
        one = person(number)
        for index in (1, 2, 3):
            name = f"{one['identity_id']}_{index:03d}_ar-1.00.jpg"
            about = {"file_name": name, "identity_id": one["identity_id"]}
            portraits.append(about | {"portrait_index": index, "scene": json.dumps(SCENE)})
            curation.append(about | {"kept": index < 3, "gender": one["gender"], "age_group": "30-39"})
        if number not in retain:
            personas.append(one)
    put(store, "portraits", schemas.PORTRAITS, portraits)
    put(store, "curation", schemas.CURATION, curation)
    put(store, "personas", schemas.PERSONAS, personas)
    return store


def asking(url: str, **settings) -> stage.Settings:
    """The engine openai, asking the server at this address."""
    openai = {"base_url": url, "model": "some-model", "timeout": 10} | settings.pop("openai", {})
    return stage.Settings(engine="openai", openai=openai, **settings)


def stated(rows: list[dict]) -> list[dict]:
    """Without the generic captions."""
    return [row for row in rows if row["data_field"] in schemas.DATA_FIELDS]


def made(store: Store, settings: stage.Settings) -> Store:
    """The store with the stage captions finished, made in this process."""
    shards = stage.plan(settings, views(store))
    manifest = Manifest(stage="captions", version=stage.VERSION, planned=len(shards), complete=True)
    engine = stage.load_engine(settings)
    for shard in shards:
        work = store.work("captions", stage.SCHEMA, shard.index, "fingerprint")
        result = stage.run(shard, settings, views(store), engine, work)
        manifest.shards.append(store.write_shard("captions", stage.SCHEMA, shard, result, "fingerprint", seconds=0.0))
    store.write_manifest(manifest)
    return store


def views(store: Store) -> dict[str, StageView]:
    return {name: store.view(name, key) for name, key in KEYS.items()}


def rows_of(store: Store) -> list[dict]:
    return list(store.view("captions", "caption_id").rows())


def summary_of(store: Store, settings: stage.Settings):
    return stage.summarise(settings, store.view("captions", "caption_id"), views(store))


def shard_of(store: Store, settings: stage.Settings, *progress) -> list[dict]:
    """The rows of the only shard, as a worker makes them; what is unfinished stays in the store's work folder."""
    (shard,) = stage.plan(settings, views(store))
    return stage.run(shard, settings, views(store), stage.load_engine(settings), work_of(store), *progress).rows


def work_of(store: Store):
    return store.work("captions", schemas.CAPTIONS, 0, "fingerprint")


def refusal(store: Store, settings: stage.Settings) -> str:
    """The one line with which the only shard is refused."""
    with pytest.raises(UserError) as error:
        shard_of(store, settings)
    assert "\n" not in str(error.value)
    return str(error.value)


if __name__ == "__main__":
    shard_of(Store(Path(sys.argv[1])), stage.Settings(**json.loads(sys.argv[2])))
