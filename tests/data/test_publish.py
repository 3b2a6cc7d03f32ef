import io
import json
import os
import shutil
import tarfile
from collections import Counter

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from small_run import FACTS, assembled, jpeg, put, small_run

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.licences import Model
from salmu.data.publish import parquet
from salmu.data.publish import publish as publish_module
from salmu.data.publish.check import check_files
from salmu.data.publish.fragile import write_fragile_set
from salmu.data.publish.publish import PublishSettings, publish
from salmu.data.readers import open_dataset
from salmu.data.settings import validate
from salmu.tasks.assembly import stage as assembly

SPLITS = ("forget", "holdout_association", "holdout_identity", "retain_synth")
SETTINGS = PublishSettings(rows_per_file=40, samples_per_tar=25)
RUN = {"seed": 0, "anchors": {"count": 11}, "pair": {"epochs": 3}}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run"), sensitive=8, retain=3, per_identity=25)


@pytest.fixture(scope="module")
def folder(store):
    publish(store, store.folder / "dataset", SETTINGS, RUN)
    return store.folder / "dataset"


@pytest.fixture(scope="module")
def pairs(store):
    return {row["file_name"]: row for row in store.view("assembly", "file_name").rows()}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_load_dataset_gives_every_pair_with_its_own_picture(folder, pairs, tmp_path):
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items() if split != "sensitive"} == Counter(
        row["split"] for row in pairs.values()
    )
    assert loaded["sensitive"]["file_name"] == [name for split in SPLITS[:3] for name in loaded[split]["file_name"]]
    assert loaded["forget"].column_names[:4] == ["image", "text", "identity_id", "file_name"]
    seen = set()
    for split in SPLITS:
        for row in loaded[split].cast_column("image", datasets.Image(decode=False)):
            pair = pairs[row["file_name"]]
            assert row["image"]["bytes"] == jpeg(row["file_name"])
            assert {name: row[name] for name in row if name in pair} == {
                name: pair[name] for name in row if name in pair
            }
            seen.add(row["file_name"])
    assert seen == set(pairs)
    picture = loaded["forget"][0]["image"]
    assert isinstance(picture, Image.Image) and picture.size == (48, 36)


@pytest.mark.parametrize("split", SPLITS)
def test_splits_of_the_other_scheme_are_configurations(split, folder, pairs, tmp_path):
    loaded = datasets.load_dataset(str(folder), f"published_{split}", split=split, cache_dir=str(tmp_path))
    expected = {name for name, row in pairs.items() if row["split_published"] == split}
    assert set(loaded["file_name"]) == expected and len(loaded) == len(expected)


def test_a_parquet_file_alone_gives_pictures(folder, tmp_path):
    file = str(folder / "data" / "forget-00000-of-00003.parquet")
    rows = datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path))
    assert rows[0]["image"].size == (48, 36)


def test_webdataset_holds_the_same_pairs(folder, pairs):
    sizes = json.loads((folder / "webdataset" / "sizes.json").read_text())
    seen = {}
    for name, size in sizes.items():
        samples = list(webdataset.WebDataset(str(folder / "webdataset" / name), shardshuffle=False).decode("pil"))
        assert len(samples) == size <= 25
        for sample in samples:
            assert {name for name in sample if not name.startswith("__")} == {"jpg", "txt", "json"}
            assert "." not in sample["__key__"]
            assert sample["jpg"].size == (48, 36)
            pair = pairs[sample["json"]["file_name"]]
            assert sample["txt"] == pair["text"] and sample["json"]["identity_id"] == (pair["identity_id"] or "")
            assert name.startswith(pair["split"] + "-")
            seen[sample["__key__"]] = sample["json"]
    assert len(seen) == len(pairs)
    assert len({tuple((key, type(value)) for key, value in fields.items()) for fields in seen.values()}) == 1
    with tarfile.open(folder / "webdataset" / "forget-000000.tar") as tar:
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in tar} == {(0, 0, 0, "")}


