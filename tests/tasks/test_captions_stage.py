from collections import Counter

import pytest
from caption_runs import made, prepared, rows_of, summary_of, views
from mutations import person
from small_run import put

from salmu.data import files, schemas
from salmu.data.errors import UserError
from salmu.data.store import Store, shard_files
from salmu.data.store import store as store_module
from salmu.tasks.captions import stage


def finished(folder, numbers=(0, 1, 2), **settings) -> Store:
    return made(prepared(folder, numbers), stage.Settings(**settings))


def test_each_fact_and_each_kept_portrait_gets_its_captions(tmp_path):
    rows = rows_of(finished(tmp_path))
    stated = [row for row in rows if row["data_field"] != "generic"]
    assert len(stated) == 2 * 8 * 5 and len({row["caption_id"] for row in rows}) == len(rows)
    assert {row["caption_id"] for row in rows if row["data_field"] == "generic"} == {
        f"generic/{person(number)['identity_id']}_{index:03d}_ar-1.00.jpg" for number in range(3) for index in (1, 2)
    }
    assert all(row["value"] in row["text"] and row["file_name"] is None for row in stated)
    assert all(row["generator"] == "grammar" and row["attempts"] == len(row["broken_rules"]) + 1 for row in stated)
    assert f"{person(0)['identity_id']}/city/0" in {row["caption_id"] for row in stated}


def test_captions_do_not_depend_on_shards_or_on_other_identities(tmp_path):
    one, other = rows_of(finished(tmp_path / "one")), rows_of(finished(tmp_path / "other", shard_size=1))
    assert one == other
    alone = rows_of(finished(tmp_path / "few", numbers=(1,)))
    assert alone == [row for row in one if row["identity_id"] == person(1)["identity_id"]]


def test_a_worker_reads_the_labels_once_and_of_the_portraits_those_of_its_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_files, "ROW_GROUP_BYTES", 1)  # a row group a row
    store, settings, read = prepared(tmp_path), stage.Settings(shard_size=1), Counter()
    shards, seen = stage.plan(settings, views(store)), views(store)
    engine, whole, some = stage.load_engine(settings), files.read_table, store_module.read_row_groups

    def counted(table, path):
        read[path.parent.name] += table.num_rows
        return table

    monkeypatch.setattr(files, "read_table", lambda path, *rest: counted(whole(path, *rest), path))
    monkeypatch.setattr(store_module, "read_row_groups", lambda path, *rest: counted(some(path, *rest), path))
    for shard in shards:
        stage.run(shard, settings, seen, engine, store.work("captions", stage.SCHEMA, shard.index, "fingerprint"))
    assert len(shards) == 3 and read == {"curation": 9, "portraits": 9, "personas": 2}


def test_only_the_shard_of_a_changed_identity_becomes_stale(tmp_path):
    settings = stage.Settings(shard_size=1)
    store = prepared(tmp_path)
    before = stage.plan(settings, views(store))
    dropped = before[2].items[0] + "_001"
    changed = [
        {key: row[key] for key in schemas.CURATION.names}
        | {"kept": row["kept"] and not row["file_name"].startswith(dropped)}
        for row in store.view("curation", "file_name").rows()
    ]
    put(store, "curation", schemas.CURATION, changed)
    after = stage.plan(settings, views(store))
    assert [one.inputs == other.inputs for one, other in zip(before, after, strict=True)] == [True, True, False]


def test_summary_counts_styles_and_measures_variety(tmp_path):
    summary = summary_of(finished(tmp_path), stage.Settings())
    assert "80 captions of 2 personas and 6 without personal data" in summary.text
    assert sum(row["captions"] for row in summary.tables["Captions by generator, field and style"]) == 86
    (variety,) = (rows for title, rows in summary.tables.items() if title.startswith("Variety"))
    assert [row["field"] for row in variety] == ["all fields", *sorted([*schemas.DATA_FIELDS, "generic"])]
    assert all(0 < row["self-BLEU-4"] <= 1 for row in variety) and variety[0]["captions"] == 80
    assert len(summary.tables["Sample captions"]) == 20
    figure = summary.figures["Caption length in words"]
    assert figure.startswith(b"\x89PNG") and len(figure) < 100_000


def test_a_scene_that_is_not_json_names_the_portrait(tmp_path):
    store = prepared(tmp_path, (0,))
    rows = [
        {key: row[key] for key in schemas.PORTRAITS.names} | {"scene": "{half"}
        for row in store.view("portraits", "file_name").rows()
    ]
    put(store, "portraits", schemas.PORTRAITS, rows)
    with pytest.raises(UserError, match=r"portraits: \d{8}_001_ar-1.00.jpg: the scene is not JSON"):
        made(store, stage.Settings())


def test_only_the_engine_in_use_and_what_decides_the_words_make_captions_stale():
    def same(one: dict, other: dict) -> bool:
        return stage.Settings(**one).fingerprint() == stage.Settings(**other).fingerprint()

    assert same({}, {"openai": {"model": "other"}, "retries": 1, "vllm": {"model": "other"}})
    asked = {"engine": "openai", "openai": {"model": "m"}}
    patient = {"model": "m", "base_url": "http://elsewhere/v1", "timeout": 5, "tries": 1, "concurrency": 2}
    assert same(asked, {"engine": "openai", "openai": patient, "max_fallback_share": 0.5})
    assert not same(asked, {"engine": "openai", "openai": {"model": "other"}})
    assert not same(asked, {**asked, "temperature": 0.1})
    assert not same(asked, {})


def test_the_language_model_is_named_with_its_licence_and_gpus_are_asked_for_by_vllm_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(stage, "may_use_gpu", lambda device: True)
    assert stage.models(stage.Settings()) == [] and not stage.uses_gpu(stage.Settings())
    served = stage.Settings(engine="openai", openai={"model": "google/gemma-3-12b-it"})
    (named,) = stage.models(served)
    assert named.name == "google/gemma-3-12b-it" and named.licence.startswith("Gemma Terms")
    assert not stage.uses_gpu(served)
    folder = tmp_path / "gemma-3-27b-it"
    folder.mkdir()
    local = stage.Settings(engine="vllm", vllm={"model": str(folder)})
    assert stage.uses_gpu(local) and stage.models(local)[0].licence.startswith("Gemma Terms")
    assert stage.gpus_a_worker(stage.Settings(engine="vllm", vllm={"tensor_parallel_size": 2})) == 2


def test_the_weights_are_part_of_the_revision(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    settings = stage.Settings(engine="vllm", vllm={"model": str(tmp_path)})
    before = stage.revisions(settings)
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert stage.revisions(settings)["vllm"] != before["vllm"] and "paraphrase" in before
