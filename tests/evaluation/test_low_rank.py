"""Unlearning with a rank: what is learned is a small file that, put into the start model, gives the unlearned one."""

import json
import shutil

import pytest
import torch
from published import write_model
from safetensors.torch import load_file, save_file

from salmu.data.errors import UserError
from salmu.data.readers import open_dataset
from salmu.data.settings import validate
from salmu.evaluation.unlearning.low_rank import FILE, LowRank, merge, read_edit
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import unlearn
from salmu.flows.command_line import cli

WEIGHTS = "open_clip_model.safetensors"
SETTINGS = {"budget": 0.5, "batch_size": 8, "threads": 1, "rank": 2, "learning_rate": 1e-2}


def forgotten(model_dir, dataset_dir, out, name="negative_gradient", **more):
    unlearn(name, validate(get(name).settings, SETTINGS | more, name), model_dir, dataset_dir, out)
    return out


@pytest.fixture(scope="module")
def unlearned(model_dir, dataset_dir, tmp_path_factory):
    return forgotten(model_dir, dataset_dir, tmp_path_factory.mktemp("low_rank") / "forgot")


def test_gradients_and_weights_are_those_of_autograd():
    start = {"matrix": torch.randn(5, 4, dtype=torch.float64), "kernel": torch.randn(3, 2, 2, 2, dtype=torch.float64)}
    weights = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    change = LowRank(start, weights | {"bias": torch.nn.Parameter(torch.zeros(5))}, 2, 0, "test")
    assert len(change.parameters) == 4
    with torch.no_grad():
        for up in change.ups.values():
            up.normal_()
    change.put()

    def loss(matrix, kernel):
        return (matrix.sin().sum() + (kernel * kernel).sum()) ** 2

    loss(**weights).backward()
    change.take_gradients()
    found = [part.grad.clone() for part in change.parameters]
    wanted = {name: value + (change.ups[name] @ change.downs[name]).view_as(value) for name, value in start.items()}
    assert all(torch.allclose(weights[name], value) for name, value in wanted.items())
    assert all(weight.grad is None for weight in weights.values())
    for one, other in zip(found, torch.autograd.grad(loss(**wanted), change.parameters), strict=True):
        torch.testing.assert_close(one, other)


def test_the_change_has_its_rank_and_vectors_stay(model_dir, unlearned):
    before, after = load_file(model_dir / WEIGHTS), load_file(unlearned / WEIGHTS)
    moved = 0
    for name, value in before.items():
        apart = (after[name] - value).double()
        if value.ndim < 2:
            assert not apart.any()
        else:
            values = torch.linalg.svdvals(apart.flatten(1))
            moved += int(values[0] > 0)
            assert (values[2:] < 1e-4 * values[0].clamp_min(1e-9)).all()
    assert moved > 5
    assert json.loads((unlearned / "unlearning.json").read_text())["files"].keys() >= {FILE, WEIGHTS}
    assert (unlearned / FILE).stat().st_size < (unlearned / WEIGHTS).stat().st_size / 3


def test_merged_into_the_start_model_it_is_the_unlearned_one(model_dir, unlearned, tmp_path, capsys):
    command = ["merge", "--edit", str(unlearned / FILE), "--model", str(model_dir), "--out", str(tmp_path / "merged")]
    cli.main(command)
    assert "the unlearned model, to the bit" in capsys.readouterr().out
    assert (tmp_path / "merged" / WEIGHTS).read_bytes() == (unlearned / WEIGHTS).read_bytes()
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "there already; name another folder, or add --force" in capsys.readouterr().err
    cli.main([*command, "--force", "--json"])
    assert json.loads(capsys.readouterr().out)["same_bits"] is True


