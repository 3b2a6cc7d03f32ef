"""`salmu check`: what it finds of machine, packages and weights, and one item through every engine. Its parts run in
this process, but for those that try the processes themselves; the machine's GPU is made up."""

import json
import sys
from pathlib import Path

import checkpoints
import pytest
import torch
from fake_server import Answer, FakeServer
from safetensors.torch import save_file

from benchmarks import gpu_check
from salmu.data.errors import UserError
from salmu.data.store import Store
from salmu.flows.command_line import cli
from salmu.flows.command_line.plan import plan_rows
from salmu.flows.machine_check import __main__ as parts
from salmu.flows.machine_check import check, isolated, machine, packages, weights
from salmu.flows.machine_check.findings import FAILED, NOT_CHECKED, NOTE, OK
from salmu.flows.machine_check.measured_rates import Measured, keep, kept
from salmu.flows.names import PARTS, parts_until
from salmu.flows.settings import load_profile

H200 = {"name": "NVIDIA H200", "memory_gb": 150.7, "capability": "9.0", "bfloat16": True, "computes": True}
NO_GPU = {"torch": "2", "cuda": None, "devices": [], "onnxruntime": "1", "providers": ["CPUExecutionProvider"]}


@pytest.fixture
def here(monkeypatch, tmp_path):
    """The parts of a check in this process, with two items of each engine."""
    folders = iter(range(100))

    def in_this_process(name: str, settings, limit: float) -> isolated.Outcome:
        folder, records = tmp_path / f"part-{next(folders)}", []
        folder.mkdir()
        try:
            records += json.loads(json.dumps(list(parts.part_of_check(name, settings, folder))))
        except UserError as error:
            return isolated.Outcome(records, str(error))
        return isolated.Outcome(records)

    monkeypatch.setattr(parts, "LONG", 0.0)
    monkeypatch.setattr(check, "isolated", in_this_process)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def lines(found: list, part: str) -> dict[str, tuple[str, str]]:
    return {finding.what: (finding.state, finding.detail) for finding in found if finding.part == part}


def test_every_real_engine_makes_its_items_and_the_plan_takes_what_was_measured(here, tmp_path, capsys):
    (tmp_path / "weights").mkdir()
    profile = gpu_check.profile(tmp_path / "weights", tiny=True)
    with FakeServer(lambda prompt, times, server: Answer(server.good(prompt) if "[[N]]" in prompt else "{}")) as server:
        words = ["--profile", str(profile), "--runs", str(tmp_path / "runs"), "--set", "captions.engine=openai"]
        words += ["--set", f"captions.openai.base_url={server.url}"]
        cli.main(["check", *words, "--json", "--keep", "-q"])
    found = json.loads(capsys.readouterr().out)
    assert [form.split(" sentences")[0] for form in found["placeholder_forms"]] == [
        "[[N]] [[V]]: both kept in 40 of 40",
        "$N $V: both kept in 0 of 40",
        "<N> <V>: both kept in 0 of 40",
    ]
    assert found["failed"] == 0 and found["not_checked"] == (0 if torch.cuda.is_available() else 1)
    assert {row["tried"]: row["state"] for row in found["engines"]} == dict.fromkeys(check.TRIED, OK)
    assert all(row["s an item"] > 0 and row["MB"] > 0 for row in found["engines"])
    named = {finding["what"].split("/")[0].strip(): finding for finding in found["findings"]}
    assert {"face pack", "FairFace", "base", "image encoder", "safety checker", "adapter"} <= set(named)
    cli.main(["plan", *words, "--json"])
    rates = {row["stage"]: row["rate"] for row in json.loads(capsys.readouterr().out)["stages"]}
    measured = {stage for stage, rate in rates.items() if rate.startswith("measured by salmu check")}
    assert measured == {"candidates", "portraits", "analysis", "captions"}
    cli.main(["plan", *words, "--json", "--set", "portraits.faceid.steps=3"])
    rates = {row["stage"]: row["rate"] for row in json.loads(capsys.readouterr().out)["stages"]}
    assert "salmu check" not in rates["portraits"] and "salmu check" in rates["analysis"]


