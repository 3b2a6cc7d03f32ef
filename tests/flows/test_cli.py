"""The commands as a person types them, on a small run made once with real worker processes and a real server."""

import doctest
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import open_clip
import psutil
import pytest
from smoke_run import UMASK, words_of

from salmu import api
from salmu.data.store import Store
from salmu.evaluation.unlearning import registry
from salmu.evaluation.unlearning.registry import own_names
from salmu.flows import names
from salmu.flows.command_line import cli
from salmu.flows.command_line.settings_reference import as_page
from salmu.flows.command_line.verify import checked
from salmu.flows.running.lock import holder, run_lock
from salmu.flows.running.stages import STAGES


def salmu(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "salmu", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, umask=0o022)


def dataset_digest(folder: Path) -> str:
    return json.loads((folder / "dataset" / "provenance.json").read_text())["dataset_digest"]


def assert_modes(run: Path, umask: int) -> None:
    """All that lies in a run has the mode that this umask leaves."""
    expected = {path: (0o777 if path.is_dir() else 0o666) & ~umask for path in (run, *run.rglob("*"))}
    assert not {
        str(path): oct(path.stat().st_mode) for path in expected if path.stat().st_mode & 0o777 != expected[path]
    }


@pytest.fixture(scope="module")
def runs(smoke_run, tmp_path_factory) -> Path:
    """A folder of runs with `whole`, a copy of the run that was made without a disturbance."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(smoke_run, folder / "whole")
    return folder


@pytest.fixture
def run(runs, tmp_path) -> Path:
    """A copy of the run that a test may harm."""
    return Path(shutil.copytree(runs / "whole", tmp_path / "whole"))


def refused(capsys, *arguments: str) -> str:
    """The one line on stderr with which a command ends."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    err = capsys.readouterr().err
    assert caught.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    return err


def test_names_known_without_loading_are_those_of_what_they_stand_for():
    assert list(names.STAGES) == list(STAGES) and names.methods() == own_names()
    assert len({*names.PARTS, *names.profiles()}) == len(names.PARTS) + len(names.profiles())


