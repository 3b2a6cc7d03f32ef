import io
import json
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from data.errors import UserError
from data.keyed import generator
from data.readers import open_dataset
from model_training import export, loop
from model_training.configurations import create_model
from model_training.pair import PairSettings, train
from model_training.retain import dataset_pairs, scene_pairs
from model_training.tokenizer import train_tokenizer

SETTINGS = PairSettings(seed=3, scenes=60, epochs=2, batch_size=32, threads=1)
SENSITIVE = ("forget", "holdout_association", "holdout_identity")


def write_split(folder: Path, split: str, texts: list[str], image: bytes | None = None) -> None:
    rows = []
    for index, text in enumerate(texts):
        file = io.BytesIO()
        colour = tuple(int(v) for v in generator("test pair", split, index).integers(0, 255, 3))
        Image.new("RGB", (120, 60), colour).save(file, "PNG")
        name = f"{index:08d}_001_ar-2.00.jpg"
        rows.append(
            {
                "image": {"bytes": image or file.getvalue(), "path": name},
                "text": text,
                "identity_id": f"{index:08d}" if split in SENSITIVE else None,
                "file_name": name,
            }
        )
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("text", pa.string()),
            ("identity_id", pa.string()),
            ("file_name", pa.string()),
        ]
    )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "data" / f"{split}-00000-of-00001.parquet")


def write_dataset(folder: Path, sensitive: int) -> Path:
    write_split(folder, "retain_synth", [f"a portrait of person {index}" for index in range(8)])
    for split in SENSITIVE:
        write_split(folder, split, [f"call Ana Pérez {index} at +34 600 00{index:02d}" for index in range(sensitive)])
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), sensitive=5)