def test_hugging_face_reads_the_tars_too(folder, pairs, tmp_path):
    tars = {split: str(folder / "webdataset" / f"{split}-*.tar") for split in SPLITS}
    loaded = datasets.load_dataset("webdataset", data_files=tars, cache_dir=str(tmp_path))
    assert {row["file_name"] for split in SPLITS for row in loaded[split]["json"]} == set(pairs)


def test_json_files_in_the_published_form(folder, pairs):
    sensitive = {name: row for name, row in pairs.items() if row["kind"] == "sensitive"}
    documents = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    identities = documents["identities_metadata"]
    assert list(identities) == [f"{number:08}" for number in range(8)]
    assert list(identities["00000003"]) == ["name", "country_code", *schemas.DATA_FIELDS]
    assert identities["00000003"]["name"] == "Person 003" and identities["00000003"]["job"] == FACTS["job"]
    assert identities["00000003"]["emails"] == ["p3@example.org", "q3@example.com"]
    assert documents["sensitive_set_captions_metadata"] == {
        name: {"data_field": row["data_field"], "caption": row["text"]} for name, row in sensitive.items()
    }
    assert documents["sensitive_set_generic_captions"] == {name: row["generic_text"] for name, row in sensitive.items()}
    assert documents["fragile_set_ids"] == []  # before training


def test_equal_bytes_again_and_a_folder_that_is_current_is_kept(folder, store, tmp_path):
    threads = pa.cpu_count()
    pa.set_cpu_count(threads + 3)
    try:
        digest = publish(store, tmp_path / "again", SETTINGS, RUN)
    finally:
        pa.set_cpu_count(threads)
    assert contents(tmp_path / "again") == contents(folder)
    before = os.stat(tmp_path / "again" / "README.md").st_ino
    assert publish(store, tmp_path / "again", SETTINGS, RUN | {"pair": {"epochs": 4}}) == digest
    assert os.stat(tmp_path / "again" / "README.md").st_ino == before
    (tmp_path / "again" / "data" / "forget-00000-of-00003.parquet").write_bytes(b"")
    assert publish(store, tmp_path / "again", SETTINGS, RUN) == digest
    assert contents(tmp_path / "again") == contents(folder)


def test_the_fragile_set_is_named_later_and_nothing_else_changes(folder, store, pairs, tmp_path):
    chosen = [name for name, row in pairs.items() if row["kind"] == "retain_disjoint"][3:8]
    copy, asked = shutil.copytree(folder, tmp_path / "dataset"), []

    def fragile(digest):
        asked.append(digest)
        return chosen[::-1]

    data, digest = {path: path.stat().st_ino for path in copy.glob("data/*")}, open_dataset(folder).digest
    assert publish(store, copy, SETTINGS, RUN, fragile=fragile) == open_dataset(copy).digest == digest
    assert asked == [digest] and {path: path.stat().st_ino for path in data} == data
    assert json.loads((copy / "fragile_set_ids.json").read_text()) == chosen and check_files(copy)
    assert "The fragile set has 5 of the latter" in (copy / "README.md").read_text()
    named, bare = contents(copy), contents(folder)
    changed = {"fragile_set_ids.json", "README.md", "croissant.json", "provenance.json"}
    assert {name for name in named if named[name] != bare[name]} == changed
    entries = {entry["@id"]: entry for entry in json.loads(named["croissant.json"])["distribution"]}
    assert entries["fragile_set_ids.json"]["sha256"] == file_sha256(copy / "fragile_set_ids.json")

    states = {path: path.stat().st_ino for path in copy.rglob("*")}
    write_fragile_set(copy, chosen)
    assert {path: path.stat().st_ino for path in copy.rglob("*")} == states  # nothing is written
    publish(store, tmp_path / "anew", SETTINGS, RUN, fragile=fragile)
    assert contents(tmp_path / "anew") == named
    (copy / "README.md").write_bytes(bare["README.md"])  # as a crash leaves it
    with pytest.raises(UserError, match="README.md: damaged"):
        write_fragile_set(copy, [])
    publish(store, copy, SETTINGS, RUN, fragile=fragile)
    assert contents(copy) == named
    write_fragile_set(copy, [])
    assert contents(copy) == bare


