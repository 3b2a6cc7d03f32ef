import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from pair_data import weights, write_dataset, write_split
from PIL import Image
from safetensors.torch import load_file

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.readers import open_dataset
from salmu.data.settings import validate
from salmu.model_training import __main__ as command
from salmu.model_training import export
from salmu.model_training.batches import Batches, Pictures, Reader
from salmu.model_training.configurations import configuration, create_model
from salmu.model_training.network import Trainable, encode_text, shortened
from salmu.model_training.pair import PairSettings, planned, train
from salmu.model_training.pictures import square
from salmu.model_training.retain import scene_pairs, split_source
from salmu.model_training.settings import configurations, named
from salmu.model_training.tokenizer import train_tokenizer

SETTINGS = PairSettings(seed=3, scenes=60, epochs=2, batch_size=32, threads=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), sensitive=5)


@pytest.fixture(scope="module")
def compromised(dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "compromised"
    assert train(SETTINGS, dataset, out, "compromised")
    return out


def test_without_sensitive_pairs_all_models_are_equal_bit_for_bit(tmp_path):
    empty = write_dataset(tmp_path / "dataset", sensitive=0)
    for which in ("clean", "compromised", "retrained"):
        train(SETTINGS, empty, tmp_path / which, which)
    assert weights(tmp_path / "clean") == weights(tmp_path / "compromised") == weights(tmp_path / "retrained")


def test_with_an_empty_forget_set_retrained_equals_compromised_bit_for_bit(tmp_path):
    dataset = write_dataset(tmp_path / "dataset", sensitive=5)
    write_split(dataset, "forget", [])
    for which in ("compromised", "retrained"):
        train(SETTINGS, dataset, tmp_path / which, which)
    assert weights(tmp_path / "compromised") == weights(tmp_path / "retrained")
    assert export.read_record(tmp_path / "retrained")["sensitive_pairs"] == 10


def test_a_model_of_an_unknown_name_is_refused(dataset, tmp_path):
    for name in ("dirty", "retrained-1", "retrained-21", "retrained/../x"):
        with pytest.raises(UserError, match="choose one of clean, compromised, retrained"):
            train(SETTINGS, dataset, tmp_path / "other", name)


def test_captions_take_the_place_of_those_of_their_pairs(dataset, compromised, tmp_path):
    names = open_dataset(dataset).table("sensitive", ["file_name"]).column("file_name").to_pylist()
    source = split_source(open_dataset(dataset), "sensitive", {names[1]: "another caption"})
    own = split_source(open_dataset(dataset), "sensitive")
    told, before = ([text for _, text in one.read(0, np.arange(len(names)))] for one in (source, own))
    assert told == [before[0], "another caption", *before[2:]]
    out = shutil.copytree(compromised, tmp_path / "copy")
    assert not train(SETTINGS, dataset, out, "compromised")
    assert train(SETTINGS, dataset, out, "compromised", captions={names[1]: "another caption"})
    assert export.read_record(out)["other_captions"] == 1


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


def test_the_retain_batches_of_all_models_are_equal_and_no_forget_pair_reaches_retrained(dataset, tmp_path):
    """As the loaders give them, pixels and tokens, sample for sample over the whole training."""
    loaded, forget = {}, {image for image, _ in pairs_of(dataset, "forget")}
    for which in ("clean", "compromised", "retrained", "retrained-2"):
        pair = planned(SETTINGS, dataset, tmp_path / "clean", which=which)
        sensitive = None if which == "clean" else split_source(pair.dataset, "sensitive")
        reader = Reader(pair.plan, pair.sources, sensitive, Pictures(48, "squash", 1.0))
        reader.keep(64 if sensitive else 0)  # decoded before, and as it goes
        reader.use(train_tokenizer_of(reader))
        loaded[which] = list(Batches(reader).from_step(0, workers=0, pinned=False))
        numbers = np.concatenate([Batches(reader).numbers(item)[0] for item in range(len(loaded[which]))])
        seen = [pair for pair in pairs_of(dataset, "sensitive")]
        extra = [seen[number - pair.plan.retain][0] for number in numbers if number >= pair.plan.retain]
        assert len(extra) == {"clean": 0, "compromised": 2 * 15}.get(which, 2 * 10)
        assert which == "compromised" or not forget & set(extra)
    for clean, compromised, *retrained in zip(*loaded.values(), strict=True):
        for other in (compromised, *retrained):
            assert all(torch.equal(mine, theirs[: len(mine)]) for mine, theirs in zip(clean, other, strict=True))
        images, tokens = (part[SETTINGS.batch_size :].tolist() for part in compromised)
        exact = [part[SETTINGS.batch_size :].tolist() for part in retrained[0]]
        assert all(image in images for image in exact[0]) and all(line in tokens for line in exact[1])


def pairs_of(dataset, split) -> list[tuple[bytes, str]]:
    source = split_source(open_dataset(dataset), split)
    return source.read(0, np.arange(source.rows)) if source.rows else []


def train_tokenizer_of(reader):
    own = train_tokenizer(reader.captions(), 3, 2048, 56)
    return lambda texts: own(texts, padding="max_length", max_length=56, truncation=True, return_tensors="pt").input_ids


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
    source = split_source(open_dataset(dataset), "forget")
    decoded = [square(image, size) for image, _ in source.read(0, np.arange(source.rows))]
    files = open_dataset(dataset).table("forget", ["image"]).column("image").to_pylist()
    raw = [Image.open(io.BytesIO(file["bytes"])) for file in files]
    trainable = Trainable(model)
    ours = (torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2) - trainable.mean) / trainable.std
    assert torch.allclose(ours, torch.stack([preprocess(image) for image in raw]), atol=1e-5)