def test_a_killed_run_goes_on_to_the_same_bytes(model_dir, dataset_dir, unlearned, tmp_path):
    def stop(done, total):
        if done == 2:
            raise RuntimeError("killed")

    settings = validate(get("negative_gradient").settings, SETTINGS | {"checkpoint_every": 1}, "test")
    with pytest.raises(RuntimeError, match="killed"):
        unlearn("negative_gradient", settings, model_dir, dataset_dir, tmp_path / "forgot", stop)
    assert (tmp_path / ".forgot.unfinished" / "state.pt").is_file()
    unlearn("negative_gradient", settings, model_dir, dataset_dir, tmp_path / "forgot")
    assert all((tmp_path / "forgot" / name).read_bytes() == (unlearned / name).read_bytes() for name in (FILE, WEIGHTS))


def test_it_carries_a_method_that_pulls_back_and_moves_one_tower(model_dir, dataset_dir, tmp_path):
    few = {"strangers": 6, "others": 6, "pull_back": 1.0}
    out = forgotten(model_dir, dataset_dir, tmp_path / "out", "stranger_targets", **few)
    assert not [name for name in read_edit(out / FILE)[1] if name.startswith("visual.")]
    assert merge(out / FILE, model_dir, tmp_path / "merged")


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("task_vector_negation", {}, "no rank, since it edits the weights after its steps"),
        ("salun", {}, "no rank, since it changes single elements"),
        ("finetuning", {"optimiser": "muon"}, "rank needs optimiser adamw"),
    ],
)
def test_what_a_low_rank_cannot_carry_is_refused(name, more, said, model_dir, dataset_dir, tmp_path):
    with pytest.raises(UserError, match=said):
        forgotten(model_dir, dataset_dir, tmp_path / "out", name, **more)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_edit_of_this_model_is_refused_in_one_line(model_dir, unlearned, tmp_path):
    other = write_model(tmp_path / "other", seed=1)
    edit, tensors = read_edit(unlearned / FILE)
    name = min(tensors).removesuffix(".down")
    about = {"edit": edit.model_dump_json()}

    def written(changed, metadata=about):
        save_file(changed, tmp_path / "changed.safetensors", metadata)
        return tmp_path / "changed.safetensors"

    (tmp_path / "cut.safetensors").write_bytes((unlearned / FILE).read_bytes()[:-10])
    for file, model, said in (
        (unlearned / FILE, other, "made from the model [0-9a-f]{32}, and .* is [0-9a-f]{32}"),
        (unlearned / WEIGHTS, model_dir, "weights, but not an edit that salmu unlearn wrote"),
        (tmp_path / "cut.safetensors", model_dir, "cannot be loaded, damaged"),
        (tmp_path / "none.safetensors", model_dir, "no such file"),
    ):
        with pytest.raises(UserError, match=said):
            merge(file, model, tmp_path / "out")
    shapes = {f"{name}.down": tensors[f"{name}.down"][:, 1:].contiguous()}
    for changed, metadata, said in (
        (tensors | shapes, about, f"{name}: of another shape"),
        (
            {key: value for key, value in tensors.items() if key != f"{name}.up"},
            about,
            f"{name}: no change of a weight",
        ),
        (
            tensors | {"nothing.up": torch.zeros(2, 2), "nothing.down": torch.zeros(2, 2)},
            about,
            "nothing: no change of",
        ),
        (tensors | {f"{name}.up": tensors[f"{name}.up"] * float("nan")}, about, "not finite"),
        (tensors, {"edit": "{"}, "not JSON"),
        (tensors, {"edit": json.dumps(edit.model_dump() | {"run": "code"})}, "unknown key 'run'"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            merge(written(changed, metadata), model_dir, tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_dataset_and_an_edit_make_a_model_that_is_scored_as_any(model_dir, dataset_dir, unlearned, tmp_path, quick):
    from salmu.evaluation.scoring.evaluate import evaluate_once

    merge(unlearned / FILE, model_dir, tmp_path / "merged")
    shutil.copytree(unlearned, tmp_path / "unlearned")
    digests = []
    for which in ("merged", "unlearned"):
        evaluate_once(quick, tmp_path / which, open_dataset(dataset_dir).folder, tmp_path / f"{which}.json")
        digests.append(json.loads((tmp_path / f"{which}.json").read_text())["efficacy"])
    assert digests[0] == digests[1]