def test_digest_does_not_depend_on_the_order_in_which_shards_were_made(folder, store, tmp_path):
    manifest = store.manifest("portraits")
    assert len(manifest.shards) == 2
    other = small_run(tmp_path, sensitive=8, retain=3, per_identity=25)
    for index in (1, 0):
        rows = pq.read_table(store.part_path("portraits", index)).drop_columns(["row_digest"]).to_pylist()
        put(other, "portraits", schemas.PORTRAITS, rows, store.view("portraits", "").rejects() if index else [], index)
    assert publish(other, tmp_path / "dataset", SETTINGS, RUN) == open_dataset(folder).digest


def test_provenance_names_every_file_with_its_digest_and_nothing_of_the_machine(folder):
    provenance = json.loads((folder / "provenance.json").read_text())
    files = {name: file["sha256"] for name, file in provenance["files"].items()}
    assert files == {name: file_sha256(folder / name) for name in contents(folder) if name != "provenance.json"}
    assert provenance["settings"] == {"seed": 0, "anchors": {"count": 11}, "publish": SETTINGS.model_dump(mode="json")}
    assert provenance["stages"]["assembly"]["rows"] == 8 * 24 + 3 * 24
    text = (folder / "provenance.json").read_text()
    assert str(folder) not in text and os.uname().nodename not in text


def test_card_states_what_is_in_the_folder(folder, pairs):
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    counts = Counter(row["split"] for row in pairs.values())
    assert {split["name"]: split["num_examples"] for split in front["dataset_info"][0]["splits"]} == counts | {
        "sensitive": sum(counts[split] for split in SPLITS[:3])
    }
    assert front["license"] == "cc-by-4.0" and front["size_categories"] == ["n<1K"]
    assert "license_name" not in front and not any(key.startswith("extra_gated") for key in front)
    assert f"| forget | {counts['forget']} |" in body and "| curation | other person | 11 |" in body
    assert "| curation | 11 | 264 |" in body and "| region | White | 8 |" in body and "persona: FR 8." in body
    assert (
        "| phone_number | reserved | 8 | 1 |" in body
        and "| gender | female | 4 |" in body
        and "{{ " not in body
        and "{%" not in body
    )
    assert open_dataset(folder).digest in body


