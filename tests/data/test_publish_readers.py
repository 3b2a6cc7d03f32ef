"""The tools that others use read the published folder, and count what the manifest counts."""

import argparse
import json
import re
import shlex
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import mlcroissant
import pytest
import webdataset
from PIL import Image
from small_run import jpeg, small_run

from salmu.data.publish.publish import PublishSettings, publish

SPLITS = ("forget", "holdout_association", "holdout_identity", "retain_synth")
SETTINGS = PublishSettings(rows_per_file=40, samples_per_tar=25, clip_benchmark=("forget",), released="2026-11-21")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run"), sensitive=8, retain=3, per_identity=25)


@pytest.fixture(scope="module")
def folder(store):
    publish(store, store.folder / "dataset", SETTINGS, {"seed": 0})
    return store.folder / "dataset"


@pytest.fixture(scope="module")
def counts(store, folder):
    """Pairs by split, as the manifest of the run and the provenance of the folder have them in sum."""
    counts = Counter(row["split"] for row in store.view("assembly", "file_name").rows())
    provenance = json.loads((folder / "provenance.json").read_text())
    assert counts.total() == store.manifest("assembly").rows == provenance["stages"]["assembly"]["rows"]
    return counts


def test_duckdb_counts_the_pairs_and_reads_their_pictures(folder, counts):
    query = "SELECT split, count(*), count(DISTINCT image.bytes) FROM read_parquet(?) GROUP BY split"
    rows = duckdb.execute(query, [f"{folder}/data/*.parquet"]).fetchall()
    assert {split: count for split, count, _ in rows} == counts == {split: count for split, _, count in rows}
    name = duckdb.execute("SELECT min(file_name) FROM read_parquet(?)", [f"{folder}/data/*.parquet"]).fetchone()[0]
    picture = duckdb.execute(
        "SELECT image.bytes, image.path FROM read_parquet(?) WHERE file_name = ?", [f"{folder}/data/*.parquet", name]
    ).fetchone()
    assert picture == (jpeg(name), name)


def test_mlcroissant_loads_the_description_without_complaint_and_the_records(folder, counts):
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    assert dataset.metadata.ctx.is_v1_1()
    records = list(dataset.records("pairs"))
    assert Counter(record["pairs/split"].decode() for record in records) == counts
    (split,) = {record["forget/split"].decode() for record in dataset.records("forget")}
    assert split == "forget" and len(list(dataset.records("forget"))) == counts["forget"]
    assert all(isinstance(record["pairs/image"], Image.Image) for record in records)
    described = dataset.metadata.to_json()
    for field in (
        "dataCollection", "dataCollectionType", "dataPreprocessingProtocol", "dataAnnotationProtocol", "dataBiases",
        "dataLimitations", "dataUseCases", "dataSocialImpact", "personalSensitiveInformation",
        "dataReleaseMaintenancePlan",
    ):  # fmt: skip
        assert described[f"rai:{field}"], field
    assert "gender: female 4, male 4" in str(described["rai:dataBiases"])


@pytest.fixture
def web(folder, tmp_path, monkeypatch):
    """The folder on a web server of this machine."""
    from mlcroissant._src.core import constants

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setattr(constants, "DOWNLOAD_PATH", Path(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_code_of_the_card_runs(folder, counts, web):
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.S)
    found = []
    for block in blocks:
        names = {}
        exec(block.replace("path/of/this/folder", str(folder)).replace("https://example.org/salmu/", web), names)
        found.append(names)
    loaded, local, remote = found
    assert len(loaded["forget"]) == counts["forget"] and isinstance(loaded["forget"][0]["image"], Image.Image)
    assert local["names"] == list(loaded["forget"]["file_name"])
    assert remote["names"] == local["names"][: len(remote["names"])] and len(remote["names"]) == 40


def test_clip_benchmark_takes_the_line_of_the_card(folder):
    """The options are those of `clip_benchmark eval` in clip_benchmark 1.6.2 (cli.py of its wheel, 28 November 2026),
    whose parser took this line as it stands. With its default task, auto, it takes the split for a classification."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", nargs="+")
    parser.add_argument("--dataset_root")
    parser.add_argument("--task", choices=["zeroshot_classification", "zeroshot_retrieval", "linear_probe", "auto"])
    parser.add_argument("--model", nargs="+")
    parser.add_argument("--pretrained", nargs="+")
    (block,) = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), flags=re.S)
    program, command, *words = shlex.split(block.replace("\\\n", " "))
    options = parser.parse_args(words)
    assert (program, command, options.task) == ("clip_benchmark", "eval", "zeroshot_retrieval")
    assert options.dataset == ["wds/forget"] and (folder / options.dataset_root / "test" / "0.tar").is_file()


def test_open_clip_trains_from_the_tars(folder, counts):
    from open_clip_train.data import get_data
    from open_clip_train.params import parse_args

    tars = "::".join(str(path) for path in sorted((folder / "webdataset").glob("forget-*.tar")))
    options = {"train-data": tars, "dataset-type": "webdataset", "batch-size": "8", "workers": "0", "model": "RN50"}
    args = parse_args([text for name, value in options.items() for text in (f"--{name}", value)])
    args.distributed, args.rank, args.world_size, args.seed = False, 0, 1, 0
    preprocess = lambda picture: picture.size[0]  # noqa: E731
    data = get_data(args, (preprocess, preprocess), tokenizer=lambda text: [text])["train"]
    assert data.dataloader.num_samples >= counts["forget"] > data.dataloader.num_samples - 8
    widths, texts = next(iter(data.dataloader))
    assert widths.tolist() == [48] * 8 and all(isinstance(text, str) for text in texts)


def test_clip_benchmark_finds_the_split_where_it_looks(folder, counts):
    """The steps of its reader of local WebDataset folders, for the task zeroshot_retrieval."""
    root = folder / "clip_benchmark" / "forget"
    assert (root / "dataset_type.txt").read_text().strip().lower() == "retrieval"
    last = int((root / "test" / "nshards.txt").read_text()) - 1
    decode = webdataset.autodecode.ImageHandler("pil", extensions=["webp", "png", "jpg", "jpeg"])
    tars = webdataset.WebDataset(str(root / "test" / f"{{0..{last}}}.tar"), shardshuffle=False).decode(decode)
    samples = list(tars.to_tuple(["webp", "png", "jpg", "jpeg"], "txt").map_tuple(lambda image: image, str.splitlines))
    assert len(samples) == counts["forget"]
    assert all(isinstance(image, Image.Image) and len(texts) == 1 for image, texts in samples)
    assert [path.name for path in (folder / "clip_benchmark").iterdir()] == ["forget"]