def test_with_nothing_at_hand_each_engine_says_why_it_was_not_tried(here, tmp_path):
    settings = load_profile("paper", {"candidates.faces.root": str(tmp_path), "analysis.faces.root": str(tmp_path)})
    found = check.check(settings, tmp_path / "runs", "runs", 1.0, 60, parts_until("pair"))  # no metrics of a ViT-B/16
    said = lines(found.findings, "weights")
    assert said["FairFace weights/res34_fair_align_multi_7_20190809.pt"][0] == FAILED
    state, detail = said["language model google/gemma-3-12b-it"]
    assert state == NOT_CHECKED and "fetched at the first use; licence: Gemma Terms of Use" in detail
    assert lines(found.findings, "settings")["pair"] == (FAILED, "pair.retain: datacomp/shards: no such file or folder")
    reasons = {row["tried"]: row["detail"] for row in found.engines}
    assert "the weights of face pack buffalo_l" in reasons["candidates"] and not found.rates
    assert list(reasons) == [name for name in check.TRIED if name != "metrics"]
    assert torch.cuda.is_available() or reasons["training"] == "pair.device asks for CUDA, and there is no GPU here"


def test_a_failed_line_is_exit_code_2_and_one_line_on_stderr(monkeypatch, tmp_path, capsys):
    bad = check.Finding("machine", "disk", FAILED, "1 GB free")
    row = {"tried": "training", "engine": "x", "state": OK, "s an item": "", "detail": ""}
    monkeypatch.setattr(check, "check", lambda *_: check.Check([bad], [row], [], {}))
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "--profile", "tiny", "--runs", str(tmp_path), "-q"])
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and err == "error: check: 1 ok, 1 failed; the lines that failed say what to do\n"
    assert "1 GB free" in out and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "script, problem",
    [
        ("sleep 60 & sleep 60", "not finished within 0.5 s (--limit)"),
        ("kill -9 $$", "killed by the system, most likely because the memory of this machine is too small"),
        ("echo CUDA error: misaligned address >&2; exit 1", "CUDA error: misaligned address"),
        ("kill -11 $$", "ended by SIGSEGV"),
    ],
)
def test_what_hangs_or_crashes_ends_alone_and_what_it_said_before_is_kept(script, problem, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nprintf \'{{"loaded": 1}}\\n{{"items"\' > "$5"\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    outcome = isolated.isolated("portraits", load_profile("tiny"), limit=0.5)
    assert outcome == ([{"loaded": 1}], problem)


def test_a_part_writes_what_it_finds_and_a_problem_in_one_line(tmp_path):
    settings = load_profile("tiny", {"candidates.faces.pack": "/nowhere"})
    (tmp_path / "settings.json").write_text(settings.model_dump_json())
    for name in ("weights", "candidates"):
        parts.main(name, str(tmp_path / "settings.json"), str(tmp_path / f"{name}.jsonl"))
    (record,) = map(json.loads, (tmp_path / "weights.jsonl").read_text().splitlines())
    assert [stage for stage, _ in record["weights"]] == ["candidates", "analysis", "analysis"]
    (record,) = map(json.loads, (tmp_path / "candidates.jsonl").read_text().splitlines())
    assert record["problem"].endswith("or to 'embedded'")


def test_batches_grow_until_they_take_long_or_the_memory_is_full(monkeypatch, tmp_path):
    def make(count: int) -> parts.Any:
        if count > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return engines.Made("made", seconds=0.5 * count)

    from salmu.flows.machine_check import engines

    monkeypatch.setitem(engines.ENGINES, "portraits", lambda settings, folder: engines.Trial(make, 40))
    records = list(parts.tried("portraits", load_profile("tiny"), tmp_path))
    assert [record["items"] for record in records if "items" in record] == [1, 4, 16]
    row = check.told(records, "", only_a_cpu=False)
    assert row["s an item"] == 0.5 and row["detail"] == "made; 40 at once are too much for the memory"
    row = check.told(records[:2], late := "not finished within 9 s (--limit)", only_a_cpu=False)
    assert (row["state"], row["detail"]) == (NOTE, f"made; then {late}")
    assert check.told(records[:1], late, only_a_cpu=False)["state"] == FAILED
    assert check.told(records[:1], late, only_a_cpu=True)["state"] == NOT_CHECKED


# --------------------------------------------------------------------------------------------------------- findings


def test_weights_that_are_broken_are_named_and_a_card_tells_the_licence(tmp_path):
    clip = checkpoints.make_clip(tmp_path / "clip")
    (clip / "README.md").write_text("---\nlicense: other\nlicense_name: our-terms\n---\n# A model\n")
    settings = load_profile("tiny", {"analysis.clip": f"local-dir:{clip}"})

    def of_clip() -> tuple[str, str]:
        return lines([finding for _, finding in weights.weights(settings)], "weights")[f"CLIP local-dir:{clip}"]

    state, detail = of_clip()
    assert state == OK and "all finite; licence: our-terms" in detail
    save_file({"a": torch.tensor([1.0, float("nan")])}, clip / "open_clip_model.safetensors")
    assert of_clip() == (FAILED, f"{clip}/open_clip_model.safetensors: weight a is not finite (NaN or infinite); "
                         "the model is broken")  # fmt: skip
    (clip / "open_clip_model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "only a pointer of Git LFS" in of_clip()[1]
    (clip / "open_clip_model.safetensors").write_bytes(b"\0" * 100)
    assert "cannot be read, damaged or no weights" in of_clip()[1]
    (clip / "open_clip_model.safetensors").unlink()
    assert "no weights here" in of_clip()[1]


def test_packages_that_are_missing_or_clash_are_named(monkeypatch, tmp_path):
    for name, needs in (("ours", "theirs<2; extra == 'all'"), ("theirs", "absent>=1")):
        folder = tmp_path / f"{name}-3.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 3.0\nRequires-Dist: {needs}\nProvides-Extra: all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packages.clashes("ours", set()) == []
    assert packages.clashes("ours", {"all"}) == [
        "ours 3.0 asks for theirs<2, but 3.0 is installed",
        "theirs 3.0 needs absent>=1, which is not installed",
    ]
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(packages, "clashes", lambda *_: [])
    told = lines(packages.packages(load_profile("paper"), "s3://bucket/runs", PARTS), "packages")
    assert {extra for extra, (state, _) in told.items() if state == FAILED} == {*packages.EXTRAS}
    assert "pip install 'salmu[vllm]'" in told["vllm"][1]
    until_anchors = packages.packages(load_profile("photographs"), "runs", parts_until("anchors"))
    assert [finding.what for finding in until_anchors] == ["photographs", "versions"]


def test_the_machine_is_told_and_what_is_wrong_with_it(monkeypatch, tmp_path):
    driver = [{"name": "NVIDIA H200", "driver_version": "570.1", "memory.free": "143000"}]
    monkeypatch.setattr(machine, "nvidia_smi", lambda: driver)
    gpu = NO_GPU | {"cuda": "12.8", "devices": [H200]}
    told = lines(machine.machine(tmp_path / "runs", 1.0, gpu, ""), "machine")
    assert told["GPU 0"] == (OK, "NVIDIA H200, 150.7 GB, compute capability 9.0, driver 570.1, 143000 MiB free")
    assert "face packs run on the CPU" in told["onnxruntime"][1] and told["disk"][0] == OK
    told = lines(machine.machine(tmp_path / "runs", 1e12, NO_GPU, ""), "machine")
    assert told["GPU"][0] == FAILED and "torch does not see it" in told["GPU"][1] and told["disk"][0] == FAILED
    told = lines(machine.machine(tmp_path, 1.0, None, "ended by SIGSEGV"), "machine")
    assert told["torch"] == (FAILED, "ended by SIGSEGV")


def test_kept_rates_count_for_the_settings_that_they_were_measured_with(tmp_path):
    settings, store = load_profile("paper"), Store(tmp_path)
    keep(tmp_path, settings, {"portraits": Measured(0.25, "GPU", "measured by salmu check (NVIDIA H200)")})
    other = load_profile("paper", {"portraits.per_identity": 50, "portraits.faceid.steps": 20})
    assert kept(tmp_path, load_profile("paper", {"portraits.per_identity": 50})) and not kept(tmp_path, other)
    row = plan_rows(store, settings, 4, 1, kept(tmp_path, settings))[2]
    assert row["hours of work"] == round(100_000 * 0.25 / 3600, 3) and row["rate"].endswith("(NVIDIA H200)")
    (tmp_path / "check.json").write_text('{"rates": {"portraits": {"seconds": NaN}}}')
    with pytest.raises(UserError, match=r"check\.json: damaged, or not JSON"):
        kept(tmp_path, settings)


def test_the_photograph_that_engines_are_tried_with_is_there():
    from salmu.flows.machine_check.engines import _photograph

    assert Path(_photograph()).is_file()
