import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_run import small_run

from salmu.data.errors import UserError
from salmu.data.publish import columns as published_columns
from salmu.data.publish.publish import PublishSettings, publish
from salmu.data.readers import (
    CAPTIONS,
    COLUMNS,
    FRAGILE_SET,
    GENERIC_CAPTIONS,
    IDENTITIES,
    JSON_FILES,
    NUMBERS,
    PROOF_OF_FICTION,
    TEXTS,
    open_dataset,
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    store = small_run(tmp_path_factory.mktemp("run"), sensitive=8, retain=3, per_identity=25)
    rows = store.view("assembly", "file_name").rows()
    fragile = [row["file_name"] for row in rows if row["kind"] == "retain_disjoint"][::20]
    publish(store, store.folder / "dataset", PublishSettings(rows_per_file=40), {}, fragile=lambda digest: fragile)
    return store.folder / "dataset"


@pytest.fixture
def published(ours, tmp_path):
    """The same dataset as the published benchmark lays it out: four columns and four JSON files."""
    (tmp_path / "data").mkdir()
    for path in (ours / "data").iterdir():
        pq.write_table(pq.read_table(path, columns=list(COLUMNS)), tmp_path / "data" / path.name)
    for name in (*JSON_FILES, FRAGILE_SET):
        shutil.copy(ours / name, tmp_path / name)
    return tmp_path


def names(dataset, split):
    return dataset.table(split, ["file_name"]).column("file_name").to_pylist()


def test_splits_follow_from_one_another(ours):
    dataset = open_dataset(ours)
    forget, rest, other = (names(dataset, split) for split in ("forget", "holdout_association", "holdout_identity"))
    assert names(dataset, "sensitive") == forget + rest + other
    assert sorted(forget + rest + other) == sorted(dataset.captions_metadata) == sorted(dataset.generic_captions)
    parts = [names(dataset, "forget_identity"), names(dataset, "forget_association")]
    assert sorted(parts[0] + parts[1]) == sorted(forget) and all(parts)
    joint, disjoint = names(dataset, "retain_joint"), names(dataset, "retain_disjoint")
    assert sorted(joint + disjoint) == sorted(names(dataset, "retain_synth")) and joint
    assert set(names(dataset, "fragile_set")) == dataset.fragile_set_ids < set(disjoint)

    def identities(split):
        return set(dataset.table(split, ["identity_id"]).column("identity_id").to_pylist())

    assert identities("forget_association") == identities("holdout_association")
    assert not identities("forget_identity") & identities("holdout_association")
    assert not identities("holdout_identity") & identities("forget")
    assert identities("retain_joint") <= identities("forget") and identities("retain_disjoint") == {None}


def test_table_has_images_and_the_columns_asked_for(ours):
    dataset = open_dataset(ours)
    table = dataset.table("forget", ("text", "image"))
    assert table.column_names == ["text", "image"]
    image = table.column("image")[0].as_py()
    assert image["bytes"].startswith(b"\xff\xd8") and image["path"] == names(dataset, "forget")[0]
    assert dataset.table("forget").column_names[:4] == list(COLUMNS)


def test_published_layout_gives_the_same_rows_and_values(ours, published):
    first, second = open_dataset(ours), open_dataset(published)
    for split in ("forget", "sensitive", "retain_synth", "retain_joint", "fragile_set", "forget_identity"):
        for columns in (["image", "text", "identity_id", "file_name"], ["data_field", "value"], ["value", "text"]):
            assert second.table(split, columns).equals(first.table(split, columns)), (split, columns)
    assert second.table("forget").column_names == [*COLUMNS, "data_field", "value"]
    values = second.table("sensitive", ["value"]).column("value").to_pylist()
    assert "q1@example.com" in values and "p1@example.org" not in values  # of two, the one in the caption


def test_digest_names_the_content_with_or_without_provenance(ours, published):
    before = open_dataset(published).digest
    assert (
        open_dataset(published).digest
        == before
        != open_dataset(ours).digest
        == json.loads((ours / "provenance.json").read_text())["dataset_digest"]
    )
    bare = published.parent / "bare"
    shutil.copytree(ours, bare, ignore=shutil.ignore_patterns("provenance.json"))
    assert open_dataset(bare).digest == open_dataset(ours).digest
    (published / FRAGILE_SET).write_text("[]")  # named after training: models and results do not depend on it
    assert open_dataset(published).digest == before
    (published / "identities_metadata.json").write_text("{}")
    assert open_dataset(published).digest != before


def test_only_people_without_a_persona_are_fragile(published):
    dataset = open_dataset(published)
    (published / "fragile_set_ids.json").write_text(json.dumps(names(dataset, "retain_synth")))
    assert names(open_dataset(published), "fragile_set") == names(dataset, "retain_disjoint")


def test_files_of_a_sensitive_split_are_used_where_there_are_any(published):
    table = pq.read_table(published / "data" / "forget-00000-of-00003.parquet").slice(0, 3)
    pq.write_table(table, published / "data" / "sensitive-00000-of-00001.parquet")
    assert open_dataset(published).table("sensitive", ["text"]).num_rows == 3


def damage(folder, what):
    path = folder / "data" / "forget-00000-of-00003.parquet"
    if what == "folder":
        shutil.rmtree(folder)
    elif what == "data":
        shutil.rmtree(folder / "data")
    elif what == "part":
        path.unlink()
    elif what == "column":
        pq.write_table(pq.read_table(path).drop_columns(["identity_id"]), path)
    elif what == "image":
        table = pq.read_table(path)
        images = pa.array([b"x"] * len(table))
        pq.write_table(table.drop_columns(["image"]).append_column("image", images), path)
    elif what == "truncated":
        path.write_bytes(path.read_bytes()[:200])


def test_a_file_is_no_dataset(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match="x.json: no such folder"):
        open_dataset(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("folder", "no such folder"),
        ("data", "no folder data/"),
        ("part", "forget-00000-of-00003.parquet is missing"),
        ("column", "no column 'identity_id'"),
        ("image", "struct<bytes, path>"),
        ("truncated", "cannot be read as Parquet"),
    ],
)
def test_damage_is_told_in_one_line_that_names_the_place(published, what, message):
    damage(published, what)
    with pytest.raises(UserError) as error:
        open_dataset(published)
    assert message in str(error.value) and str(published) in str(error.value) and "\n" not in str(error.value)