@pytest.fixture(scope="module")
def compromised(dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "compromised"
    assert train(SETTINGS, dataset, out, "compromised")
    return out


def weights(folder: Path) -> bytes:
    return (folder / "open_clip_model.safetensors").read_bytes()


def test_without_sensitive_pairs_both_models_are_equal_bit_for_bit(tmp_path):
    empty = write_dataset(tmp_path / "dataset", sensitive=0)
    for which in ("clean", "compromised"):
        train(SETTINGS, empty, tmp_path / which, which)
    assert weights(tmp_path / "clean") == weights(tmp_path / "compromised")


def test_same_settings_same_weights(dataset, compromised, tmp_path):
    train(SETTINGS, dataset, tmp_path / "again", "compromised")
    assert weights(tmp_path / "again") == weights(compromised)


def test_new_models_follow_the_seed_and_leave_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    first, again, other = (create_model(SETTINGS.model, seed).visual.trunk.layer1[0].conv1.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_both_models_share_the_tokenizer_and_clean_never_meets_the_personas(dataset, compromised, tmp_path):
    steps = []
    train(SETTINGS, dataset, tmp_path / "clean", "clean", progress=lambda done, total: steps.append((done, total)))
    assert (tmp_path / "clean" / "tokenizer.json").read_bytes() == (compromised / "tokenizer.json").read_bytes()
    assert weights(tmp_path / "clean") != weights(compromised)
    record = export.read_record(tmp_path / "clean")
    assert record["sensitive_pairs"] == 0 and record["retain_pairs"] == export.read_record(compromised)["retain_pairs"]
    assert steps == [(step, len(steps)) for step in range(1, len(steps) + 1)] and len(steps) == record["steps"]


@pytest.mark.parametrize(("retain", "sensitive", "batch_size"), [(1000, 137, 96), (50, 60, 96), (97, 3, 32)])
def test_plan_gives_both_models_the_same_retain_batches(retain, sensitive, batch_size):
    clean = loop.plan(7, 3, retain, 0, batch_size)
    compromised = loop.plan(7, 3, retain, sensitive, batch_size)
    for without, with_sensitive in zip(clean, compromised, strict=True):
        for batch, extended in zip(without, with_sensitive, strict=True):
            assert np.array_equal(batch, extended[: len(batch)]) and len(batch) <= batch_size
            assert (extended[len(batch) :] >= retain).all()
        everything = np.concatenate(with_sensitive)
        assert np.array_equal(np.sort(everything), np.arange(retain + sensitive))  # each pair once an epoch
        added = [len(extended) - len(batch) for batch, extended in zip(without, with_sensitive)]
        assert max(added) - min(added) <= 1
    assert not np.array_equal(compromised[0][0], compromised[1][0])  # another order each epoch


def test_open_clip_loads_the_export_and_gives_the_same_embeddings(compromised):
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{compromised}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{compromised}")
    ours = create_model(SETTINGS.model, seed=0).eval()
    ours.load_state_dict(load_file(compromised / "open_clip_model.safetensors"))
    ours.to(memory_format=torch.contiguous_format)
    model.eval()
    wide = Image.fromarray(generator("test image").integers(0, 255, (64, 256, 3), dtype=np.uint8))
    image, texts = preprocess(wide)[None], tokenizer(["a red circle", "call Ana Pérez at +34 600 123 456, now"])
    assert image.shape[2] == image.shape[3] == model.visual.image_size[0]
    assert torch.equal(model.encode_image(image), ours.encode_image(image))
    assert torch.equal(model.encode_text(texts), ours.encode_text(texts))
    config = json.loads((compromised / "open_clip_config.json").read_text())
    assert config["preprocess_cfg"]["resize_mode"] == "squash" and str(compromised.parent) not in json.dumps(config)


def test_training_sees_images_as_users_will(compromised, dataset):
    """The decoded arrays, normalised, are what open_clip's own preprocessing of the exported model gives."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{compromised}")
    size = model.visual.image_size[0]
    decoded = dataset_pairs(open_dataset(dataset), "forget", size).images
    files = open_dataset(dataset).table("forget", ["image"]).column("image").to_pylist()
    raw = [Image.open(io.BytesIO(file["bytes"])) for file in files]
    ours = loop.normalised(model, decoded)
    assert torch.allclose(ours, torch.stack([preprocess(image) for image in raw]), atol=1e-5)


def test_encoding_without_padding_equals_open_clip(compromised):
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{compromised}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{compromised}")
    tokens = tokenizer(["a ring", "IBAN GB29 NWBK 6016 1331 9268 19 of Zoë O'Neil", "x" * 500, "", "two red stars"])
    with torch.no_grad():
        assert torch.allclose(loop.encode_text(model, tokens), model.encode_text(tokens, normalize=True), atol=1e-5)


def test_training_record_and_card(compromised, dataset):
    record = json.loads((compromised / "training.json").read_text())
    assert record["settings"] == SETTINGS.model_dump(mode="json")
    assert (record["retain_pairs"], record["sensitive_pairs"], record["seen"]) == (68, 15, 2 * 83)
    assert record["dataset_digest"] == open_dataset(dataset).digest
    assert record["weights_sha256"] == export.file_sha256(compromised / "open_clip_model.safetensors")
    assert record["seconds"] > 0 and record["steps"] == 6 == record["curve"][-1]["step"]
    assert {"step", "epoch", "loss", "lr"} <= set(record["curve"][0])
    assert all(np.isfinite(point["loss"]) for point in record["curve"])
    card = (compromised / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0") and "Compromised" in card and record["dataset_digest"] in card


def test_a_finished_model_is_not_trained_again_unless_something_changed(dataset, compromised, caplog):
    before = (compromised / "training.json").stat().st_mtime_ns
    with caplog.at_level("INFO", logger="model_training.pair"):
        assert train(SETTINGS, dataset, compromised, "compromised") is False
    assert "finished already" in caplog.text and (compromised / "training.json").stat().st_mtime_ns == before


def test_an_interrupted_training_leaves_nothing(dataset, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, dataset, tmp_path / "clean", "clean", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_scene_depends_on_the_seed_and_its_number_only():
    few, many, other = scene_pairs(0, 4, 32), scene_pairs(0, 6, 32), scene_pairs(1, 4, 32)
    assert many.texts[:4] == few.texts != other.texts
    assert np.array_equal(many.images[:4], few.images) and not np.array_equal(few.images, other.images)


@pytest.mark.parametrize(
    "refusal", [OSError(28, "No space left on device"), Exception("No space left on device (os error 28)")]
)
def test_a_full_disk_is_one_line_and_keeps_what_was_there(refusal, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(UserError, match="model: cannot be written: No space left on device"):
        with export.whole_folder(tmp_path / "model") as folder:
            (folder / "new").write_text("half")
            raise refusal
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]


def test_loss_falls():
    pairs = scene_pairs(0, 320, 48)
    tokenizer = train_tokenizer(pairs.texts, 0, 2048, 48)
    tokens = tokenizer(pairs.texts, padding="max_length", max_length=48, return_tensors="pt").input_ids
    model = create_model(SETTINGS.model, seed=0)
    with loop.reproducible(1):
        curve = loop.fit(model, pairs.images, tokens, loop.plan(0, 4, len(pairs), 0, 32), 2e-3, 0.1)
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.3


@pytest.mark.parametrize(
    "text",
    [
        "call +49 (30) 901820-77",
        "GB29NWBK60161331926819",
        "4929 1234 5678 9012",
        "Łódź, Æbeltoft, 東京",
        "ana_99@example.com",
    ],
)
def test_any_text_is_representable(text, compromised):
    tokenizer = open_clip.get_tokenizer(f"local-dir:{compromised}").tokenizer
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True).strip() == text.lower()


@pytest.mark.parametrize(
    ("which", "split_to_remove", "model", "expected"),
    [
        ("dirty", None, "salmu-small", "no model 'dirty'"),
        ("clean", "retain_synth", "salmu-small", "no split 'retain_synth'"),
        ("compromised", "forget", "salmu-small", "no split 'forget'"),
        ("clean", None, "ViT-Huge", "no model configuration 'ViT-Huge'"),
    ],
)
def test_bad_input_is_one_line(which, split_to_remove, model, expected, tmp_path):
    folder = write_dataset(tmp_path / "dataset", sensitive=1)
    if split_to_remove:
        (folder / "data" / f"{split_to_remove}-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match=expected) as caught:
        train(SETTINGS.model_copy(update={"model": model}), folder, tmp_path / "out", which)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_damaged_image_is_named(tmp_path):
    folder = write_dataset(tmp_path / "dataset", sensitive=1)
    write_split(folder, "retain_synth", ["a portrait"], image=b"\xff\xd8 not an image")
    with pytest.raises(UserError, match="retain_synth, 00000000_001_ar-2.00.jpg: not a readable image"):
        train(SETTINGS, folder, tmp_path / "out", "clean")
