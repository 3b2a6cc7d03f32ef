import json

import numpy as np
import pytest
import torch
from published import write_model

from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.pictures import decode_files
from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.fragile import RECORD, REFERENCES, fragile_digest, fragile_set, measure_strengths
from salmu.model_training.loading.clip import load_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three random reference models, and others that have no say."""
    folder = tmp_path_factory.mktemp("pair")
    for seed, name in enumerate((*REFERENCES, "retrained-2")):
        model = write_model(folder / name, seed)
        (model / "training.json").write_text(json.dumps({"model_digest": load_model(model).weights_digest}))
    return folder


@pytest.fixture(scope="module")
def measured(models, quick, dataset_dir):
    measure_strengths(quick, models, ("clean", "compromised", "retrained", "retrained-2"), dataset_dir)
    return models / RECORD


@torch.inference_mode()
def cosines(model, dataset) -> np.ndarray:
    """Of each row of retain_disjoint, one row at a time."""
    clip, found = load_model(model), []
    for row in dataset.table("retain_disjoint").to_pylist():
        (picture,) = decode_files([(row["file_name"], row["image"]["bytes"])])
        image = clip.network.encode_image(clip.preprocess(picture)[None])
        found.append(torch.cosine_similarity(image, clip.network.encode_text(clip.tokenizer([row["text"]]))).item())
    return np.array(found)


def test_the_rows_that_the_reference_models_learned_least_are_chosen(measured, models, dataset_dir):
    dataset = open_dataset(dataset_dir)
    names = dataset.table("retain_disjoint", "file_name").column("file_name").to_pylist()
    by_model = np.array([cosines(models / name, dataset) for name in REFERENCES])
    weakness = -((by_model - by_model.mean(1, keepdims=True)) / by_model.std(1, keepdims=True)).mean(0)
    chosen = fragile_set(models, 0.3, dataset.digest)
    assert chosen == [names[place] for place in np.argsort(-weakness)[:5]] and len(names) == 18
    fragile = np.isin(names, chosen)
    assert all(row[fragile].mean() < row.mean() for row in by_model)  # FragSim lies below the mean
    assert fragile_set(models, 1, dataset.digest)[:5] == chosen and not fragile_set(models, 0, dataset.digest)
    assert not fragile_set(models, 0.3, "0" * 32) and not fragile_set(models / "clean", 0.3, dataset.digest)
    assert fragile_digest(chosen) == fragile_digest(chosen[::-1]) != fragile_digest(chosen[1:])


def test_it_is_measured_once_and_again_for_other_weights(measured, models, quick, dataset_dir, tmp_path):
    before, made, ticks = measured.read_bytes(), measured.stat().st_ino, []

    def measure(pair):
        ticks.clear()
        measure_strengths(quick, models, pair, dataset_dir, tmp_path, lambda done, total: ticks.append((done, total)))

    measure(("clean", "compromised", "retrained"))  # whatever else the run holds
    assert measured.stat().st_ino == made and not ticks
    measure(("clean", "compromised"))
    assert measured.read_bytes() != before and ticks[-1] == (54, 54)
    measure(REFERENCES)
    assert measured.read_bytes() == before and ticks[-1] == (81, 81)
    record = json.loads(before)
    record["strengths"].popitem()
    measured.write_text(json.dumps(record))
    digest = file_sha256(measured)
    for use in (lambda: fragile_set(models, 0.3, record["dataset_digest"]), lambda: measure(REFERENCES)):
        with pytest.raises(UserError, match="fragile_set.json: damaged: .*; remove it and run again"):
            use()
    assert file_sha256(measured) == digest
    measured.write_bytes(before)