def rewritten(folder, number, **columns):
    """The file with other columns, as another tool writes them; a new one is made from the texts."""
    path = folder / "data" / f"forget-0000{number}-of-00003.parquet"
    table = pq.read_table(path)
    for name, change in columns.items():
        if name in table.column_names:
            table = table.set_column(table.schema.get_field_index(name), name, change(table.column(name)))
        else:
            table = table.append_column(name, change(table.column("text")))
    pq.write_table(table, path)


def test_what_other_tools_write_is_read_alike(ours, published):
    expected = {split: open_dataset(ours).table(split, list(COLUMNS)) for split in ("forget", "retain_joint")}
    rewritten(
        published, 0, identity_id=lambda ids: ids.dictionary_encode(), image=lambda images: images.cast(LARGE_IMAGE)
    )
    rewritten(published, 1, text=lambda texts: texts.cast(pa.large_string()))
    rewritten(published, 2, text=lambda texts: texts.cast(pa.string_view()))
    for path in sorted((published / "data").glob("retain_synth-*.parquet")):
        table = pq.read_table(path)
        ids = table.column("identity_id")
        ids = pa.nulls(len(ids)) if ids.null_count == len(ids) else ids.fill_null("")  # null-typed, and '' for null
        pq.write_table(table.set_column(2, "identity_id", ids), path)
    for place, path in enumerate((published / "data").glob("*.parquet")):
        path.rename(path.with_stem(f"{path.stem}-{place:016x}"))  # as the datasets library named them
    dataset = open_dataset(published)
    for split, table in expected.items():
        assert dataset.table(split, list(COLUMNS)).equals(table)
    assert names(dataset, "retain_disjoint") == names(open_dataset(ours), "retain_disjoint")
    assert names(dataset, "forget_identity") == names(open_dataset(ours), "forget_identity")
    assert set(names(dataset, "fragile_set")) == dataset.fragile_set_ids


def test_the_type_of_every_published_column_is_checked():
    assert {column.name for column in published_columns.COLUMNS} == {"image", *TEXTS, *NUMBERS}


LARGE_IMAGE = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
WITHOUT_BYTES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ODD_COLUMNS = {
    "numbers": ({"identity_id": lambda ids: ids.cast(pa.int64())}, "column 'identity_id' must be text, not int64"),
    "splits": ({"split": lambda texts: pa.array([1] * len(texts))}, "column 'split' must be text, not int64"),
    "lists": ({"text": lambda texts: pa.array([[text] for text in texts.to_pylist()])}, "must be text, not list"),
    "paths": (
        {"image": lambda images: pa.array([{"path": "img/1.jpg"}] * len(images), WITHOUT_BYTES)},
        "column 'image' holds paths only, no bytes",
    ),
    "no text": ({"text": lambda texts: pa.array([None, *texts.to_pylist()[1:]])}, "split forget, row 0: no text"),
    "no name": ({"file_name": lambda names: pa.nulls(len(names))}, "split forget, row 0: no file_name"),
}


