"""A finished folder is sent to another folder, an object store or the hub: verified first, whole, and resumable."""

import json
import shutil

import fsspec
import pytest
from hub_server import hub_server  # noqa: F401
from small_run import small_run

from benchmarks import flips
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, location
from salmu.data.provenance import folder_digest, read_provenance
from salmu.data.publish import copies, hub
from salmu.data.publish.check import check_files
from salmu.data.publish.provenance import inputs_digest
from salmu.data.publish.publish import PublishSettings, publish
from salmu.data.publish.send import publish_to
from salmu.data.readers import open_dataset
from salmu.tasks.personas.judge import published_rows, verify_personas

SETTINGS = PublishSettings(rows_per_file=10, samples_per_tar=15, gating="manual", gated_prompt="Be kind.")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def folder(store):
    publish(store, store.folder / "dataset", SETTINGS, {"seed": 0})
    return store.folder / "dataset"


@pytest.fixture(scope="module")
def other(store, tmp_path_factory):
    """Another version: other files of the same names, fewer of them."""
    other = tmp_path_factory.mktemp("other") / "dataset"
    publish(store, other, PublishSettings(rows_per_file=20, samples_per_tar=15), {"seed": 0})
    return other


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def states(rows):
    return {row["state"] for row in rows}


class Killed(Exception):
    pass


def test_a_folder_becomes_a_copy_and_only_what_differs_is_written(folder, other, tmp_path):
    target = tmp_path / "copy"
    rows = publish_to(folder, str(target), dry_run=True)
    assert not target.exists() and states(rows) == {"new"}
    assert {row["file"]: row["bytes"] for row in rows} == {
        name: len(content) for name, content in contents(folder).items()
    }
    assert publish_to(folder, str(target)) == rows
    assert contents(target) == contents(folder)
    assert states(publish_to(folder, str(target))) == {"there"}
    stamps = {path: path.stat().st_mtime_ns for path in target.rglob("*.tar")}
    found = {row["file"]: row["state"] for row in publish_to(other, str(target))}
    assert contents(target) == contents(other) and states(publish_to(other, str(target), dry_run=True)) == {"there"}
    assert found["README.md"] == "changed" and found["data/forget-00000-of-00003.parquet"] == "to be removed"
    assert found["webdataset/forget-000000.tar"] == "there" and all(
        p.stat().st_mtime_ns == t for p, t in stamps.items()
    )


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_copy_that_was_cut_off_is_no_dataset_and_goes_on(place, folder, other, tmp_path, monkeypatch):
    target = location(tmp_path / "copy" if place == "disk" else f"memory://{tmp_path.name}/copy")
    publish_to(other, str(target))
    sent = []

    def cut(copy, most):
        def send(*pair):
            if len(sent) == most:
                raise Killed
            copy(*pair)
            sent.append(pair)

        return send

    with monkeypatch.context() as patch:
        if place == "disk":
            patch.setattr("salmu.data.publish.copies._copy_file", cut(copies._copy_file, 3))
        else:
            put = target.fs.put_file
            one_by_one = cut(put, 3)
            patch.setattr(
                target.fs, "put", lambda sources, targets: [one_by_one(*pair) for pair in zip(sources, targets)]
            )
        with pytest.raises((Killed, UserError)):
            publish_to(folder, str(target))
    with pytest.raises(UserError, match="interrupted"):
        open_dataset(target)
    rows = {row["file"]: row["state"] for row in publish_to(folder, str(target), dry_run=True)}
    there = [name for name, state in rows.items() if state == "there" and name.endswith(".parquet")]
    assert len(there) >= 3 and rows["provenance.json"] == "new"
    publish_to(folder, str(target))
    assert check_files(target) == check_files(folder)
    fsspec.filesystem("memory").store.clear()


def test_what_verify_refuses_is_not_sent(folder, tmp_path):
    copy, target = tmp_path / "dataset", tmp_path / "target"
    shutil.copytree(folder, copy)

    def refused(words, judges=()):
        with pytest.raises(UserError, match=words) as error:
            publish_to(copy, str(target), judges)
        assert "\n" not in str(error.value) and not target.exists()

    judges = [lambda dataset: verify_personas(published_rows(dataset.identities, dataset.proofs))]
    refused("problems in 6 personas", judges)  # the small run's are written by hand
    (copy / "notes.txt").write_text("mine")
    refused("1 problem, first: .*notes.txt: not in provenance.json")
    (copy / "notes.txt").unlink()
    tar = copy / "webdataset" / "forget-000000.tar"
    content = bytearray(tar.read_bytes())
    content[600] ^= 1
    tar.write_bytes(content)
    refused("1 problem, first: .*forget-000000.tar: differs from its SHA-256")
    tar.unlink()
    refused("forget-000000.tar: missing")
    shutil.copy(folder / "webdataset" / tar.name, tar)
    (copy / "provenance.json").write_text("{}")
    refused("provenance.json: dataset_digest: field required.*; fetch it again, or publish it again with salmu run")
    (copy / "provenance.json").unlink()
    refused("no provenance.json")