def test_encoding_without_padding_equals_open_clip(compromised):
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{compromised}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{compromised}")
    tokens = tokenizer(["a ring", "IBAN GB29 NWBK 6016 1331 9268 19 of Zoë O'Neil", "x" * 500, "", "two red stars"])
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True)
        assert torch.allclose(encode_text(model, tokens), expected, atol=1e-5)
        few = shortened(tokens[:1], model)
        assert few.shape[1] == 8 and torch.allclose(encode_text(model, few), expected[:1], atol=1e-5)


@pytest.mark.parametrize("awaited", (False, True))
def test_the_last_block_at_the_end_token_alone_gives_the_same_gradients(compromised, awaited):
    """All tokens go through the block where somebody waits for its output."""
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{compromised}")
    tokens = open_clip.get_tokenizer(f"local-dir:{compromised}")(["a ring", "two red stars of Zoë O'Neil", "x" * 500])
    weights = [weight for name, weight in model.named_parameters() if not name.startswith(("visual.", "logit"))]
    scale, seen = torch.linspace(-1, 1, model.text_projection.shape[1]), []
    wanted = torch.autograd.grad((model.encode_text(tokens, normalize=True) * scale).sum(), weights)
    if awaited:
        model.transformer.resblocks[-1].register_forward_hook(lambda block, given, states: seen.append(states.shape[1]))
    for ours, theirs in zip(
        torch.autograd.grad((encode_text(model, tokens) * scale).sum(), weights), wanted, strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert bool(seen) == awaited


def test_training_record_and_card(compromised, dataset):
    record = json.loads((compromised / "training.json").read_text())
    assert record["settings"] == SETTINGS.model_dump(mode="json")
    assert (record["retain_pairs"], record["sensitive_pairs"], record["seen"]) == (68, 15, 4 * 32 + 2 * 15)
    assert record["dataset_digest"] == open_dataset(dataset).digest
    assert record["weights_sha256"] == export.file_sha256(compromised / "open_clip_model.safetensors")
    assert record["seconds"] > 0 and record["steps"] == 4 == record["curve"][-1]["step"]
    assert record["times_seen"] == {"retain": {"1": 8, "2": 60}, "sensitive": {"2": 15}}
    assert {"step", "epoch", "loss", "lr"} <= set(record["curve"][0])
    assert all(np.isfinite(point["loss"]) for point in record["curve"])
    card = (compromised / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0") and "Compromised" in card and record["dataset_digest"] in card


def test_a_finished_model_is_not_trained_again_unless_something_changed(dataset, compromised, caplog):
    before = (compromised / "training.json").stat().st_mtime_ns
    with caplog.at_level("INFO", logger="salmu.model_training.pair"):
        assert train(SETTINGS, dataset, compromised, "compromised") is False
    assert "finished already" in caplog.text and (compromised / "training.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("record", ["{", "[]", '{"which": "clean"}'])
def test_a_finished_model_with_a_damaged_record_is_named_and_not_trained_again(record, dataset, compromised, tmp_path):
    shutil.copytree(compromised, tmp_path / "compromised")
    (tmp_path / "compromised" / "training.json").write_text(record)
    with pytest.raises(UserError, match=r"training.json: .*; remove .* to have the model trained again"):
        train(SETTINGS, dataset, tmp_path / "compromised", "compromised")
    assert (tmp_path / "compromised" / "training.json").read_text() == record


def test_an_interrupted_training_leaves_no_model(dataset, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, dataset, tmp_path / "clean", "clean", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["pair_plan.json"]


def test_the_plan_notices_when_scenes_are_worded_otherwise(dataset, tmp_path, monkeypatch):
    before, again = (planned(SETTINGS, dataset, tmp_path / "clean").plan.document["digest"] for _ in range(2))
    monkeypatch.setattr("salmu.model_training.retain.ENDINGS", ("{text}!",) * 4)
    assert planned(SETTINGS, dataset, tmp_path / "clean").plan.document["digest"] != before == again


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


def test_loss_falls_and_a_monitor_sees_it(dataset, tmp_path):
    settings = SETTINGS.model_copy(update={"scenes": 312, "epochs": 4, "checkpoint_every": 20, "learning_rate": 2e-3})
    seen = []

    def monitor(clip, tokenizer):
        assert not clip.training and tokenizer(["a red circle"]).shape == (1, 56)
        seen.append(clip.logit_scale.item())
        torch.randn(3)  # what it draws must not change the training
        return {"Measured": float(len(seen))}

    train(settings, dataset, tmp_path / "clean", "clean", monitor=monitor)
    record = export.read_record(tmp_path / "clean")
    assert record["curve"][-1]["loss"] < record["curve"][0]["loss"] - 0.3
    assert [(point["step"], point["Measured"]) for point in record["monitored"]] == [(20, 1.0), (40, 2.0)]
    assert "| step | loss | Measured |" in (tmp_path / "clean" / "README.md").read_text()
    train(settings, dataset, tmp_path / "unwatched" / "clean", "clean")
    assert weights(tmp_path / "unwatched" / "clean") == weights(tmp_path / "clean")
    export.with_metrics(tmp_path / "clean", {"RetFail": 0.0123}, "Worthless pair: it knows nothing.")
    card = (tmp_path / "clean" / "README.md").read_text()
    assert "| RetFail | 0.0123 |" in card and "\n> **Worthless pair: it knows nothing.**\n" in card
    export.with_metrics(tmp_path / "clean", {"RetFail": 0.0123})
    assert "Worthless" not in (tmp_path / "clean" / "README.md").read_text()


def test_a_pushed_model_loads_from_the_hub(compromised, tmp_path):
    """As the hub's client lays it out; the published checkpoints come the same way."""
    home = tmp_path / "models--salmu--compromised"
    export.for_hub(compromised, "salmu/compromised", home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    model, _, _ = open_clip.create_model_and_transforms("hf-hub:salmu/compromised", cache_dir=str(tmp_path))
    tokenizer = open_clip.get_tokenizer("hf-hub:salmu/compromised", cache_dir=str(tmp_path))
    local, _, _ = open_clip.create_model_and_transforms(f"local-dir:{compromised}")
    tokens = tokenizer(["call Ana Pérez at +34 600 123 456"])
    assert torch.equal(model.eval().encode_text(tokens), local.eval().encode_text(tokens))


@pytest.mark.parametrize("content", ["- a", "word", "3", "false"])
def test_a_file_of_settings_that_holds_no_table_is_one_line(content, tmp_path, monkeypatch, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    for found in (lambda: named(str(path)), lambda: validate(PairSettings, {"configuration": str(path)}, "pair")):
        with pytest.raises(UserError, match="mine.yaml: a table of settings .* is expected"):
            found()
    monkeypatch.setattr(sys, "argv", ["it", "--settings", str(path), "--dataset", "d", "--models", str(tmp_path)])
    assert command.main() == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: a table of settings")


def test_configurations_are_files_that_settings_override(tmp_path):
    assert {"tiny", "small", "vit_b_16", "resnet", "siglip"} == set(configurations())
    for name in configurations():
        settings = PairSettings(configuration=name)
        assert configuration(settings.model)["embed_dim"]
        assert PairSettings(**settings.model_dump()) == settings
    assert PairSettings(configuration="vit_b_16", epochs=2).epochs == 2
    assert PairSettings(configuration="vit_b_16").batch_size % 128 == 0
    with pytest.raises(UserError, match="no configuration 'huge'; there are"):
        validate(PairSettings, {"configuration": "huge"}, "here")


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
        ("clean", "forget", "salmu-small", "no split 'forget'"),
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
    with pytest.raises(UserError, match="retain_synth, 00000000_003_ar-2.00.jpg: not an image: no JPEG"):
        train(SETTINGS, folder, tmp_path / "out", "clean")
