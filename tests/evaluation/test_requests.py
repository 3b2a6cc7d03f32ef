"""Erasure requests: a stream of them on our data and on foreign data, killed and continued, refused, with receipts."""

import csv
import io
import json
import shutil
import tarfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from published import write_model

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.evaluation.report.receipts import check_page, triangle
from salmu.evaluation.report.streams import streams_page
from salmu.evaluation.requests import benchmark, budget, evidence
from salmu.evaluation.requests import stream as stream_module
from salmu.evaluation.requests.ledger import read_ledger
from salmu.evaluation.requests.reading import read_requests
from salmu.evaluation.requests.receipt import check_receipt
from salmu.evaluation.requests.seen import WITHHELD, open_pairs
from salmu.evaluation.unlearning.registry import UnlearningSettings
from salmu.flows.command_line import cli
from salmu.flows.erasure import open_stream, rows_of, work_all

WEIGHTS = "open_clip_model.safetensors"
QUICK = {"unlearning.methods.cliperase": {"learning_rate": 1e-3}}
PEOPLE = ("00000001", "00000004", "00000002")  # two partly held out, one wholly in forget


def written(path, rows: list[dict]):
    """A CSV of requests."""
    content = io.StringIO()
    writer = csv.DictWriter(content, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(content.getvalue())
    return path


def opened(requests, model, seen, out, overrides=QUICK, **settings):
    return open_stream(requests, model, seen, out, {"method": "cliperase", "gallery": 60} | settings, overrides)


def weights(folder) -> bytes:
    return (folder / WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def worked(dataset_dir, model_dir, tmp_path_factory):
    """Three requests, worked: of two people, and of one attribute of the third. To be copied before it is changed."""
    folder = tmp_path_factory.mktemp("requests")
    rows = [{"request_id": f"T-{place}", "identity_id": who, "data_field": ""} for place, who in enumerate(PEOPLE)]
    requests = written(folder / "requests.csv", [*rows[:2], rows[2] | {"data_field": "city"}])
    stream = opened(requests, model_dir, dataset_dir, folder / "out")
    assert work_all(stream) == []
    return folder, requests


def test_a_record_and_a_receipt_of_each_request_hold_no_personal_data(worked, dataset_dir):
    folder, _ = worked
    records = read_ledger(folder / "out")
    assert [(record["request"], record["asked"]) for record in records] == [
        ("T-0", {"people": 1, "facts": 8, "pairs": 8}),
        ("T-1", {"people": 1, "facts": 8, "pairs": 8}),
        ("T-2", {"people": 1, "facts": 1, "pairs": 1}),
    ]
    assert [record["model_before"] for record in records[1:]] == [record["model_after"] for record in records[:-1]]
    assert [len(record["withheld"]) for record in records] == [1, 1, 0]  # portraits with a neutral caption
    texts = [path.read_text() for path in (folder / "out").glob("*") if path.suffix in (".json", ".html", ".jsonl")]
    names = json.loads((dataset_dir / "identities_metadata.json").read_text())
    personal = {str(value) for who in PEOPLE for value in (*names[who].values(), who)} - {"NL"}
    assert len(texts) == 8 and not [word for word in personal for text in texts if word in text]
    proof = records[2]["evidence"]
    assert [one["number"] for one in proof["earlier"]] == [1, 2] and proof["not_measured"]
    assert proof["request"]["before"]["caption"]["low"] is None  # one fact gives no interval
    shape = [[cell is not None for cell in row] for row in triangle(records)]
    assert shape == [[True, True, True, True], [True, False, True, True], [True, False, False, True]]


def test_finished_requests_are_never_touched_again(worked, model_dir, dataset_dir):
    folder, requests = worked
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*") if path.is_file()}
    stream = opened(requests, model_dir, dataset_dir, folder / "out")
    assert work_all(stream) == [] and not stream.groups
    assert {row["state"].partition(" (")[2] for row in rows_of(stream)} == {"done before)"}
    after = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} == {folder / "out" / "requests.html"}


def test_a_stream_that_was_killed_ends_with_the_same_model_to_the_byte(
    worked, model_dir, dataset_dir, tmp_path, monkeypatch
):
    folder, requests = worked

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    stream = opened(requests, model_dir, dataset_dir, tmp_path / "out")
    stream.work(stream.groups[0])
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(stream_module, "load_model", killed)  # after the method, before the record
        stream.work(stream.groups[1])
    kept = {path: path.read_bytes() for path in tmp_path.glob("out/models/0001/*")}
    again = opened(requests, model_dir, dataset_dir, tmp_path / "out")
    assert work_all(again) == []
    assert {path: path.read_bytes() for path in kept} == kept
    assert weights(tmp_path / "out/models/0003") == weights(folder / "out/models/0003")


def test_a_changed_byte_shows_in_receipt_record_model_and_page(worked, tmp_path):
    folder, _ = worked
    whole = check_receipt(folder / "out" / "receipt-T-1.json")
    assert whole["record"].startswith("intact, 2 of 3") and whole["model"].startswith("intact")
    places = ["receipt-T-1.json", "requests.jsonl", f"models/0002/{WEIGHTS}", "models/0002/unlearning.json"]
    for name in [*places, "receipt-T-1.html"]:
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder / "out", copy)
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(UserError, match=name.rpartition("/")[2]):
            check_receipt(copy / "receipt-T-1.json")
            check_page(copy / "receipt-T-1.json")
    for lines in ((0, 2), (1, 0, 2), (0, 1)):  # one removed, two swapped, the last ones cut off
        copy = tmp_path / f"lines{len(lines)}{lines[0]}{lines[1]}"
        shutil.copytree(folder / "out", copy)
        there = (copy / "requests.jsonl").read_bytes().splitlines(keepends=True)
        (copy / "requests.jsonl").write_bytes(b"".join(there[line] for line in lines))
        with pytest.raises(UserError, match="requests.jsonl"):
            check_receipt(copy / "receipt-T-2.json")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", "", "a.csv: empty; its first row must name columns"),
        ("a.csv", "identity_id\n", "a.csv: holds no request"),
        ("a.csv", "person\n1\n", "a.csv, row 1: column 'person' is unknown"),
        ("a.csv", "data_field\ncity\n", "a.csv, row 1: no column identity_id or file_name"),
        ("a.csv", "identity_id,data_field\n,city\n", "a.csv, row 2: .*must name identity_id or file_name"),
        ("a.csv", "identity_id\n1,2\n", "a.csv, row 2: 2 cells under 1 columns"),
        ("a.csv", "request_id,identity_id\n../x,1\n", "a.csv, row 2: request_id: string should match pattern"),
        ("a.csv", "identity_id\n" + "".join(f"{n}\n" for n in range(10_000)), "10,000 requests, and at most 100"),
        ("a.jsonl", '{"identity_id": 7}\n', "a.jsonl, row 1: identity_id: input should be a valid string, got 7"),
        ("a.jsonl", '{"identity": "7"}\n', "a.jsonl, row 1: unknown key 'identity'; did you mean 'identity_id'"),
        ("a.jsonl", "[1]\n", "a.jsonl, row 1: an object with identity_id"),
        ("a.jsonl", "{\n", "a.jsonl, row 1: damaged, or not JSON"),
        ("a.txt", "x", "a .csv or .jsonl file, or a folder"),
    ],
)
def test_a_file_of_requests_that_cannot_be_used_is_one_line(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_requests(tmp_path / name, 100)


def test_rows_make_requests_by_id_by_person_and_by_file(tmp_path):
    rows = [
        {"request_id": "A", "identity_id": "1"},
        {"identity_id": "2"},
        {"request_id": "A", "identity_id": "3", "data_field": "city"},
        {"identity_id": "2", "data_field": "job"},
        {"file_name": "x.jpg"},
        {"file_name": "y.jpg"},
    ]
    found = read_requests(written(tmp_path / "a.csv", rows), 10)
    assert [(request.name, len(request.rows)) for request in found] == [("A", 2), (None, 2), (None, 2)]


def test_requests_are_refused_with_a_reason_and_the_others_are_worked(worked, model_dir, dataset_dir, tmp_path):
    shutil.copytree(worked[0] / "out", tmp_path / "out")
    rows = [
        {"request_id": "B-1", "identity_id": "99999999"},
        {"request_id": "B-2", "identity_id": PEOPLE[0], "data_field": "city"},
        {"request_id": "T-0", "identity_id": "00000003"},
        {"request_id": "B-3", "identity_id": "00000003", "data_field": "shoe_size"},
        *({"request_id": "B-4", "identity_id": f"{number:08d}"} for number in range(12)),
        {"request_id": "B-5", "identity_id": PEOPLE[2]},
    ]
    stream = opened(written(tmp_path / "more.csv", rows[:-1]), model_dir, dataset_dir, tmp_path / "out", batch=True)
    told = {row["request"]: (row["state"], row["reason"]) for row in rows_of(stream)}
    assert told.pop("B-4")[0] == "to be worked"
    assert {state for state, _ in told.values()} == {"refused"}
    reasons = [reason for _, reason in told.values()]
    for reason, words in zip(
        reasons,
        ("row 2: identity_id '99999999' matches no pair", "all its pairs were forgotten by request T-0", "used for")
        + ("data_field 'shoe_size' matches no pair; the pairs of this person have",),
        strict=True,
    ):
        assert words in reason
    stream = opened(written(tmp_path / "more.csv", rows[-1:]), model_dir, dataset_dir, tmp_path / "out")
    assert work_all(stream) == []
    assert [record["asked"]["pairs"] for record in read_ledger(tmp_path / "out")][2:] == [1, 7]  # what T-2 left


def test_another_model_or_a_lost_one_is_refused(worked, model_dir, dataset_dir, tmp_path):
    _, requests = worked
    shutil.copytree(worked[0] / "out", tmp_path / "out")
    other = write_model(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="another model than the one that the requests of this folder began with; name"):
        opened(requests, other, dataset_dir, tmp_path / "out")
    wide = tmp_path / "out" / "requests.jsonl"
    wide.unlink()
    with pytest.raises(UserError, match="salt|receipt"):
        shutil.rmtree(tmp_path / "out" / "owner")
        wide.write_bytes((worked[0] / "out" / "requests.jsonl").read_bytes())
        opened(requests, model_dir, dataset_dir, tmp_path / "out")


# Foreign data: no people of ours, no attributes, no grammar.


def drawn(number: int) -> bytes:
    pixels = np.kron(generator("foreign", number).uniform(0, 255, (5, 5, 3)), np.ones((8, 8, 1)))
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


NUMBERED = b'{"identity_id": 7}'


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The same 48 pairs as pictures with captions in folders of places, as Parquet, and as WebDataset shards."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "tars").mkdir(), (folder / "parquet").mkdir()
    rows = []
    with tarfile.open(folder / "tars" / "00000.tar", "w") as tar:
        for number in range(48):
            place, name = f"harbour-{number % 6}", f"{number:03d}"
            text, picture = f"crane {number} lifts {number * 7} tons at {place}", drawn(number)
            (folder / "pictures" / place).mkdir(parents=True, exist_ok=True)
            (folder / "pictures" / place / f"{name}.png").write_bytes(picture)
            (folder / "pictures" / place / f"{name}.txt").write_text(text)
            file_name = f"{place}/{name}.png"
            rows.append({"image": picture, "text": text, "identity_id": place, "file_name": file_name})
            told = json.dumps({"identity_id": place, "file_name": file_name}).encode()
            for suffix, content in (("png", picture), ("txt", text.encode()), ("json", told)):
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        for name, content in (("lonely.png", b""), ("050.txt", b"a"), ("051.txt", b"b"), ("051.json", NUMBERED)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (folder / "pictures" / "harbour-0" / "mute.png").write_bytes(drawn(0))
    pq.write_table(pa.Table.from_pylist(rows), folder / "parquet" / "pairs.parquet", row_group_size=10)
    return folder


def test_foreign_pairs_are_the_same_from_every_reader_and_what_is_left_out_is_named(foreign):
    found = {kind: open_pairs(foreign / kind) for kind in ("pictures", "parquet", "tars")}
    for kind, pairs in found.items():
        rows = sorted(pairs.table.to_pylist(), key=lambda row: row["file_name"])
        assert rows == sorted(found["parquet"].table.to_pylist(), key=lambda row: row["file_name"]), kind
        contents = dict(zip(pairs.column("file_name"), pairs.read(range(48)), strict=True))
        assert contents == {f"harbour-{number % 6}/{number:03d}.png": drawn(number) for number in range(48)}
    assert found["pictures"].rejects == (
        ("harbour-0/mute.png", "no caption in UTF-8 of at most 65536 bytes in a .txt file beside it"),
    )
    named, alone, odd = found["tars"].rejects
    assert named == ("00000.tar: lonely", "no caption in UTF-8") and alone == ("00000.tar: 050", "no picture")
    assert odd[0] == "00000.tar: 051" and odd[1].startswith("051.json: identity_id")  # not taken for nobody's pair
    assert 8 < found["tars"].column("role").count(WITHHELD) < 24


def test_a_foreign_model_forgets_foreign_pairs_by_person_by_file_and_by_folder(foreign, model_dir, tmp_path):
    pairs = open_pairs(foreign / "parquet")
    requests = written(tmp_path / "a.csv", [{"identity_id": "harbour-1"}, {"file_name": "harbour-2/008.png"}])
    stream = opened(requests, model_dir, foreign / "parquet", tmp_path / "out")
    assert work_all(stream) == []
    (tmp_path / "asked").mkdir()
    for name in ("009", "new"):  # one of the pairs, and one that is not among them
        (tmp_path / "asked" / f"{name}.png").write_bytes(drawn(9 if name == "009" else 77))
        (tmp_path / "asked" / f"{name}.txt").write_text(pairs.column("text")[9] if name == "009" else "a new crane")
    stream = opened(tmp_path / "asked", model_dir, foreign / "parquet", tmp_path / "out", pairs=20)
    assert work_all(stream) == []
    first, second, third = read_ledger(tmp_path / "out")
    assert [record["asked"]["pairs"] for record in (first, second, third)] == [8, 1, 2]
    assert third["pairs_seen"] == 40 and third["settings"]["retain_scenes"] == 0
    assert [one["found"] is None for one in third["evidence"]["earlier"]] == [False, False]
    assert "names and values swapped in captions" in third["evidence"]["not_measured"]
    groups = [part["group"] for part in third["evidence"]["kept"]]
    assert groups == ["pairs that no method was given", "pairs that methods may have been given"]


def test_a_method_that_words_captions_about_people_says_that_it_cannot(foreign, model_dir, tmp_path):
    requests = written(tmp_path / "a.csv", [{"identity_id": "harbour-1"}])
    stream = opened(requests, model_dir, foreign / "tars", tmp_path / "out", {}, method="as_retrained")
    (line,) = work_all(stream)
    assert "the data has no persona table (identities_metadata.json)" in line and "cliperase" in line
    assert [row["state"] for row in rows_of(stream, [line])] == ["failed"] and not read_ledger(tmp_path / "out")


def test_everything_cannot_be_forgotten(foreign, model_dir, tmp_path):
    rows = [{"request_id": "all", "identity_id": f"harbour-{number}"} for number in range(6)]
    stream = opened(written(tmp_path / "a.csv", rows), model_dir, foreign / "parquet", tmp_path / "out")
    assert "matches every pair that is left" in rows_of(stream)[0]["reason"]


def test_seconds_become_pairs_once_and_stay(foreign, model_dir, tmp_path, monkeypatch):
    """The clock says 1 s for making ready and 1 s for the trial's 16 pairs; after the kill it would say more."""

    def clock(*ticks):
        monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=iter(ticks).__next__))

    requests = written(tmp_path / "a.csv", [{"identity_id": "harbour-1"}])
    stream = opened(requests, model_dir, foreign / "parquet", tmp_path / "out", seconds=5.0)
    clock(0, 1, 2)
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(stream_module, "read_record", lambda _: 1 / 0)
        stream.work(stream.groups[0])
    first = weights(tmp_path / "out/models/0001")
    again = opened(requests, model_dir, foreign / "parquet", tmp_path / "out", seconds=5.0)
    clock(0, 1, 9)
    assert work_all(again) == [] and weights(tmp_path / "out/models/0001") == first
    assert read_ledger(tmp_path / "out")[0]["pairs_seen"] == 2 * 64  # of each kind
    clock(0, 6, 7)
    (line,) = work_all(opened(requests, model_dir, foreign / "parquet", tmp_path / "other", seconds=5.0))
    assert "cliperase: 5 s are too few: making ready alone takes 6 s" in line