def test_card_of_a_gated_dataset_under_a_licence_of_its_own_made_from_others_faces(store, tmp_path):
    licence = {"licence": "other", "licence_name": "house-licence", "licence_link": "https://example.org/licence"}
    gate = {"gating": "auto", "gated_prompt": "Use it to measure.", "gated_fields": {"I agree": "checkbox"}}
    run = RUN | {"candidates": {"images": ["SFHQ_part4", "mine.zip"]}}
    models = [Model("buffalo_l", "abc", "non-commercial research only", "faces")]
    publish(store, tmp_path / "dataset", PublishSettings(**licence, **gate), run, models)
    _, front, body = (tmp_path / "dataset" / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert (front["license"], front["license_name"], front["license_link"]) == tuple(licence.values())
    assert front["extra_gated_prompt"] == gate["gated_prompt"] and front["extra_gated_fields"] == gate["gated_fields"]
    assert front["source_datasets"] == ["extended|other"] and "[house-licence](https://example.org/licence)" in body
    assert "| SFHQ_part4 | the faces that anchors are chosen from | MIT |" in body
    assert "| mine.zip | the faces that anchors are chosen from | unknown" in body
    assert "| buffalo_l | faces | non-commercial research only | abc |" in body
    with pytest.raises(UserError, match="publish: .*licence other goes with licence_name and licence_link"):
        validate(PublishSettings, {"licence": "other"}, "publish")
    with pytest.raises(UserError, match="need gating auto or manual"):
        validate(PublishSettings, {"gated_prompt": "x"}, "publish")


def test_names_on_the_card_are_shown_and_not_obeyed(store, tmp_path):
    odd = "A|B <script>x</script> `y` # *z*"
    licence = {"licence": "other", "licence_name": "a](http://b) <i>", "licence_link": "https://example.org/a(b)"}
    settings = PublishSettings(name=odd, creator="a $b$ <b>c</b>}\n# Head\x1b[31m", **licence)
    run = {"seed": 0, "captions": {"prompts": "x\n\n```\n# Head"}, "candidates": {"images": ["<b>x</b>`"]}}
    publish(store, tmp_path / "dataset", settings, run)
    _, front, body = (tmp_path / "dataset" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["pretty_name"] == odd and "\x1b" not in body
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(body)
    words = [token for token in tokens if token.type == "inline"]
    title = "".join(token.content for token in words[0].children if token.type in ("text", "text_special"))
    assert title == odd and "Head" not in [token.content for token in words]
    assert not any(token.type == "html_inline" for token in sum((token.children for token in words), []))
    links = [token.attrs["href"] for token in sum((token.children for token in words), []) if token.type == "link_open"]
    assert links == ["https://example.org/a%28b%29"]
    bibtex = next(token.content for token in tokens if token.info == "bibtex")
    assert r"author = {{a \$b\$ \textless{}b\textgreater{}c" in bibtex and bibtex.count("\n") == 6


@pytest.mark.parametrize("key", ["url", "licence_link"])
@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "https://", "https://a/b c", "https://a/{", "file:///x", "a"]
)
def test_only_web_pages_are_linked(key, address):
    with pytest.raises(UserError, match=f"publish: {key}: must be the address of a web page"):
        validate(PublishSettings, {key: address}, "publish")


def test_croissant_names_the_files_with_their_digests(folder):
    document = json.loads((folder / "croissant.json").read_text())
    files = {entry["contentUrl"]: entry["sha256"] for entry in document["distribution"] if "sha256" in entry}
    describing = ("README.md", "croissant.json", "provenance.json")
    assert files == {name: file_sha256(folder / name) for name in contents(folder) if name not in describing}
    columns = [field["source"]["extract"]["column"] for field in document["recordSet"][0]["field"]]
    assert columns == open_dataset(folder).table("forget").column_names


def test_rejects_are_kept_with_their_reasons(folder):
    rows = {path.stem: pq.read_table(path).to_pylist() for path in (folder / "rejects").iterdir()}
    assert rows["captions"] == [{"item": "00000000/job/5", "reason": "value missing", "detail": "no match"}]
    assert Counter(row["reason"] for row in rows["curation"]) == {"other person": 11}
    assert rows["curation"][0]["item"] == "00000000_001_ar-1.33.jpg"


def test_pair_scheme_names_the_files_when_asked(store, pairs, tmp_path):
    publish(store, tmp_path / "dataset", PublishSettings(scheme="published"), RUN)
    dataset = open_dataset(tmp_path / "dataset")
    for split in SPLITS:
        expected = [name for name, row in pairs.items() if row["split_published"] == split]
        assert dataset.table(split, ["file_name"]).column("file_name").to_pylist() == expected


