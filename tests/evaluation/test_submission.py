"""What is handed in is checked against weights, data and record, not believed."""

import json
import shutil

import pytest
from published import write_model
from safetensors.torch import load_file, save_file

from salmu.data.errors import UserError
from salmu.data.publish.provenance import listing
from salmu.data.readers import open_dataset
from salmu.evaluation.scoring.evaluate import evaluate_once
from salmu.evaluation.verdicts.submission import check_submission
from salmu.model_training.loading.clip import load_model


@pytest.fixture(scope="module")
def handed_in(quick, model_dir, dataset_dir, tmp_path_factory):
    """A model that differs from Compromised, with its record and results."""
    home = tmp_path_factory.mktemp("submission")
    model = write_model(home / "model", seed=3)
    record = {
        "model_digest": load_model(model).weights_digest,
        "source_model_digest": load_model(model_dir).weights_digest,
        "dataset_digest": open_dataset(dataset_dir).digest,
        "saw": {"forget": {"split": "forget", "times": 48}, "retain": {"split": "retain_synth", "times": 48}},
    }
    (model / "unlearning.json").write_text(json.dumps(record))
    evaluate_once(quick, model, dataset_dir, home / "results.json")
    return home


@pytest.fixture
def files(handed_in, dataset_dir, tmp_path):
    shutil.copytree(handed_in, tmp_path / "home")
    shutil.copytree(dataset_dir, tmp_path / "dataset")
    return tmp_path


def check(files, model_dir):
    return check_submission(files / "home" / "model", model_dir, files / "dataset", files / "home" / "results.json")


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_an_honest_submission_is_accepted(files, model_dir):
    found = check(files, model_dir)
    assert "the weights differ from Compromised's" in found and any(
        "seen: forget, retain_synth" in one for one in found
    )


def untouched(files, model_dir):
    """Compromised itself, saved with noise that half precision does not see."""
    weights = load_file(model_dir / "open_clip_model.safetensors")
    weights = {name: value * (1 + 1e-7) for name, value in weights.items()}
    save_file(weights, files / "home" / "model" / "open_clip_model.safetensors")


def other_data(files, model_dir):
    edit(files / "dataset" / "identities_metadata.json", lambda people: people["00000000"].update(city="Elsewhere"))


@pytest.mark.parametrize(
    "cheat, said",
    [
        (untouched, "the weights differ from Compromised's; the record is of these weights"),
        (other_data, "the method was given this dataset; the results are on this dataset"),
        (
            lambda files, model_dir: edit(
                files / "home" / "model" / "unlearning.json",
                lambda record: record["saw"].update(more={"split": "holdout_identity"}),
            ),
            "no holdout was touched .seen: forget, holdout_identity, retain_synth",
        ),
        (
            lambda files, model_dir: edit(
                files / "home" / "model" / "unlearning.json", lambda record: record.pop("saw")
            ),
            "seen: nothing recorded",
        ),
        (
            lambda files, model_dir: edit(
                files / "home" / "results.json", lambda results: results["efficacy"].pop("1.3_ACS")
            ),
            "all ten metrics were measured but ACS",
        ),
        (
            lambda files, model_dir: edit(
                files / "home" / "results.json", lambda results: results["extended"].update(model_digest="0")
            ),
            "not accepted; these checks fail: the results are of these weights$",
        ),
        (lambda files, model_dir: (files / "home" / "results.json").unlink(), "results.json: no such file"),
        (lambda files, model_dir: (files / "home" / "results.json").write_text("[]"), "results.json: .*dictionary"),
        (
            lambda files, model_dir: edit(
                files / "home" / "results.json",
                lambda results: results["efficacy"].update({"1.1_RetFail": {"MRR": "1"}}),
            ),
            "results.json: efficacy.1.1_RetFail.MRR",
        ),
        (
            lambda files, model_dir: edit(
                files / "home" / "model" / "unlearning.json", lambda record: record.update(saw=["forget"])
            ),
            "unlearning.json: saw",
        ),
        (
            lambda files, model_dir: (files / "home" / "model" / "unlearning.json").write_text('{"seconds": NaN}'),
            "NaN is not a number that JSON has",
        ),
        (lambda files, model_dir: (files / "home" / "results.json").write_text("{"), "damaged, or not JSON"),
    ],
)
def test_what_does_not_hold_is_named_in_one_line(files, model_dir, cheat, said):
    cheat(files, model_dir)
    with pytest.raises(UserError, match=said) as error:
        check(files, model_dir)
    assert "\n" not in str(error.value)


def test_a_changed_file_is_found_although_provenance_still_tells_the_old_digest(files, model_dir):
    folder = files / "dataset"
    told = {"layout": 2, "settings": {}, "models": [], "stages": {}, "packages": {}, "inputs_digest": "0" * 32}
    told["dataset_digest"] = open_dataset(folder).digest
    (folder / "provenance.json").write_text(json.dumps(told | {"files": listing(folder)}))
    check(files, model_dir)
    other_data(files, model_dir)
    (folder / "provenance.json").unlink()
    (folder / "provenance.json").write_text(json.dumps(told | {"files": listing(folder)}))
    with pytest.raises(UserError, match="checks fail: the files of the dataset are those that were published$"):
        check(files, model_dir)