def test_help_says_what_exit_codes_mean_and_names_the_methods(capsys):
    for arguments, words in (
        (["--help"], ["exit codes", "0    done", "2    something that you can correct", "130  interrupted"]),
        (["unlearn", "--help"], own_names()),
        (["--version"], ["salmu 0."]),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        out = capsys.readouterr().out
        assert caught.value.code == 0 and all(word in out for word in words), out


@pytest.mark.parametrize(
    "arguments, close",
    [
        (["stauts"], "status"),
        (["run", "--proflie", "tiny"], "--profile"),
        (["run", "--until", "capions"], "captions"),
        (["stage", "portrait"], "portraits"),
    ],
)
def test_a_typo_is_told_what_was_probably_meant(arguments, close, capsys):
    assert f"did you mean {close!r}?" in refused(capsys, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [[], ["run", "--until"], ["plan", "--workers", "0"], ["plan", "--gpu-price", "nan"], ["run", "-q", "-v"]],
)
def test_bad_arguments_are_one_line(arguments, capsys):
    assert "--help" in refused(capsys, *arguments)


def test_a_profile_in_a_file_gives_its_run_the_name_of_the_file(tmp_path, capsys):
    (tmp_path / "own.yaml").write_text("profile: own")
    arguments = ["stage", "personas", "--profile", str(tmp_path / "own.yaml"), "--runs", str(tmp_path / "runs")]
    assert f"in {tmp_path / 'runs' / 'own'}:" in refused(capsys, *arguments)


def test_control_characters_in_an_error_are_escaped(capsys):
    assert r"a\x1b[31mb" in refused(capsys, "status", "--run", "a\x1b[31mb")


def test_methods_and_settings_are_listed_for_people_and_for_scripts(capsys):
    cli.main(["methods"])
    text = capsys.readouterr().out
    cli.main(["methods", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == own_names()
    assert all(row["name"] in text and row["description"] in text for row in rows)
    cli.main(["settings", "portraits.per", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["key"] == "portraits.per_identity" and row["default"] == "28" and row["type"].startswith("integer")
    assert "no setting starts with 'portrait.'" in refused(capsys, "settings", "portrait.")


def test_own_methods_are_listed_and_a_broken_file_is_a_warning_of_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SALMU_METHODS", "")  # put back after the test
    shutil.copy(Path(__file__).parents[2] / "docs" / "examples" / "similarity_floor.py", tmp_path)
    (tmp_path / "broken.py").write_text("a = 1\nb = c\n")
    cli.main(["methods", "--json", "--methods", str(tmp_path)])
    told = capsys.readouterr()
    assert told.err == f"warning: method left out: {tmp_path}/broken.py:2: NameError: name 'c' is not defined\n"
    rows = {row["name"]: row["from_outside"] for row in json.loads(told.out)}
    assert rows["similarity_floor"] == "similarity_floor.py" and rows["scrub"] is None
    places = ["--model", "a", "--dataset", "b", "--out", "c"]
    told = refused(capsys, "unlearn", "broken", "--methods", str(tmp_path), *places)
    assert "broken.py:2: NameError" in told, "the method that is asked for is the error alone"
    monkeypatch.undo()
    registry.choose(None)


def test_a_method_that_is_named_but_not_used_by_the_run_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SALMU_METHODS", "")  # put back after the test
    file = Path(__file__).parents[2] / "docs" / "examples" / "similarity_floor.py"
    plan = ["plan", "--profile", "smoke", "--runs", str(tmp_path), "--methods", str(file)]
    cli.main(plan)
    told = "note: this run does not use similarity_floor; to use it, add --set unlearning.methods.similarity_floor={}\n"
    assert capsys.readouterr().err == told
    cli.main([*plan, "--set", "unlearning.methods.similarity_floor={}"])
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    registry.choose(None)


def test_the_page_of_settings_is_up_to_date():
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == as_page(), "write it again: salmu settings --markdown > docs/settings.md"


def test_the_shell_completes_commands_stages_and_methods(tmp_path, capsys):
    cli.main(["completion", "zsh"])
    assert capsys.readouterr().out.startswith("#compdef salmu")
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    for words, completed in (
        (["sta"], ["stage", "status"]),
        (["run", "--prof"], ["--profile"]),
        (["stage", "cap"], ["captions"]),
        (["unlearn", "negative"], ["negative_gradient"]),
    ):
        typed = " ".join(["salmu", *words])
        ask = f'\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; _shtab_salmu; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash"], input=script + ask, capture_output=True, text=True, check=True)
        assert done.stdout.split() == completed, done


def test_evaluate_and_unlearn_print_their_numbers_and_nothing_is_overwritten(runs, tmp_path, capsys):
    run = runs / "whole"
    arguments = ["evaluate", "--model", str(run / "models" / "clean"), "--dataset", str(run / "dataset")]
    arguments += ["--out", str(run / "results" / "clean.json"), "--set", "evaluation.zero_shot_per_class=1"]
    arguments += ["--set", "evaluation.bootstrap_replicates=100", "--set", "evaluation.probe_draws=2"]
    cli.main(arguments)  # these results are there already
    table = capsys.readouterr().out
    cli.main([*arguments, "--json"])
    results = json.loads(capsys.readouterr().out)
    assert re.search(f"^RetFail +efficacy +{results['efficacy']['1.1_RetFail']['MRR']:.4f} ", table, re.MULTILINE)
    arguments = ["unlearn", "negative_gradient", "--model", str(run / "models" / "compromised")]
    arguments += ["--dataset", str(run / "dataset"), "--set", "unlearning.methods={}"]
    arguments += ["--set", "unlearning.retain_scenes=60", "--budget", "0.5", "--json", "--out"]
    out = run / "unlearned" / "negative_gradient-0.5x-s0"
    cli.main([*arguments, str(out)])
    assert json.loads(capsys.readouterr().out) == json.loads((out / "unlearning.json").read_text())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert "add --force" in refused(capsys, *arguments, str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_plan_inspect_and_clean_speak_json_or_say_what_is_wrong(runs, tmp_path, capsys):
    where = ["--run", "whole", "--runs", str(runs)]
    cli.main(["plan", *where, "--json"])
    assert {row["state"] for row in json.loads(capsys.readouterr().out)["stages"]} == {"done"}
    cli.main(["inspect", "portraits", *where, "--rows", "2", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 2 and rows[0]["image"]["bytes"] > 500
    cli.main(["inspect", "portraits", *where, "--rows", "2"])
    assert capsys.readouterr().err == "note: the first 2 rows; --rows shows more\n"
    cli.main(["inspect", "portraits", *where, "--rows", "1"])
    assert capsys.readouterr().err == "note: the first row; --rows shows more\n"
    cli.main(["publish", *where, "--to", str(tmp_path / "out"), "--dry-run", "--json"])
    assert {row["state"] for row in json.loads(capsys.readouterr().out)["files"]} == {"new"}
    cli.main(["publish", *where, "--to", "memory://b/x?sig=hunter2", "--dry-run", "--json"])
    assert json.loads(capsys.readouterr().out)["target"] == "memory://b/x?…"
    assert "hunter2" not in refused(capsys, "publish", *where, "--to", "memory://bob:hunter2@b/x", "--json")
    for command in ("plan", "clean", "inspect portraits", "stage captions"):
        err = refused(capsys, *command.split(), "--run", "whoel", "--runs", str(runs))
        assert "no run in" in err and "did you mean 'whole'?" in err
    assert not (runs / "whoel").exists()


def test_a_quiet_run_prints_the_final_result_only(runs, capsys):
    cli.main(["run", "--run", "whole", "--runs", str(runs), "--until", "anchors", "--runner", "thread", "--quiet"])
    out, err = capsys.readouterr()
    assert out.startswith("done in ") and out.count("\n") == 1 and not err


def test_killed_in_the_portraits_stage_it_goes_on_where_it_was_and_gives_the_same_bytes(runs):
    command = words_of("killed", runs, "--until", "portraits", "--workers", "1")
    process = salmu(*command)
    store = Store(runs / "killed")
    deadline = time.monotonic() + 300
    while len(store.manifest("portraits").shards) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = store.manifest("portraits")
    assert 2 <= len(before.shards) < before.planned and not before.complete
    stamps = {entry.index: store.part_path("portraits", entry.index).stat().st_mtime_ns for entry in before.shards}
    usual = os.umask(0o022)
    try:
        cli.main([*command, "--runner", "thread"])
    finally:
        os.umask(usual)
    assert stamps == {
        index: store.part_path("portraits", index).stat().st_mtime_ns for index in stamps
    }  # not made again
    assert store.manifest("portraits").digest == Store(runs / "whole").manifest("portraits").digest  # by two workers
    assert not [path for path in (runs / "killed").rglob("*.tmp")]
    assert_modes(runs / "killed", 0o022)


def test_the_whole_chain_leaves_what_the_readme_names(runs, smoke_run):
    run = runs / "whole"
    assert_modes(smoke_run, UMASK)
    assert (run / "report" / "index.html").stat().st_size > 20_000
    splits = {
        name: datasets.load_dataset(str(run / "dataset"), split=name, cache_dir=str(runs / "cache"))
        for name in ("forget", "holdout_identity", "holdout_association", "retain_synth", "outsiders")
    }
    assert all(rows[0]["image"].size[0] > 0 for rows in splits.values() if len(rows))
    pairs = Store(run).manifest("assembly").rows
    assert sum(map(len, splits.values())) == pairs > 60
    for which in ("clean", "compromised", "retrained"):
        model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{run / 'models' / which}")
        assert open_clip.get_tokenizer(f"local-dir:{run / 'models' / which}")(["a name"]).shape[0] == 1 and model.visual
    records = list(run.glob("unlearned/*/unlearning.json"))
    begun = [path.stat().st_mtime - json.loads(path.read_text())["seconds"] for path in records]
    chosen = (run / "models" / "fragile_set.json").stat().st_mtime
    assert len(begun) == 2 and min(begun) < chosen, "methods begin while the last models are trained"
    record = json.loads((run / "models" / "fragile_set.json").read_text())
    fragile = json.loads((run / "dataset" / "fragile_set_ids.json").read_text())
    assert fragile == sorted(sorted(record["strengths"], key=record["strengths"].get)[: len(fragile)]) and fragile
    assert f"has {len(fragile)} of the latter" in (run / "dataset" / "README.md").read_text()
    names = {path.stem for path in (run / "results").glob("*.json")}
    assert names == {
        "clean",
        "compromised",
        "retrained",
        "s1-clean",
        "s1-compromised",
        "s1-retrained",
        "negative_gradient-0.5x-s0",
        "as_retrained-0.5x-s0",
    }
    for path in (run / "results").glob("*.json"):
        results = json.loads(path.read_text())
        assert (
            len(results["efficacy"]) == len(results["utility"]) == 5 and results["efficacy"]["1.1_RetFail"]["MRR"] > 0
        )
    board = [json.loads(line) for line in (run / "leaderboard.jsonl").read_text().splitlines()]
    assert {row["model"] for row in board} == names and len({row["model_digest"] for row in board}) == 8
    assert all(("verdict" in row) == ("-0.5x" in row["model"] and not row["pair_problem"]) for row in board)
    spread = [json.loads(line) for line in (run / "leaderboard_seeds.jsonl").read_text().splitlines()]
    assert {(row["method"], row["runs"]) for row in spread} == {("clean", 2), ("compromised", 2), ("retrained", 2)}
    assert all(row["RetFail_low"] <= row["RetFail"] <= row["RetFail_high"] for row in spread)
    score = next(row["AssocStr"] for row in board if row["model"] == "compromised")
    assert f"| AssocStr | {round(score, 4)} |" in (run / "models" / "compromised" / "README.md").read_text()


def parts_by_status(run: Path, capsys) -> dict[str, str]:
    """Part of the run -> state, as salmu status --json tells it."""
    cli.main(["status", "--run", run.name, "--runs", str(run.parent), "--json"])
    return {part["part"]: part["state"] for part in json.loads(capsys.readouterr().out)["parts"]}


def test_status_shows_all_of_a_run_and_loads_no_torch(runs):
    code = "import sys; from salmu.flows.command_line import cli; "
    code += "cli.main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "status", "--run", "whole", "--runs", str(runs)]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = [line.split() for line in out.splitlines()]
    methods = ("negative_gradient", "as_retrained")
    names = ("clean", "compromised", "retrained")
    pair = (*names, *(f"s1/{name}" for name in names))
    expected = [*STAGES, "dataset", *(f"models/{name}" for name in pair)]
    expected += [f"unlearned/{name}-0.5x-s0" for name in methods]
    expected += [f"results/{name.replace('/', '-')}" for name in (*pair, *(f"{name}-0.5x-s0" for name in methods))]
    assert [line[:2] for line in lines[1 : lines.index([])]] == [[name, "done"] for name in [*expected, "report"]]
    assert out.endswith("Nobody works on this run.\n")


def test_status_shows_what_a_lost_file_and_a_new_setting_do_and_who_works_on_the_run(run, capsys):
    arguments = ["--run", run.name, "--runs", str(run.parent)]
    Store(run).part_path("captions", 0).unlink()
    (run / "unlearned" / "negative_gradient-0.5x-s0" / "open_clip_model.safetensors").unlink()
    states = parts_by_status(run, capsys)
    assert states["captions"] == "partial" and states["personas"] == "done"
    assert states["unlearned/negative_gradient-0.5x-s0"] == "new" and states["models/clean"] != "new"
    with run_lock(run):
        cli.main(["status", *arguments])
    assert f"Under way: process {os.getpid()} on " in capsys.readouterr().out
    (run / ".lock").write_text(json.dumps({"host": "there", "pid": 7, "since": "2026-01-02T03:04:05"}))
    cli.main(["status", *arguments])
    out = capsys.readouterr().out
    assert "Stopped: process 7 on there, since 2026-01-02 03:04:05, died" in out
    assert f"not up to date: salmu run --run {run.name} --runs {run.parent}" in out
    cli.main(["plan", *arguments, "--set", "curation.min_portraits=6"])
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert "done" in rows["analysis"] and "stale" in rows["curation"] and "stale" in rows["assembly"]


def flip(path: Path, place: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)


def test_verify_says_what_it_checked_and_names_a_damaged_file_with_the_command_that_makes_it_again(run, capsys):
    arguments = ["verify", "--run", run.name, "--runs", str(run.parent)]
    cli.main(arguments)
    out = capsys.readouterr().out
    assert "all as they should be" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:15]}
    assert list(rows) == [*STAGES, "dataset", "models", "unlearned", "results", "leaderboard"]
    assert rows["results"][0] == "8" and all(int(files) and problems == "0" for files, _, problems in rows.values())
    path = run / "unlearned" / "negative_gradient-0.5x-s0" / "open_clip_model.safetensors"
    flip(path)
    with pytest.raises(SystemExit) as caught:
        cli.main([*arguments, "--json"])
    assert caught.value.code == 2
    told = capsys.readouterr()
    problem, of_its_results = json.loads(told.out)["problems"]
    assert of_its_results["path"] == str(run / "results" / "negative_gradient-0.5x-s0.json")
    again = f"salmu run --run {run.name} --runs {run.parent}"
    assert problem["path"] == str(path) and problem["command"] == f"rm -r {path.parent} && {again}"
    assert told.err.startswith("error: ") and "2 of " in told.err


KINDS = {
    "a shard": "portraits/part-00001.parquet",
    "rejects": "anchors/rejects-00000.parquet",
    "a manifest": "personas/manifest.json",
    "Parquet of the dataset": "dataset/data/forget-*.parquet",
    "a tar of the dataset": "dataset/webdataset/forget-000000.tar",
    "the dataset's card": "dataset/README.md",
    "provenance": "dataset/provenance.json",
    "the plan of the pair": "models/pair_plan.json",
    "the choice of the fragile set": "models/fragile_set.json",
    "Clean's weights": "models/clean/open_clip_model.safetensors",
    "Clean's tokenizer": "models/clean/tokenizer.json",
    "Clean's record": "models/clean/training.json",
    "weights of a further pair": "models/s1/compromised/open_clip_model.safetensors",
    "unlearned weights": "unlearned/negative_gradient-0.5x-s0/open_clip_model.safetensors",
    "an unlearned model's record": "unlearned/negative_gradient-0.5x-s0/unlearning.json",
    "results": "results/compromised.json",
    "the leaderboard": "leaderboard.jsonl",
}


@pytest.mark.parametrize("kind", KINDS)
def test_verify_sees_one_flipped_byte_in_a_file_of_every_kind(kind, runs):
    (path,) = (runs / "whole").glob(KINDS[kind])
    content = path.read_bytes()
    flip(path, content.index(b'"sha256"') + 20 if kind == "a manifest" else None)
    try:
        named = {file.path for file in checked(Store(runs / "whole")) if file.problem}
    finally:
        path.write_bytes(content)
    if kind == "a manifest":  # the digest that it holds is none, or that of another file
        named = {path if file.name == "part-00000.parquet" else file for file in named}
    assert path in named and len(named) <= 2  # weights that changed are no longer those that the results are of


def test_verify_reads_the_records_of_older_versions(run):
    for name in ("training.json", "unlearning.json"):
        for path in (run / "models").rglob(name) if name == "training.json" else (run / "unlearned").rglob(name):
            record = json.loads(path.read_text())
            for key in ("files", "content_digest", *(["model_digest"] if name == "training.json" else [])):
                del record[key]
            path.write_text(json.dumps(record))
    assert not [file for file in checked(Store(run)) if file.problem]
    path = run / "unlearned" / "negative_gradient-0.5x-s0" / "open_clip_model.safetensors"
    flip(path)
    assert path in {file.path for file in checked(Store(run)) if file.problem}  # by the digest of its weights


def test_one_stage_with_another_setting_says_what_is_stale_and_the_rest_follows(run, capsys):
    where = ["--run", run.name, "--runs", str(run.parent)]
    arguments = [*where, "--runner", "thread"]
    cli.main(["stage", "captions", *arguments, "--set", "captions.seed=5"])
    assert "stale now: assembly" in capsys.readouterr().out
    states = parts_by_status(run, capsys)
    below = ("assembly", "dataset", "models/", "unlearned/", "results/", "report")
    assert {states[name] for name in states if name.startswith(below)} == {"stale"}
    assert {states[name] for name in STAGES if name != "assembly"} == {"done"}
    before = dataset_digest(run)
    cli.main(["run", *arguments, "--until", "dataset"])
    assert dataset_digest(run) != before


def test_a_stage_refuses_to_stand_on_something_stale(run, capsys):
    with pytest.raises(SystemExit):
        cli.main(
            [
                "stage",
                "captions",
                "--run",
                run.name,
                "--runs",
                str(run.parent),
                "--runner",
                "thread",
                "--set",
                "curation.min_portraits=6",
            ]
        )
    err = capsys.readouterr().err
    assert err.startswith("error: stage captions reads curation, which is stale") and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["run", "--profile", "tiny", "--set", "portraits.per_identtiy=3"], "unknown key 'portraits.per_identtiy'"),
        (["run", "--profile", "tiny", "--set", "portraits"], "write stage.key=value"),
        (["run", "--profile", "nowhere"], "no profile 'nowhere'"),
        (["run", "--set", "candidates.source=images", "--set", "candidates.images=/no/such/folder"], "/no/such/folder"),
        (["status", "--run", "never"], "no run in"),
        (["evaluate", "--model", "nowhere", "--dataset", "nowhere", "--out", "x.json"], "nowhere"),
        (["unlearn", "oblivion", "--model", "nowhere", "--dataset", "nowhere", "--out", "x"], "oblivion"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, prefect_server, tmp_path, capsys):
    if arguments[0] in ("run", "status"):
        arguments = [*arguments, "--runs", str(tmp_path / "runs")]
    if arguments[0] == "run":
        arguments += ["--runner", "thread"]
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize("command", [["run"], ["stage", "captions"], ["publish", "--to", "elsewhere"]])
def test_while_a_process_works_on_a_run_another_is_refused_before_a_server_starts(command, runs, monkeypatch, capsys):
    def no_server():
        raise AssertionError("a server was started")

    for server in ("everything.api_server", "dataset.api_server", "running.processes.server_ahead"):
        monkeypatch.setattr(f"salmu.flows.{server}", no_server)
    with run_lock(runs / "whole"), pytest.raises(SystemExit):
        cli.main([*command, "--run", "whole", "--runs", str(runs)])
    assert f"another process works on this run (process {os.getpid()} on " in capsys.readouterr().err
    assert not Path("elsewhere").exists()


def test_a_report_and_a_gallery_of_a_run_under_way_say_so_and_show_what_there_is(run, capsys):
    with run_lock(run):
        for command in ("report", "gallery"):
            cli.main([command, "--run", run.name, "--runs", str(run.parent)])
            told = capsys.readouterr()
            assert told.err.startswith("note: this run is under way (process") and f"{command}: " in told.out
    cli.main(["gallery", "--run", run.name, "--runs", str(run.parent)])
    assert "under way" not in capsys.readouterr().err


def test_a_lock_tells_who_holds_the_run_and_that_a_holder_died(tmp_path):
    hold = "import os, sys, pathlib; from salmu.flows.running.lock import run_lock; "
    hold += "lock = run_lock(pathlib.Path(sys.argv[1])); lock.__enter__(); os._exit(9)"
    assert holder(tmp_path) is None
    with run_lock(tmp_path):
        mine = holder(tmp_path)
        assert mine.alive and mine.pid == os.getpid() and mine.host and mine.since
    assert holder(tmp_path) is None
    died = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)])
    died.wait()
    assert holder(tmp_path)._replace(since="", host="") == ("", died.pid, "", False)
    with run_lock(tmp_path):  # nobody has to remove anything
        assert holder(tmp_path).alive


@pytest.mark.parametrize(
    "content", [b'{"host": "caf\xe9"}', b'{"host": "a", "pid": 1e999, "since": ""}', b"[" * 9999, b"[]", b" " * 2**17]
)
def test_a_damaged_lock_is_one_that_nobody_holds_unless_the_system_says_so(content, tmp_path):
    lock = tmp_path / ".lock"
    lock.write_bytes(content)
    assert holder(tmp_path) is None
    with run_lock(tmp_path):
        lock.write_bytes(content)
        assert holder(tmp_path) == ("", 0, "", True)
    with run_lock(tmp_path):
        assert holder(tmp_path).pid == os.getpid()


def test_the_examples_of_the_python_functions_hold_and_a_second_run_finds_everything_done(run, tmp_path, monkeypatch):
    mine = Path(shutil.move(run, tmp_path / "runs" / "mine"))
    made = [path for part in ("dataset", "models", "unlearned", "results") for path in (mine / part).rglob("*.*")]
    stamps = [path.stat().st_mtime_ns for path in made]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALMU_RUNNER", "thread")
    done = doctest.testmod(api, optionflags=doctest.ELLIPSIS)  # one of them is salmu.run
    assert not done.failed and done.attempted >= 20
    assert len(made) > 20 and stamps == [path.stat().st_mtime_ns for path in made]


def test_the_notebook_runs(runs, monkeypatch):
    monkeypatch.setenv("SALMU_RUN", str(runs / "whole"))
    notebook = json.loads((Path(__file__).parents[2] / "docs" / "python.ipynb").read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "outputs are not kept"
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert list(names["table"].columns) == [
        "value",
        "low",
        "high",
        "chance",
        "should_be",
        "clean",
        "compromised",
        "retrained",
    ]
    assert names["results"].to_dict()["extended"]["model"] == names["forgot"].name


def test_ctrl_c_ends_a_run_at_once_and_leaves_no_process(runs, tmp_path):
    command = [sys.executable, "-m", "salmu", *words_of("stopped", tmp_path, "--until", "dataset", "--workers", "1")]
    command += ["--set", "portraits.per_identity=200"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    manifest = tmp_path / "stopped" / "portraits" / "manifest.json"
    deadline = time.monotonic() + 200
    while not manifest.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: stopped; finished work is kept; run the same command to continue"
    assert not [child for child in psutil.wait_procs(children, timeout=10)[1]]
    assert Store(tmp_path / "stopped").manifest("anchors").complete
