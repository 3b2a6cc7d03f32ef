"""The commands on a run in an object store, with a Prefect server, as a person has them."""

import json
import re
from pathlib import Path

import fsspec
import pytest
from helpers import run_stages
from object_store import bucket, s3_server  # noqa: F401

from salmu.data.publish.publish import publish
from salmu.data.readers import open_dataset
from salmu.data.store import Shard, ShardResult, Store
from salmu.flows.command_line import cli
from salmu.flows.running.stages import STAGES, models_of
from salmu.flows.settings import load_run

SMALL = [
    "candidates.count=7",
    "anchors.count=6",
    "portraits.per_identity=4",
    "portraits.short_side=96",
    "portraits.identities_per_shard=3",
    "curation.identities=4",
    "curation.retain_identities=1",
    "curation.min_portraits=2",
]


def refused(arguments: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    err = capsys.readouterr().err
    assert caught.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    return err


def test_a_dataset_made_in_an_object_store_is_the_one_made_on_a_disk(
    bucket,  # noqa: F811
    prefect_server,
    tmp_path,
    capsys,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    for name in ("SALMU_RUNNER", "SALMU_WORKERS", "SALMU_ADDRESS"):
        monkeypatch.setenv(name, "")  # what the command puts there goes again
        monkeypatch.delenv(name)
    place = ["--run", "tiny", "--runs", f"{bucket}/runs"]
    changes = [word for assignment in SMALL for word in ("--set", assignment)]
    assert "no run in" in refused(["status", *place], capsys)
    assert "--until dataset" in refused(["run", *place, *changes], capsys)
    cli.main(["run", *place, "--until", "dataset", "--runner", "thread", "--workers", "2", *changes])
    store = Store(f"{bucket}/runs/tiny")
    settings = load_run(store.folder)

    disk = run_stages(Store(tmp_path / "disk"), {name: getattr(settings, name) for name in STAGES})
    plain = settings.model_dump(mode="json", exclude={"drill"})
    digest = publish(disk, disk.folder / "dataset", settings.publish, plain, models_of(settings))
    assert json.loads((store.folder / "dataset" / "provenance.json").read_text()) == json.loads(
        (disk.folder / "dataset" / "provenance.json").read_text()
    )
    assert open_dataset(f"{bucket}/runs/tiny/dataset").digest == digest
    assert (store.folder / "report" / "index.html").stat().st_size > 10_000

    capsys.readouterr()
    cli.main(["status", *place])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:2] for line in lines[: len(STAGES)]] == [[name, "done"] for name in STAGES]
    cli.main(["inspect", "personas", *place, "--rows", "1"])
    assert "identity_id" in capsys.readouterr().out
    left_over = Shard(index=77, items=())
    store.write_shard("captions", STAGES["captions"].SCHEMA, left_over, ShardResult([]), "f", seconds=0.0)
    store.part_path("curation", 0).unlink()
    assert re.search(r": 1 of \d+ files are missing", refused(["verify", *place], capsys))
    cli.main(["plan", *place])
    assert "stale" in capsys.readouterr().out
    cli.main(["clean", *place])
    assert "captions/part-00077.parquet" in capsys.readouterr().out
    stamp = store.part_path("portraits", 0).stat().st_mtime
    cli.main(["run", *place, "--until", "dataset"])  # goes on where it was: one shard is missing
    told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if "shards made" in line}
    assert [name for name, line in told.items() if "; 0 of " not in line] == ["curation"]
    cli.main(["verify", *place])
    assert store.part_path("portraits", 0).stat().st_mtime == stamp
    assert open_dataset(store.folder / "dataset").digest == digest
    assert not Path("runs").exists() and not Path("s3:").exists()  # nothing beside the bucket

    command = refused(["run", *place], capsys).split('python -c "')[1].split('"')[0]
    exec(command, {})
    assert load_run(Path("runs/tiny").resolve()) == settings
    assert open_dataset("runs/tiny/dataset").digest == digest
    assert fsspec.filesystem("s3").exists(f"{bucket}/runs/tiny/dataset/provenance.json")