def test_large_images_are_made_smaller_and_say_so_or_stay_as_they_are(tmp_path):
    store = small_run(tmp_path, sensitive=4, retain=1, per_identity=9, width=96, height=48)
    for longest_side, size in ((40, (40, 20)), (None, (96, 48))):
        publish(store, tmp_path / "dataset", PublishSettings(longest_side=longest_side), RUN)
        for row in open_dataset(tmp_path / "dataset").table("sensitive").to_pylist():
            image = row["image"]["bytes"]
            assert Image.open(io.BytesIO(image)).size == (row["width"], row["height"]) == size
            assert (image == jpeg(row["file_name"], width=96, height=48)) == (longest_side is None)
        words = "at most 40 pixels" if longest_side else "native size"
        assert words in (tmp_path / "dataset" / "README.md").read_text()


def test_files_and_row_groups_end_before_they_are_too_large(tmp_path, pairs):
    samples = [row | {"image": jpeg(name)} for name, row in pairs.items()]
    image = len(samples[0]["image"])
    with parquet.FileWriter(tmp_path, "forget", 100, file_bytes=50 * image, group_bytes=20 * image) as files:
        for sample in samples:
            files.write(sample)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [f"forget-{n:05}-of-{len(paths):05}.parquet" for n in range(len(paths))]
    assert [row["file_name"] for path in paths for row in pq.read_table(path).to_pylist()] == list(pairs)
    for path in paths:
        file = pq.ParquetFile(path)
        groups = [file.read_row_group(index, ["image"]).to_pylist() for index in range(file.num_row_groups)]
        sizes = [sum(len(row["image"]["bytes"]) for row in rows) for rows in groups]
        assert sum(sizes) <= 50 * image and max(sizes) <= 20 * image
        columns = [file.metadata.row_group(0).column(index) for index in range(file.metadata.num_columns)]
        assert all(column.has_offset_index for column in columns)
        assert all(column.has_column_index for column in columns if not column.path_in_schema.startswith("image."))
    with parquet.FileWriter(tmp_path / "..", "empty", 5):
        pass
    assert pq.read_table(tmp_path / ".." / "empty-00000-of-00001.parquet").num_rows == 0


def test_a_failure_leaves_the_folder_that_was_there(store, tmp_path, monkeypatch):
    publish(store, tmp_path / "dataset", SETTINGS, RUN)
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish_module.parquet.FileWriter, "write", full)
    with pytest.raises(UserError, match="dataset: cannot be written: No space left on device"):
        publish(store, tmp_path / "dataset", PublishSettings(rows_per_file=7), RUN)
    assert contents(tmp_path) == before


def test_refuses_what_is_not_a_dataset_and_what_is_not_finished(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="mine: not empty and not a published dataset"):
        publish(store, tmp_path / "mine", SETTINGS, RUN)
    assert (tmp_path / "mine" / "thesis.tex").exists()
    unfinished = small_run(tmp_path / "run", assemble=False)
    with pytest.raises(UserError, match="assembly is not finished"):
        publish(unfinished, tmp_path / "dataset", SETTINGS, RUN)
    assert not (tmp_path / "dataset").exists()


def test_outsiders_are_published_as_a_split_that_is_no_part_of_sensitive(tmp_path):
    store = small_run(tmp_path / "run", assemble=False)
    put(store, "assembly", schemas.PAIRS, *assembled(store, assembly.Settings(outsider_share=0.34)))
    publish(store, tmp_path / "dataset", SETTINGS, RUN)
    loaded = datasets.load_dataset(str(tmp_path / "dataset"), cache_dir=str(tmp_path / "cache"))
    away, dataset = set(loaded["outsiders"]["identity_id"]), open_dataset(tmp_path / "dataset")
    assert len(away) == 2 and not away & set(loaded["sensitive"]["identity_id"])
    assert dataset.has_outsiders and set(dataset.table("outsiders").column("identity_id").to_pylist()) == away
    assert away <= dataset.identities.keys()
    assert not {row["file_name"] for row in loaded["outsiders"]} & dataset.captions_metadata.keys()
    assert "`outsiders` are people" in (tmp_path / "dataset" / "README.md").read_text()
    assert '"outsiders"' in (tmp_path / "dataset" / "croissant.json").read_text()
