"""`salmu inspect` and `salmu clean` on a small run made by hand."""

import re

import pytest
from small_run import small_run

from salmu.flows.command_line import cli
from salmu.flows.settings import load_profile, save


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    store = small_run(tmp_path_factory.mktemp("runs") / "run")
    save(load_profile("smoke"), store.folder)
    return store


def salmu(run, capsys, *arguments: str) -> str:
    command, *rest = arguments
    cli.main([command, *rest, "--runs", str(run.folder.parent), "--run", run.folder.name])
    return capsys.readouterr().out


def test_items_are_shown_with_their_pictures_as_sizes(run, capsys):
    shown = salmu(run, capsys, "inspect", "portraits", "--rows", "2")
    assert len(shown.strip().split("\n\n")) == 2
    assert re.search(r"image +JPEG of 48 x 36 pixels", shown) and "row_digest" not in shown


def test_one_item_by_its_key_and_rows_by_a_value(run, capsys):
    shown = salmu(run, capsys, "inspect", "portraits", "00000002_003_ar-1.33.jpg")
    assert "00000002" in shown and len(shown.strip().split("\n\n")) == 1
    shown = salmu(run, capsys, "inspect", "curation", "--where", "kept=False", "--rows", "99")
    assert len(shown.strip().split("\n\n")) == 8  # one a person
    shown = salmu(run, capsys, "inspect", "captions", "--rejects")
    assert "value missing" in shown


def test_a_page_holds_the_pictures(run, capsys, tmp_path):
    page = tmp_path / "page.html"
    salmu(run, capsys, "inspect", "portraits", "--rows", "3", "--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 3 and "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["portraits", "--where", "colour=red"], "has no column 'colour'; it has: file_name"),
        (["portraits", "--where", "width=1"], "no such row"),
        (["anchors"], "nothing in stage anchors yet"),
    ],
)
def test_what_is_not_there_is_one_line(run, capsys, arguments, words):
    with pytest.raises(SystemExit):
        salmu(run, capsys, "inspect", *arguments)
    assert words in capsys.readouterr().err


def test_clean_removes_what_no_manifest_names_and_nothing_else(run, capsys):
    def files() -> list:
        return sorted(path for path in run.folder.rglob("*") if path.is_file() and path.name != ".lock")

    before, stage = files(), run.stage_folder("portraits")
    strays = [stage / "part-00077.parquet", stage / "rejects-00000.parquet", stage / ".part-00001.parquet.12.tmp"]
    for path in strays:
        path.write_bytes(b"x" * 500_000)
    work = run.work("portraits", None, 3, "f" * 32)
    work.folder.mkdir()
    (work.folder / "0.json").write_text("[]")
    told = salmu(run, capsys, "clean", "--dry-run")
    assert "4 would be removed, 1.5 MB" in told and all(path.exists() for path in strays)
    assert "4 removed, 1.5 MB" in salmu(run, capsys, "clean")
    assert files() == before and not work.folder.exists()


COMMANDS = ["status", "plan", "verify", "verify personas", "inspect portraits", "clean", "report", "gallery"]


@pytest.mark.parametrize("command", [*COMMANDS, "publish --to elsewhere", "stage captions", "deploy"])
def test_a_folder_that_holds_something_else_is_no_run(command, tmp_path, capsys):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as error:
        cli.main([*command.split(), "--runs", str(tmp_path), "--run", "papers"])
    told = capsys.readouterr()
    assert error.value.code == 2 and not told.out
    assert told.err.startswith("error: no run in ") and told.err.count("\n") == 1
    assert [path.name for path in (tmp_path / "papers").iterdir()] == ["notes.txt"]