def forged(folder, change, *digests):
    """Change the provenance of a folder, and bring the named digests into line with it."""
    path = folder / "provenance.json"
    document = json.loads(path.read_text())
    change(document)
    if "inputs_digest" in digests:
        kept = ("dataset_digest", "folder_digest", "inputs_digest", "files")
        document["inputs_digest"] = inputs_digest({key: document[key] for key in document if key not in kept})
    if "folder_digest" in digests:
        document["folder_digest"] = folder_digest(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["settings"].update(seed=7),
        lambda document: document["models"].append({"name": "x", "revision": "1", "use": "faces", "licence": "mit"}),
        lambda document: document["packages"].update(torch="1.0"),
        lambda document: document["stages"]["captions"].update(rejects=0),
        lambda document: document.update(inputs_digest="0" * 32),
        lambda document: document["files"]["webdataset/forget-000000.tar"].update(sha256="0" * 64),
    ],
)
def test_an_edit_inside_the_provenance_is_seen(change, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "dataset")
    forged(copy, change)
    with pytest.raises(UserError, match="provenance.json: damaged, its folder_digest is not that of its content"):
        check_files(copy)
    with pytest.raises(UserError, match="provenance.json: damaged, its folder_digest"):
        open_dataset(copy)
    forged(copy, lambda document: None, "folder_digest")
    with pytest.raises(UserError, match="1 problem, first: .*(inputs_digest is not that of|differs from its SHA-256)"):
        check_files(copy)


@pytest.mark.parametrize("name", ["README.md", "webdataset/forget-000000.tar"])
def test_files_replaced_with_their_provenance_are_seen_by_the_digest_that_was_noted_down(name, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "dataset")
    noted, content = read_provenance(copy).folder_digest, open_dataset(copy).digest
    (copy / name).write_bytes((copy / name).read_bytes().replace(b"e", b"a"))
    files = {name: {"bytes": (copy / name).stat().st_size, "sha256": file_sha256(copy / name)}}
    forged(copy, lambda document: document["files"].update(files), "folder_digest")
    assert check_files(copy) and open_dataset(copy).digest == content  # consistent in itself
    with pytest.raises(UserError, match=f"not the expected folder: its folder_digest is .*, not {noted}$"):
        check_files(copy, noted)
    with pytest.raises(UserError, match=r"\(that is its dataset_digest\)$"):
        check_files(copy, content)
    assert check_files(folder, noted)


def test_a_run_publishes_again_what_was_damaged(folder, store, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "dataset")
    for name in ("data/forget-00000-of-00003.parquet", "webdataset/forget-000000.tar", "provenance.json"):
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 4
        (copy / name).write_bytes(content)
        publish(store, copy, SETTINGS, {"seed": 0})
        assert contents(copy) == contents(folder)


def test_a_flipped_bit_of_any_file_is_refused_in_one_line(folder, store, tmp_path):
    copy = shutil.copytree(store.folder, tmp_path / "run")
    found = flips.flipped(copy, flips=0, seed=0)  # the first and the last bit of every file
    assert found["bad"] == [] and found["all"]["refused"] >= 2 * found["files"] > 60


def test_a_target_with_something_else_is_left_alone(folder, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="not empty and not a published dataset"):
        publish_to(folder, str(tmp_path))
    with pytest.raises(UserError, match="is the dataset itself"):
        publish_to(folder, str(folder / "copy"))
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


def test_the_hub_gets_the_folder_in_small_commits_and_nothing_twice(folder, other, hub_server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(hub, "FILES_PER_COMMIT", 7)
    assert states(publish_to(folder, "hf://salmu/tiny", dry_run=True)) == {"new"} and not hub_server.exists
    publish_to(folder, "hf://datasets/salmu/tiny")
    assert hub_server.files == contents(folder) and hub_server.private
    assert hub_server.settings == {"gated": "manual"}
    assert max(map(len, hub_server.commits)) == 7 and sorted(hub_server.commits[-1])[-1] == "provenance.json"
    hub_server.files[".gitattributes"] = b"*.tar filter=lfs"
    commits = len(hub_server.commits)
    assert states(publish_to(folder, "hf://salmu/tiny")) == {"there"} and len(hub_server.commits) == commits
    publish_to(other, "hf://salmu/tiny")
    assert hub_server.files == contents(other) | {".gitattributes": b"*.tar filter=lfs"}
    again = {name for names in hub_server.commits[commits:] for name in names}
    assert not any(name.endswith(".tar") for name in again)  # equal in both


def test_an_upload_that_the_hub_cut_off_goes_on(folder, hub_server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(hub, "FILES_PER_COMMIT", 7)
    hub_server.refuse_after = 3
    with pytest.raises(
        UserError, match=r"hf://salmu/tiny: the hub refused .*403.* run again \(uploaded files are kept\)"
    ):
        publish_to(folder, "hf://salmu/tiny")
    assert ".incomplete" in hub_server.files and "provenance.json" not in hub_server.files
    first, hub_server.refuse_after = hub_server.commits[1:], None
    publish_to(folder, "hf://salmu/tiny")
    assert hub_server.files == contents(folder)
    sent = [name for names in hub_server.commits[1:-1] for name in names]
    assert len(first) == 2 and len(sent) == len(set(sent))


def test_a_repository_with_something_else_is_left_alone(folder, hub_server):  # noqa: F811
    hub_server.exists, hub_server.files["model.safetensors"] = True, b"x"
    with pytest.raises(UserError, match="hf://salmu/tiny: holds something other"):
        publish_to(folder, "hf://salmu/tiny")
    with pytest.raises(UserError, match="the hub refused or did not answer"):
        publish_to(folder, "hf://salmu/tiny/data")
    assert hub_server.commits == []