def test_the_command_says_what_it_would_do_and_what_it_did(foreign, model_dir, tmp_path, capsys):
    requests = written(tmp_path / "a.csv", [{"identity_id": "harbour-1"}, {"identity_id": "harbour-9"}])
    words = ["forget", "--requests", str(requests), "--model", str(model_dir), "--dataset", str(foreign / "tars")]
    words += ["--out", str(tmp_path / "out"), "--method", "cliperase", "--json"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--dry-run"])
    told, error = capsys.readouterr()
    assert ended.value.code == 2 and not (tmp_path / "out").exists()
    assert [row["state"] for row in json.loads(told)["requests"]] == ["to be worked", "refused"]
    assert error.startswith("error: 1 of 2 requests are not done: ") and error.count("\n") == 1
    with pytest.raises(SystemExit):
        cli.main([*words, "--budget", "2", "--show-facts"])
    (row, _) = json.loads(capsys.readouterr().out)["requests"]
    receipt = tmp_path / "out" / f"receipt-{row['request']}.json"
    assert "crane 1 lifts" in (tmp_path / "out" / "owner" / receipt.with_suffix(".html").name).read_text()
    assert "harbour-9" in (tmp_path / "out" / "owner" / "refused.jsonl").read_text()
    cli.main(["verify", "--receipt", str(receipt)])
    assert capsys.readouterr().out.count("intact") == 4


def test_the_flow_tries_a_failed_request_again_alone(foreign, model_dir, tmp_path, monkeypatch, prefect_server):
    """As the deployment forget/requests runs it; the second request fails once, for a reason that goes away."""
    from salmu.flows import forget as flow

    monkeypatch.setattr(flow, "forget_group", flow.forget_group.with_options(retry_delay_seconds=0))
    requests = written(tmp_path / "a.csv", [{"request_id": f"F-{n}", "identity_id": f"harbour-{n}"} for n in range(3)])
    worked, work = [], stream_module.Stream.work

    def unlucky(stream, group, progress):
        worked.append(group[0].name)
        if worked.count("F-1") == 1 and group[0].name == "F-1":
            raise OSError("the disk is away")
        return work(stream, group, progress)

    monkeypatch.setattr(stream_module.Stream, "work", unlucky)
    places = {"requests": str(requests), "model": str(model_dir), "dataset": str(foreign / "tars")}
    settings = {"method": "cliperase", "budget": 1.0, "gallery": 40}
    rows = flow.forget("any", **places, out=str(tmp_path / "out"), forgetting=settings, root=str(tmp_path))
    assert worked == ["F-0", "F-1", "F-1", "F-2"] and [row["request"] for row in rows] == ["F-0", "F-1", "F-2"]
    card = flow.receipt_card(read_ledger(tmp_path / "out")[1])
    assert "Receipt of request F-1" in card and "harbour-1" not in card


def test_the_forget_set_is_worked_in_parts_in_two_orders_and_the_report_has_a_page(
    dataset_dir, model_dir, quick, tmp_path, monkeypatch
):
    scored = []
    monkeypatch.setattr(benchmark, "evaluate_once", lambda _, model, *places, start: scored.append(model))
    home = tmp_path / "run"
    shutil.copytree(dataset_dir, home / "dataset")
    shutil.copytree(model_dir, home / "models" / "compromised")
    unlearning = UnlearningSettings(methods={"cliperase": {}}, requests=3, budgets=(1.0,), retain_scenes=0)
    (run,) = unlearning.runs()
    for order in (1, 2):
        benchmark.work_stream(home, run, order, unlearning, quick)
    (first, folder, one), (second, _, other) = benchmark.streams(home)
    assert (first.model, first.order, second.order, first.failed) == (run.folder, 1, 2, [])
    parts = [{record["request"]: record["asked"] for record in records} for records in (one, other)]
    assert parts[0] == parts[1] and sum(asked["pairs"] for asked in parts[0].values()) == 48
    assert sum(asked["people"] for asked in parts[0].values()) == 9 and list(parts[0]) != list(parts[1])
    page = streams_page(home, "run", []).decode()
    assert page.count("after 3") == 2 and "order 2" in page and "of 3" in page
    before = (folder / "requests.jsonl").stat().st_mtime_ns
    benchmark.work_stream(home, run, 1, unlearning, quick)
    assert (folder / "requests.jsonl").stat().st_mtime_ns == before
    assert [model.name for model in scored] == ["0003"] * 3 and scored[0] == scored[2] == folder / "models" / "0003"
    with pytest.raises(UserError, match="10 requests of the 9 people of forget"):
        benchmark.parts_of(home, 10, 1, 0)


def test_one_caption_that_is_still_the_first_of_many_is_found():
    """A mean over few pairs has a wide interval; it is the random orders that say what is found."""
    few = evidence.limit(np.full(24, 1500), 0)
    part = {"low": None, "high": None}
    told = {"limit": few, "caption_lost": part | {"value": 0.2}, "before": {"caption": part | {"value": 0.25}}}
    for rank_of_the_best, state in ((1, evidence.LESS), (300, evidence.GONE)):
        value = (1 / rank_of_the_best + 23 / 700) / 24
        assert evidence.state_of(told | {"after": {"caption": part | {"value": value}}}) == state
    low = told | {"after": {"caption": part | {"value": 0.001}}, "before": {"caption": part | {"value": 0.002}}}
    assert evidence.state_of(low) == evidence.NEVER
    same = told | {
        "after": {"caption": part | {"value": 0.2}},
        "caption_lost": {"value": 0.1, "low": -0.1, "high": 0.3},
    }
    assert evidence.state_of(same) == evidence.FOUND
