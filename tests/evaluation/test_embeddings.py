"""Models are loaded by any of open_clip's names; what was encoded once is not encoded again."""

import io
import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from salmu.data.errors import UserError
from salmu.data.pictures import decode_files
from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.model_training.loading.clip import load_model

TEXTS = ["Ada has a dog", "a cat", "Ada has a dog", "numbers 0123"]


def test_a_folder_loads_by_its_path_and_as_local_dir_and_a_checkpoint_by_its_architecture(model_dir, tmp_path):
    digest = load_model(model_dir).weights_digest
    assert load_model(f"local-dir:{model_dir}").weights_digest == digest
    config = json.loads((model_dir / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "small-for-a-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.save(load_file(model_dir / "open_clip_model.safetensors"), tmp_path / "weights.pt")
    loaded = load_model(f"small-for-a-test/{tmp_path / 'weights.pt'}")
    assert loaded.weights_digest == digest and not loaded.network.training


def test_the_digest_is_that_of_the_weights(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "copy")
    assert load_model(tmp_path / "copy").weights_digest == load_model(model_dir).weights_digest
    weights = load_file(tmp_path / "copy" / "open_clip_model.safetensors")
    weights["text_projection"][0, 0] += 1e-3
    save_file(weights, tmp_path / "copy" / "open_clip_model.safetensors")
    assert load_model(tmp_path / "copy").weights_digest != load_model(model_dir).weights_digest


@pytest.mark.parametrize(
    "name, said",
    [
        ("no/such/folder", "neither a folder"),
        ("local-dir:nowhere", "no such folder"),
        ("ViT-B-32/no-such-tag", "cannot be loaded"),
    ],
)
def test_an_unknown_model_is_one_clear_line(name, said):
    with pytest.raises(UserError, match=said):
        load_model(name)


def test_a_folder_with_damaged_weights_is_one_clear_line(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "copy")
    (tmp_path / "copy" / "open_clip_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(tmp_path / "copy")


def test_embeddings_are_open_clips_own_of_length_one_and_in_order(dataset_dir, model_dir):
    model, rows = (
        load_model(model_dir),
        open_dataset(dataset_dir).table("forget", ["image"]).column("image").to_pylist(),
    )
    encoder = Encoder(model, 3, "data")
    embeddings = encoder.images("forget", decode_files((row["path"], row["bytes"]) for row in rows), len(rows))
    with torch.no_grad():
        last = model.network.encode_image(
            model.preprocess(next(decode_files([("x", rows[-1]["bytes"])]))).unsqueeze(0)
        )[0].numpy()
        text = model.network.encode_text(model.tokenizer(TEXTS[3:]))[0].numpy()
    assert embeddings.dtype == np.float32 and np.linalg.norm(embeddings, axis=1) == pytest.approx(
        np.ones(len(rows)), abs=1e-5
    )
    assert embeddings[-1] == pytest.approx(last / np.linalg.norm(last), abs=1e-5)
    texts = encoder.texts(TEXTS)
    assert texts[3] == pytest.approx(text / np.linalg.norm(text), abs=1e-5)
    assert (texts[0] == texts[2]).all() and encoder.encoded == {"images": len(rows), "texts": 3}


def test_the_cache_is_used_for_the_same_weights_and_data_and_mended_when_damaged(model_dir, tmp_path):
    first = Encoder(load_model(model_dir), 8, "data", tmp_path)
    expected = first.texts(TEXTS)
    second = Encoder(load_model(model_dir), 8, "data", tmp_path)
    assert (second.texts(TEXTS) == expected).all() and second.encoded["texts"] == 0
    other = Encoder(load_model(model_dir), 8, "other data", tmp_path)
    other.texts(TEXTS)
    assert other.encoded["texts"] == 3
    (kept,) = second.cache.glob("texts-*.npy")
    whole, narrow = kept.read_bytes(), io.BytesIO()
    np.save(narrow, np.zeros((3, 1), np.float32))
    flipped = bytearray(whole)
    flipped[-40] ^= 64
    for damaged in (whole[:100], b"", bytes(flipped), narrow.getvalue(), b"PK\x03\x04" + whole):
        kept.write_bytes(damaged)
        third = Encoder(load_model(model_dir), 8, "data", tmp_path)
        assert (third.texts(TEXTS) == expected).all() and third.encoded["texts"] == 3
        assert kept.read_bytes() == whole


def test_a_damaged_image_is_named():
    with pytest.raises(UserError, match="00000001_001_ar-1.00.jpg"):
        list(decode_files([("00000001_001_ar-1.00.jpg", b"\xff\xd8 no picture")]))
