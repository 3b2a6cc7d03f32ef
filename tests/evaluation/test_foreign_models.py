"""A model that names code of its own, or is broken, is one line from every command that takes a model."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from published import write_model
from safetensors.torch import load_file, save_file

from salmu.data.errors import UserError
from salmu.flows.command_line import cli
from salmu.tasks.labels import load_zero_shot

COMMANDS = {
    "evaluate": "evaluate --model {model} --dataset {data} --out {out}",
    "unlearn": "unlearn finetuning --model {model} --dataset {data} --budget 1 --out {out}",
    "level_model": "unlearn structure_distillation --model {good} --dataset {data} --budget 1 --out {out} "
    "--set unlearning.methods.structure_distillation.level_model={model}",
    "run": "run --profile smoke --runs {out} --set analysis.clip={model}",
    "stage": "stage analysis --profile smoke --runs {out} --set analysis.clip=local-dir:{model}",
    "tune": "tune finetuning --model {model} --dataset {data} --out {out}",
    "submission": "submission --model {model} --compromised {good} --dataset {data} --results {good}/results.json",
    "compromised": "submission --model {good} --compromised {model} --dataset {data} --results {good}/results.json",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> dict[str, Path]:
    """Folders that are not used: one that names code, one with a weight that is no number."""
    home = tmp_path_factory.mktemp("broken")
    code = write_model(home / "code")
    about = json.loads((code / "tokenizer_config.json").read_text())
    about |= {"auto_map": {"AutoTokenizer": ["tokens.Tokens", None]}, "tokenizer_class": "Tokens"}
    (code / "tokenizer_config.json").write_text(json.dumps(about))
    (code / "tokens.py").write_text(f"open({str(home / 'marker')!r}, 'w').write('code of the folder ran')\n")
    numbers = write_model(home / "numbers")
    weights = load_file(numbers / "open_clip_model.safetensors")
    weights["visual.proj"][0] = float("nan")
    save_file(weights, numbers / "open_clip_model.safetensors")
    return {"code": code, "numbers": numbers, "marker": home / "marker"}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No network, and nobody at the terminal."""

    def refuse(*_):
        raise AssertionError("asked the network or the terminal")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("builtins.input", refuse)


SAID = {
    "code": "tokenizer_config.json: names code in the folder (auto_map), and foreign code is never run",
    "numbers": "weight visual.proj is not finite",
}


@pytest.mark.parametrize(
    ("command", "kind"), [*((command, "code") for command in COMMANDS), ("evaluate", "numbers"), ("tune", "numbers")]
)
def test_it_is_refused_in_one_line(command, kind, broken, model_dir, dataset_dir, tmp_path, capsys):
    shutil.copytree(model_dir, tmp_path / "good")
    places = {"model": broken[kind], "good": tmp_path / "good", "data": dataset_dir, "out": tmp_path / "out"}
    with pytest.raises(SystemExit) as ended:
        cli.main(COMMANDS[command].format(**places).split())
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1 and SAID[kind] in error
    assert not broken["marker"].exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["evaluate", "tune", "submission", "compromised"])
def test_so_is_a_repository_that_lies_in_the_hubs_cache(
    command, broken, model_dir, dataset_dir, tmp_path, capsys, monkeypatch
):
    cached = tmp_path / "hub" / "models--someone--code"
    shutil.copytree(broken["code"], cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(model_dir, tmp_path / "good")
    for repository, said in (("code", SAID["code"].partition(": ")[2]), ("none", "cannot be fetched from the hub")):
        name = f"hf-hub:someone/{repository}"
        places = {"model": name, "good": tmp_path / "good", "data": dataset_dir, "out": tmp_path / "out"}
        with pytest.raises(SystemExit):
            cli.main(COMMANDS[command].format(**places).split())
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and said in error
    assert not broken["marker"].exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["{}", "local-dir:{}"])
def test_so_is_the_model_of_the_analysis(name, broken):
    with pytest.raises(UserError, match="names code in the folder .auto_map."):
        load_zero_shot(name.format(broken["code"]), "cpu")
    assert not broken["marker"].exists()
