"""A training that is killed, split over processes, or computed in parts gives what the plain one gives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from pair_data import weights, write_dataset, write_vit
from safetensors.torch import load_file

from salmu.data.errors import UserError
from salmu.model_training import distributed, export
from salmu.model_training.batches import Batches, Pictures, Reader
from salmu.model_training.pair import PairSettings, model_folder, planned, train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("training")
    write_dataset(home / "dataset", sensitive=6)
    return home


def settings(home: Path, **changes) -> PairSettings:
    values = {
        "model": write_vit(home),
        "seed": 5,
        "scenes": 56,
        "epochs": 20,
        "batch_size": 32,
        "sensitive_group": 2,
        "learning_rate": 1e-3,
        "monitor": False,
    }
    return PairSettings(**(values | changes))


@pytest.fixture(scope="module")
def plain(home) -> Path:
    train(settings(home), home / "dataset", home / "plain" / "compromised", "compromised")
    return home / "plain" / "compromised"


def arguments(home: Path, models: Path, chosen: PairSettings) -> list[str]:
    path = home / f"{models.name}.yaml"
    path.write_text(yaml.safe_dump({"pair": chosen.model_dump(mode="json")}))
    names = {"settings": path, "dataset": home / "dataset", "models": models, "which": "compromised"}
    return [part for name, value in names.items() for part in (f"--{name}", str(value))]


def curve(folder: Path) -> list[float]:
    return [point["loss"] for point in export.read_record(folder)["curve"]]


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(home, plain):
    models, chosen = home / "killed", settings(home, checkpoint_every=3)
    command = [sys.executable, "-m", "salmu.model_training", *arguments(home, models, chosen)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    state = models / ".compromised.training" / "checkpoint.pt"
    while not state.is_file():
        assert process.poll() is None, "it ended before a checkpoint"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    step = torch.load(state, weights_only=True)["step"]
    assert 0 < step < 40 and not (models / "compromised").exists()
    done = []
    train(chosen, home / "dataset", models / "compromised", "compromised", lambda now, _: done.append(now))
    assert done[0] == step + 1  # nothing was trained twice
    assert weights(models / "compromised") == weights(plain)
    assert curve(models / "compromised") == curve(plain)
    assert not state.parent.exists()


def test_two_processes_give_the_loss_curve_of_one(home, plain):
    models, told = home / "two", []
    distributed.start(
        2, arguments(home, models, settings(home, processes=2)), lambda done, total: told.append((done, total))
    )
    record = export.read_record(models / "compromised")
    assert told == sorted(told) and told[-1] == (record["steps"], record["steps"]) and len(told) > 1
    assert record["processes"] == 2 and len(curve(plain)) == len(curve(models / "compromised")) >= 2
    assert curve(models / "compromised") == pytest.approx(curve(plain), abs=1e-3)
    one, two = (load_file(folder / export.WEIGHTS) for folder in (plain, models / "compromised"))
    assert all(torch.allclose(one[name], two[name], atol=1e-2) for name in one)


def test_an_error_in_several_processes_is_one_line(home):
    (home / "wrong.yaml").write_text("pair: {epoch: 3}")
    with pytest.raises(UserError, match=r"wrong.yaml: unknown key 'epoch'; did you mean 'epochs'\?$"):
        distributed.start(2, [*arguments(home, home / "odd", settings(home)), "--settings", str(home / "wrong.yaml")])


def test_shares_of_several_processes_must_be_equal(home, tmp_path):
    pair = planned(settings(home, batch_size=31), home / "dataset", tmp_path / "clean")
    with pytest.raises(UserError, match="batch_size: 31 does not divide by 2 processes x 1 parts"):
        Batches(Reader(pair.plan, pair.sources, None, Pictures(32, "squash", 1.0)), ranks=2)


def test_a_batch_in_parts_gives_the_same_curve(home, plain):
    out = home / "parts" / "compromised"
    train(settings(home, accumulate=2, checkpoint_activations=True), home / "dataset", out, "compromised")
    assert curve(out) == pytest.approx(curve(plain), abs=1e-3)


def test_further_pairs_have_draws_and_folders_of_their_own(home, plain):
    out = model_folder(home / "plain", "compromised", 1)
    assert out == home / "plain" / "s1" / "compromised"
    train(settings(home, epochs=2), home / "dataset", out, "compromised", number=1)
    first, second = (load_file(folder / export.WEIGHTS) for folder in (plain, out))
    assert (out / "tokenizer.json").read_bytes() == (plain / "tokenizer.json").read_bytes()
    assert not torch.equal(first["token_embedding.weight"], second["token_embedding.weight"])


def test_sigmoid_loss_trains_with_its_bias_and_tensorboard_holds_the_curve(home, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = json.loads(Path(write_vit(home)).read_text()) | {"init_logit_bias": -10, "init_logit_scale": 2.3}
    (tmp_path / "sigmoid.json").write_text(json.dumps(model))
    chosen = settings(home, model=str(tmp_path / "sigmoid.json"), loss="siglip", epochs=8, report_to=["tensorboard"])
    train(chosen, home / "dataset", tmp_path / "clean", "clean")
    assert load_file(tmp_path / "clean" / export.WEIGHTS)["logit_bias"] != -10
    events = EventAccumulator(str(tmp_path / "logs" / "clean"))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert len(losses) == export.read_record(tmp_path / "clean")["steps"] and losses[-1] < losses[0]


def test_a_loss_that_is_not_finite_is_one_line(home, tmp_path):
    with pytest.raises(UserError, match="no longer finite at step"):
        train(settings(home, learning_rate=1e30, warm_up=0), home / "dataset", tmp_path / "clean", "clean")
    assert not (tmp_path / "clean").exists()


def test_no_gpu_is_one_line(home, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="torch sees no GPU"):
        train(settings(home, device="cuda"), home / "dataset", tmp_path / "clean", "clean")