@pytest.mark.parametrize("case", ODD_COLUMNS)
def test_a_column_that_makes_no_sense_is_one_line(published, case):
    columns, message = ODD_COLUMNS[case]
    rewritten(published, 0, **columns)
    with pytest.raises(UserError, match=message) as error:
        open_dataset(published).table("forget")
    assert str(published) in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test-00000-of-99999999999.parquet", "test-00001-of-99999999999.parquet is missing"),
        ("test-99999999998-of-99999999999.parquet", "test-00000-of-99999999999.parquet is missing"),
        ("forget-00000-of-00003-0123456789abcdef.parquet", "there are 4; remove those of another version"),
        ("forget-00003-of-00003.parquet", "there are 4; remove those of another version"),
    ],
)
def test_the_number_of_parts_that_a_name_claims_is_checked_at_once(published, name, message):
    shutil.copy(published / "data" / "forget-00000-of-00003.parquet", published / "data" / name)
    with pytest.raises(UserError, match=message):
        open_dataset(published)


def test_unknown_splits_columns_and_bad_json_are_told(published):
    dataset = open_dataset(published)
    with pytest.raises(UserError, match="no split 'test'; there are forget"):
        dataset.table("test")
    with pytest.raises(UserError, match="no column 'gender'"):
        dataset.table("forget", ["gender"])
    (published / "identities_metadata.json").write_text("{")
    with pytest.raises(UserError, match="identities_metadata.json: damaged, or not JSON"):
        dataset.table("forget", ["value"])
    (published / "fragile_set_ids.json").unlink()
    with pytest.raises(UserError, match="fragile_set_ids.json: no such file"):
        dataset.table("fragile_set")


WRONG = {  # document -> contents that it cannot have
    "identities": (
        IDENTITIES,
        ["[]", '{"1": []}', '{"1": {}}', '{"1": {"name": null}}', '{"1": {"name": "A", "emails": []}}'],
    ),
    "captions_metadata": (CAPTIONS, ["null", '{"a.jpg": "city"}', '{"a.jpg": {"data_field": ["city"]}}']),
    "generic_captions": (GENERIC_CAPTIONS, ['{"a.jpg": null}', '{"a.jpg": ["a dog"]}', '{"a.jpg": "\\ud83d"}']),
    "fragile_set_ids": (FRAGILE_SET, ["{}", "[1]", "[NaN]", "[" * 5000, '[["a.jpg"]]']),
    "proofs": (PROOF_OF_FICTION, ['{"1": {"city": "G1"}}', '{"1": {"city": {"level": 1, "rule": []}}}']),
}


@pytest.mark.parametrize(
    "document, name, content", [(key, name, text) for key, (name, texts) in WRONG.items() for text in texts]
)
def test_a_document_of_another_shape_is_one_line_that_names_it(published, document, name, content):
    (published / name).write_text(content)
    with pytest.raises(UserError, match=name) as error:
        getattr(open_dataset(published), document)
    assert len(str(error.value)) < 900


def test_what_others_add_to_a_person_is_read_over(published):
    people = json.loads((published / IDENTITIES).read_text())
    (published / IDENTITIES).write_text(json.dumps({who: one | {"shoe_size": 41} for who, one in people.items()}))
    assert open_dataset(published).table("forget", ["value"]).num_rows


@pytest.mark.parametrize("path", [5, None, "", " ", ["a"], b"folder"])
def test_what_is_no_path_is_one_line(path):
    with pytest.raises(UserError, match="a path or a URL is expected, got"):
        open_dataset(path)


def test_one_column_may_be_named_without_a_list(ours):
    dataset = open_dataset(ours)
    assert dataset.table("forget", "text").equals(dataset.table("forget", ["text"]))
    with pytest.raises(UserError, match="no column 'txt'"):
        dataset.table("forget", "txt")


@pytest.mark.parametrize("count", ["99999999999", "9999999999999", "9" * 200])
def test_a_name_that_claims_more_parts_than_there_can_be_is_one_line(count, published):
    for path in (published / "data").glob("forget-*"):
        path.rename(path.with_name(f"{path.name.partition('-of-')[0]}-of-{count}.parquet"))
    with pytest.raises(UserError, match=f"split forget should have {count} files: forget-.*is missing"):
        open_dataset(published)
