import base64
import html.parser
import io
import json
import shutil
from collections import Counter
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_run import jpeg, put, small_run

from benchmarks.chromium import NAMES, Chromium
from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.gallery import from_run
from salmu.data.gallery.build import build_dataset, build_run
from salmu.data.publish.publish import PublishSettings, publish
from salmu.data.readers import open_dataset
from salmu.data.store import Store

HOSTILE = '</script><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>\u2028 __proto__ &amp; \\'
WORDS = {"split": "split", "field": "data_field", "style": "caption_style"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A run with hostile texts: one persona's name, all its captions, one reason, and the run's own name."""
    run = small_run(tmp_path_factory.mktemp("runs") / "a <b>&'c", sensitive=4, retain=2, per_identity=9)
    personas = list(run.view("personas", "identity_id").rows())
    put(run, "personas", schemas.PERSONAS, [personas[0] | {"name": HOSTILE, "city": HOSTILE}, *personas[1:]])
    pairs = list(run.view("assembly", "file_name").rows())
    put(
        run, "assembly", schemas.PAIRS, [row | ({"text": HOSTILE} if row["value"] == "welder" else {}) for row in pairs]
    )
    curation = list(run.view("curation", "file_name").rows())
    curation[0]["reason"] = HOSTILE
    put(run, "curation", schemas.CURATION, curation)
    publish(run, run.folder / "dataset", PublishSettings(rows_per_file=20), {})
    return run


@pytest.fixture(scope="module")
def gallery(store):
    assert build_run(store.folder)["damaged"] == 0
    return store.folder / "gallery"


def received(folder, name):
    text = (folder / "data" / f"{name}.js").read_text(encoding="utf-8")
    head, end = f'gallery.receive("{name}",', ");\n"
    assert text.startswith(head) and text.endswith(end)
    return json.loads(text[len(head) : -len(end)])


def shown(folder):
    """File name -> what the gallery tells of the portrait."""
    index, columns = received(folder, "index"), {}
    for name, text in received(folder, "portraits").items():
        columns[name] = np.frombuffer(base64.b64decode(text), "<u2").tolist()
    portraits = {}
    for person in index["people"]:
        (about,) = (one for one in received(folder, f"people-{person['chunk']:05}") if one["id"] == person["id"])
        for row, name in enumerate(about["files"]):
            codes = {column: values[person["first"] + row] for column, values in columns.items()}
            words = {word: dict(enumerate(index["words"][word])).get(codes[word]) for word in index["words"]}
            caption = about["caption"][row]
            assert name not in portraits
            portraits[name] = codes | words | {
                "identity_id": person["id"],
                "number": person["first"] + row,
                "text": None if caption is None else about["captions"][caption][2],
                "similarity": codes["similarity"] / 10_000 - 1,
            }  # fmt: skip
        assert len(about["files"]) == person["portraits"]
    return portraits


def test_of_a_large_run_some_people_are_shown_whole_as_in_the_gallery_of_all(store, gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(from_run, "MOST", 20)
    monkeypatch.setattr(from_run, "AT_ONCE", 1)
    counts = build_run(store.folder, tmp_path / "some")
    assert counts["portraits"] == 2 * 9 and counts["identities"] == 2 and counts["damaged"] == 0
    index, whole = received(tmp_path / "some", "index"), received(gallery, "index")
    assert index["name"].endswith(": 2 of 6 people, by lot") and counts["dropped"] == whole["counts"]["dropped"]
    ours, all_of_them = shown(tmp_path / "some"), shown(gallery)
    same = ("identity_id", "text", "similarity", "split", "field", "style", "state")
    for name, portrait in ours.items():
        assert [portrait[key] for key in same if key in portrait] == [
            all_of_them[name][key] for key in same if key in portrait
        ]
    told = ("id", "role", "name", "values", "portraits", "kept")
    people = {person["id"]: [person[key] for key in told] for person in whole["people"]}
    assert all(people[person["id"]] == [person[key] for key in told] for person in index["people"])


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def likeness(picture, content):
    """Correlation of the pixels with those of a picture file: near 1 for the same one, near 0 for another."""
    with Image.open(io.BytesIO(content)) as original:
        own = original.convert("RGB").resize(picture.size, Image.Resampling.BICUBIC)
    return np.corrcoef(np.asarray(picture, float).ravel(), np.asarray(own, float).ravel())[0, 1]


def test_every_portrait_of_the_run_is_shown_once_as_the_stages_say(store, gallery):
    portraits = shown(gallery)
    assert sorted(portraits) == sorted(store.view("portraits", "file_name").row_digests())
    pairs = {row["file_name"]: row for row in store.view("assembly", "file_name").rows()}
    for row in store.view("curation", "file_name").rows():
        told, pair = portraits[row["file_name"]], pairs.get(row["file_name"], {})
        assert told["identity_id"] == row["identity_id"]
        assert told["state"] == (row["reason"] or "in the dataset")
        assert told["similarity"] == pytest.approx(row["identity_similarity"], abs=1e-4)
        assert {word: told[word] for word in WORDS} == {word: pair.get(column) for word, column in WORDS.items()}
        assert told["text"] == pair.get("text")


def test_counts_agree_with_the_manifests(store, gallery):
    index = received(gallery, "index")
    manifests = {stage: store.manifest(stage) for stage in ("portraits", "curation", "personas", "captions")}
    dropped = [row for row in store.view("curation", "file_name").rows() if not row["kept"]]
    assert (
        index["counts"]["portraits"] == manifests["portraits"].rows == sum(one["portraits"] for one in index["people"])
    )
    assert index["counts"]["dropped"] == len(dropped) + sum(manifest.rejects for manifest in manifests.values())
    told = {(one["stage"], one["reason"]): one["count"] for one in index["dropped"]}
    assert told == {
        ("portraits", "picture is damaged"): 1,
        ("captions", "value missing"): 1,
        **{("curation", reason): count for reason, count in Counter(row["reason"] for row in dropped).items()},
    }
    assert Counter(one["role"] for one in index["people"]) == {"sensitive": 4, "retain": 2}
    pairs = store.view("assembly", "file_name").rows()
    by_style = Counter((row["data_field"], row["caption_style"]) for row in pairs)
    assert {(field, style): count for field, style, count in index["captions"]} == by_style
    persona = next(one for one in index["people"] if one["name"] == HOSTILE)
    assert ["city", HOSTILE, "reserved", "r", "s"] in persona["values"]


@pytest.mark.parametrize("kind", ["run", "dataset"])
def test_each_portrait_has_its_own_picture(store, gallery, kind, tmp_path):
    side = 160
    if kind == "dataset":
        gallery, side = tmp_path / "small", 32
        build_dataset(store.folder / "dataset", gallery, side)
    for name, told in shown(gallery).items():
        with Image.open(gallery / "thumbnails" / "portraits" / "0" / f"{told['number']}.jpg") as picture:
            assert likeness(picture, jpeg(name)) > 0.85
            assert max(picture.size) == min(side, 48)


def test_a_published_folder_alone_is_enough(store, tmp_path):
    counts = build_dataset(store.folder / "dataset", tmp_path / "out")
    portraits, dataset = shown(tmp_path / "out"), open_dataset(store.folder / "dataset")
    expected = {
        row["file_name"]: row
        for split in ("forget", "holdout_association", "holdout_identity", "retain_synth")
        for row in dataset.table(split, ["file_name", "text", *WORDS.values()]).to_pylist()
    }
    assert counts["portraits"] == len(portraits) == len(expected)
    for name, row in expected.items():
        assert {word: portraits[name][word] for word in WORDS} == {word: row[column] for word, column in WORDS.items()}
        assert portraits[name]["text"] == row["text"] and portraits[name]["state"] == "in the dataset"
    people = {one["id"]: one for one in received(tmp_path / "out", "index")["people"]}
    assert {id for id, one in people.items() if one["role"] == "sensitive"} == set(dataset.identities)
    assert [why[2] for one in people.values() for why in one["values"]].count("reserved") == 4 * 8


def similarities(store, folder, values):
    """The dataset without provenance, with this column; the gallery's numbers."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(store.folder / "dataset", folder / "dataset")
    (folder / "dataset" / "provenance.json").unlink()
    for path in (folder / "dataset" / "data").glob("*.parquet"):
        table = pq.read_table(path)
        column = (values * len(table))[: len(table)]
        place = table.schema.get_field_index("identity_similarity")
        change = table.append_column if place < 0 else partial(table.set_column, place)
        pq.write_table(change("identity_similarity", pa.array(column)), path)
    build_dataset(folder / "dataset", folder / "out")
    return set(np.frombuffer(base64.b64decode(received(folder / "out", "portraits")["similarity"]), "<u2").tolist())


def test_a_similarity_that_is_nan_is_not_measured_and_what_is_no_cosine_is_one_line(store, tmp_path):
    assert similarities(store, tmp_path / "a", [float("nan"), 0.5, None, 1.0000001]) == {65_535, 15_000, 20_000}
    for values, message in (
        (["0.5"], "must be numbers, not string"),
        ([87.0], "87.0 is no cosine"),
        ([1e400], "inf is"),
    ):
        with pytest.raises(UserError, match=f"identity_similarity.* {message}"):
            similarities(store, tmp_path / "a", values)


def test_same_run_same_bytes_and_a_new_build_takes_the_place_of_the_old(store, gallery, tmp_path):
    before = contents(gallery)
    (gallery / "data" / "of-an-older-build.js").write_text("")
    build_run(store.folder)
    assert contents(gallery) == before
    assert not list(store.folder.glob(".gallery.*"))


def test_a_run_that_has_only_just_begun_is_shown_and_damaged_pictures_are_counted(store, tmp_path):
    shutil.copytree(store.folder / "portraits", tmp_path / "run" / "portraits")
    run = Store(tmp_path / "run")
    rows = list(run.view("portraits", "file_name").rows())
    large = jpeg("large", width=600, height=480)
    rows[:2] = [rows[0] | {"image": b"not a picture"}, rows[1] | {"image": large}]
    put(run, "portraits", schemas.PORTRAITS, rows[:5])
    run.write_manifest(run.manifest("portraits").model_copy(update={"shards": run.manifest("portraits").shards[:1]}))
    assert build_run(run.folder) == {"identities": 1, "portraits": 5, "dropped": 0, "damaged": 1}
    assert {one["state"] for one in shown(run.folder / "gallery").values()} == {"not judged yet"}
    assert received(run.folder / "gallery", "index")["without"] == [0]
    with Image.open(run.folder / "gallery" / "thumbnails" / "portraits" / "0" / "1.jpg") as picture:
        assert picture.size == (160, 128)
        assert likeness(picture, large) > 0.85


def test_refusals_say_what_to_do(store, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("mine")
    with pytest.raises(UserError, match="not empty and not a gallery"):
        build_run(store.folder, tmp_path / "photos")
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "mine"
    with pytest.raises(UserError, match="from 16 to 1024"):
        build_run(store.folder, tmp_path / "out", side=8)
    with pytest.raises(UserError, match="portraits has made nothing yet"):
        build_run(tmp_path / "photos")
    with pytest.raises(UserError, match="is it a dataset"):
        build_dataset(tmp_path / "photos")
    with pytest.raises(UserError, match="local disk"):
        build_run(store.folder, "memory://bucket/gallery")


def test_the_page_escapes_names_and_its_scripts_write_text_only(gallery):
    class Scripts(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.text = [], ""

        def handle_starttag(self, tag, attributes):
            self.tags.append((tag, dict(attributes)))

        def handle_data(self, data):
            self.text += data

    page = Scripts()
    page.feed((gallery / "index.html").read_text(encoding="utf-8"))
    assert "Gallery of a <b>&'c" in page.text and "b" not in [tag for tag, _ in page.tags]
    named = [attributes["src"] for tag, attributes in page.tags if tag == "script"]
    assert all((gallery / name).is_file() for name in named) and len(named) == len(list(gallery.glob("*.js"))) + 2
    for script in gallery.glob("*.js"):
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
            assert way not in script.read_text(encoding="utf-8")


@pytest.mark.skipif(not any(map(shutil.which, NAMES)), reason="no Chromium here")
def test_in_a_browser_search_filters_and_keys_lead_to_the_portraits(store, gallery):
    status = "document.getElementById('status').textContent"
    with Chromium() as page:
        page.size(900, 700)
        page.open(gallery / "index.html")
        page.wait("document.querySelectorAll('.tile img').length === 6")
        page.key("/", "/")
        page.wait("document.activeElement.id === 'query'")
        page.evaluate(
            f"at('query').value = {json.dumps(HOSTILE[:12])}; at('query').dispatchEvent(new Event('input')); 0"
        )
        page.wait(f"{status}.startsWith('1 of 6 identities')")
        page.key("ArrowDown")
        page.key("Enter")
        page.wait("location.hash === '#person/00000000' && document.querySelector('#person-name')")
        assert page.evaluate("document.getElementById('person-name').textContent") == HOSTILE
        page.evaluate("location.hash = 'portraits'; 0")
        page.wait(f"{status}.startsWith('54 of 54')")
        page.evaluate("at('by-state').value = 'other person'; at('by-state').dispatchEvent(new Event('change')); 0")
        page.wait(f"{status}.startsWith('5 of 54')")
        page.evaluate("document.querySelector('.tile').focus()")
        page.key("ArrowRight")
        page.key("Enter")
        page.wait("document.querySelector('dialog[open] .bar span')?.textContent === '2 of 5'")
        page.key("ArrowRight")
        page.wait("document.querySelector('dialog[open] .bar span')?.textContent === '3 of 5'")
        page.key("Escape")
        page.wait("!at('portrait').open && document.activeElement.dataset.place === '2'")
        page.evaluate("at('by-state').value = ''; at('query').value = 'iban 0'; changed(); 0")
        texts = [row["text"] for row in store.view("assembly", "file_name").rows()]
        wanted = sum("iban" in text for text in texts)
        page.wait(f"{status} === '{wanted} of 54 portraits'")
        for view in ("captions", "dropped"):
            page.evaluate(f"location.hash = '{view}'; 0")
            page.wait("document.querySelector('#view table')")
        assert not page.evaluate("window.hurt") and page.problems == []
