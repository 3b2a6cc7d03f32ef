"""The FaceID portrait engines, run for real on tiny random checkpoints: same bytes, resume, what moves the pixels, and
one clear line for each bad input."""

import io
import json
import pickle
import shutil
import sys
from pathlib import Path

import checkpoints
import diffusers
import numpy as np
import pytest
import torch
from helpers import run_stages
from PIL import Image
from small_run import put

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.store import Shard, Store
from salmu.tasks.portraits import faceid, generate, pipeline, stage

LANDMARKS = [95, 100, 160, 100, 128, 135, 102, 165, 154, 165]


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Tiny checkpoints of everything that the two engines load."""
    folder = tmp_path_factory.mktemp("weights")
    checkpoints.make_faceid_plus(folder / "plus", checkpoints.make_sd15(folder / "sd15"))
    checkpoints.make_faceid_sdxl(folder / "plain", checkpoints.make_sdxl(folder / "sdxl"))
    checkpoints.make_image_encoder(folder / "encoder")
    return folder


def plus(weights: Path, per_identity: int = 4, identities_per_shard: int = 8, **changes) -> stage.Settings:
    parts = {"base": weights / "sd15", "adapter": weights / "plus", "image_encoder": weights / "encoder"}
    given = {key: str(value) for key, value in parts.items()} | {"steps": 2, "batch_size": 4, "size_multiple": 32}
    return stage.Settings(
        engine=faceid.PLUS,
        per_identity=per_identity,
        short_side=64,
        identities_per_shard=identities_per_shard,
        faceid=given | changes,
    )


def sdxl(weights: Path, per_identity: int = 2, **changes) -> stage.Settings:
    given = {"base": str(weights / "sdxl"), "adapter": str(weights / "plain"), "steps": 2, "batch_size": 4}
    return stage.Settings(engine=faceid.SDXL, per_identity=per_identity, short_side=64, faceid=given | changes)


def anchor(number: int, picture: int | None = None, **columns) -> dict:
    sink = io.BytesIO()
    pixels = generator("picture", number if picture is None else picture).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((256, 256)).save(sink, "PNG")
    embedding = generator("face", number).normal(size=512)
    return {
        "identity_id": f"{number:08}",
        "source": "images",
        "image": sink.getvalue(),
        "landmarks": LANDMARKS,
        "face_embedding": (embedding / np.linalg.norm(embedding)).tolist(),
        "gender": schemas.GENDERS[number % 2],
        "age_group": "30-39",
        "region": None,
    } | columns


def upstream(folder: Path, rows: list[dict]) -> dict:
    store = Store(folder)
    put(store, "anchors", schemas.ANCHORS, rows)
    return {"anchors": store.view("anchors", "identity_id")}


@pytest.fixture
def three(tmp_path) -> dict:
    return upstream(tmp_path / "run", [anchor(number) for number in range(3)])


@pytest.fixture(scope="session")
def plus_engine(weights):
    return stage.load_engine(plus(weights))


@pytest.fixture
def drawn(monkeypatch) -> list[np.ndarray]:
    """The pixels that go into the JPEG files, in the order of their writing."""
    found, jpeg_file = [], generate.jpeg_file
    monkeypatch.setattr(generate, "jpeg_file", lambda image, quality: found.append(image) or jpeg_file(image, quality))
    return found


def pixels(settings: stage.Settings, views: dict, drawn: list, engine=None) -> dict[str, np.ndarray]:
    """The portraits of all shards before they become JPEG files, by file name."""
    drawn.clear()
    engine = engine or stage.load_engine(settings)
    pictures = {}
    for shard in stage.plan(settings, views):
        rows = {row["image"]: row["file_name"] for row in stage.run(shard, settings, views, engine).rows}
        pictures |= {rows[generate.jpeg_file(image, generate.JPEG_QUALITY)]: image for image in list(drawn)}
        drawn.clear()
    return pictures


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, int]:
    """The largest difference of levels of each portrait."""
    assert one.keys() == other.keys()
    return {name: int(np.abs(one[name].astype(int) - other[name]).max()) for name in one}


class Pipe:
    """The pipeline, that counts the pictures of each call, and fails when it was called too often."""

    def __init__(self, pipe, most: int = 1000):
        self.pipe, self.most, self.calls = pipe, most, []

    def __getattr__(self, name):
        return getattr(self.pipe, name)

    def __call__(self, **asked):
        if len(self.calls) == self.most:
            raise RuntimeError("killed")
        self.calls.append(len(asked["prompt"]))
        return self.pipe(**asked)


def test_two_runs_give_the_same_digest_and_the_rows_say_what_the_files_are(weights, tmp_path):
    settings, digests = plus(weights, identities_per_shard=3), []
    for folder in (tmp_path / "one", tmp_path / "other"):
        views = upstream(folder, [anchor(number) for number in range(4)])
        run_stages(views["anchors"].store, {"portraits": settings})
        digests.append(views["anchors"].store.manifest("portraits").digest)
    assert digests[0] == digests[1]
    view = views["anchors"].store.view("portraits", stage.KEY)
    rows = list(view.rows())
    assert len(view.manifest.shards) == 2 and len(rows) == 16 == len({row["image"] for row in rows})
    assert len({(row["width"], row["height"]) for row in rows}) > 2
    for row in rows:
        picture = Image.open(io.BytesIO(row["image"]))
        assert picture.format == "JPEG" and picture.size == (row["width"], row["height"]) and min(picture.size) == 64
        assert row["width"] % 32 == row["height"] % 32 == 0 and row["fault"] is None
        ratio = f"{row['width'] / row['height']:.2f}"
        assert row["file_name"] == f"{row['identity_id']}_{row['portrait_index']:03}_ar-{ratio}.jpg"
        noun = json.loads(row["scene"])["person"].split()[-1]
        assert noun == {"female": "woman", "male": "man"}[schemas.GENDERS[int(row["identity_id"]) % 2]]
        assert noun in row["prompt"]
    summary = stage.summarise(settings, view, views)
    assert summary.text.startswith("16 portraits of 4 identities") and "safety checker was off" in summary.text
    assert "Planted faults" not in summary.tables and len(summary.tables["Prompts"]) == 4


def test_a_portrait_made_again_alone_is_the_one_of_its_batch(weights, three, plus_engine, drawn):
    """Compared before JPEG, which may hide a difference or enlarge it."""
    settings = plus(weights)
    (shard,) = stage.plan(settings, three)
    pipe = Pipe(plus_engine.pipe)
    together = pixels(settings, three, drawn, plus_engine._replace(pipe=pipe))
    assert max(pipe.calls) == 4 and sum(pipe.calls) == 12 and len({image.shape for image in together.values()}) >= 2
    alone = {}
    for item in shard.items[::3]:
        stage.run(Shard(index=0, items=(item,)), settings, three, plus_engine)
        (name,) = (name for name in together if name.startswith(item))
        alone[name] = drawn.pop()
    assert len(alone) == 4 and max(difference(alone, {name: together[name] for name in alone}).values()) <= 1


class SmallMemory(Pipe):
    """A pipeline on a device that holds two pictures at once."""

    def __call__(self, **asked):
        if len(asked["prompt"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().__call__(**asked)


def test_a_batch_that_is_too_large_for_the_memory_is_made_in_parts(weights, three, plus_engine, drawn, caplog):
    settings = plus(weights)
    together = pixels(settings, three, drawn, plus_engine)
    pipe = SmallMemory(plus_engine.pipe)
    in_parts = pixels(settings, three, drawn, plus_engine._replace(pipe=pipe))
    assert max(pipe.calls) == 2 and sum(pipe.calls) == 12
    assert max(difference(in_parts, together).values()) <= 1
    assert "lower portraits.faceid.batch_size" in caplog.text


def test_several_identities_share_a_batch_and_keep_their_faces(weights, three, plus_engine, drawn, monkeypatch):
    """The same seed, prompt and size for all: only the face tells the portraits of a batch apart."""
    monkeypatch.setattr(stage, "integer", lambda *key: 5)
    settings = plus(weights, per_identity=1)
    same = upstream(three["anchors"].store.folder.parent / "same", [anchor(n, gender="female") for n in range(3)])
    pipe = Pipe(plus_engine.pipe)
    together = pixels(settings, same, drawn, plus_engine._replace(pipe=pipe))
    assert pipe.calls == [3]
    first, second, third = together.values()
    assert (first != second).any() and (second != third).any() and (first != third).any()
    reverse = upstream(three["anchors"].store.folder.parent / "r", [anchor(n, gender="female") for n in (2, 1, 0)])
    assert max(difference(together, pixels(settings, reverse, drawn, plus_engine)).values()) <= 1


def test_identity_structure_and_their_scales_move_the_pixels(weights, tmp_path, plus_engine, drawn):
    settings = plus(weights, per_identity=2)

    def made(name, engine=plus_engine, faceid=None, **columns) -> dict[str, np.ndarray]:
        chosen = settings.model_copy(update={"faceid": settings.faceid.model_copy(update=faceid or {})})
        return pixels(chosen, upstream(tmp_path / name, [anchor(0, **columns)]), drawn, engine)

    normal = made("normal")
    assert min(difference(normal, made("embedding", face_embedding=anchor(1)["face_embedding"])).values()) > 0
    assert min(difference(normal, made("image", picture=1)).values()) > 0
    assert min(difference(normal, made("landmarks", landmarks=[value + 20 for value in LANDMARKS])).values()) > 0
    unseen = made("unseen", faceid={"structure_scale": 0.0})
    assert min(difference(normal, unseen).values()) > 0
    assert max(difference(unseen, made("other", faceid={"structure_scale": 0.0}, picture=1)).values()) == 0
    blind = stage.load_engine(plus(weights, face_scale=0.0))
    assert max(difference(made("a", blind), made("b", blind, face_embedding=[1.0] * 512)).values()) == 0
    assert min(difference(normal, made("ddim", stage.load_engine(plus(weights, scheduler="ddim")))).values()) > 0


def test_the_lora_moves_the_pixels_and_fused_is_as_loaded(weights, three, plus_engine, drawn, monkeypatch):
    settings = plus(weights, per_identity=2)
    fused = pixels(settings, three, drawn, plus_engine)
    without = pixels(plus(weights, per_identity=2, lora=0.0), three, drawn)
    half = pixels(plus(weights, per_identity=2, lora=0.5), three, drawn)
    assert min(difference(fused, without).values()) > 0 and min(difference(half, without).values()) > 0
    assert min(difference(fused, half).values()) > 0
    for method in ("fuse_lora", "unload_lora_weights"):
        monkeypatch.setattr(diffusers.StableDiffusionPipeline, method, lambda self, **options: None)
    loaded = pipeline.load(settings.faceid, settings.engine)
    assert loaded.pipe.get_active_adapters() == ["faceid_0"] and plus_engine.pipe.get_list_adapters() == {}
    assert max(difference(fused, pixels(settings, three, drawn, loaded)).values()) <= 1


def test_a_killed_shard_goes_on_with_the_same_bytes(weights, three, plus_engine):
    settings = plus(weights)
    (shard,) = stage.plan(settings, three)
    whole = stage.run(shard, settings, three, plus_engine)
    work = three["anchors"].store.work("portraits", stage.SCHEMA, 0, "f" * 32)
    killed = Pipe(plus_engine.pipe, most=2)
    with pytest.raises(RuntimeError, match="killed"):
        stage.run(shard, settings, three, plus_engine._replace(pipe=killed), work)
    again = Pipe(plus_engine.pipe)
    assert stage.run(shard, settings, three, plus_engine._replace(pipe=again), work) == whole
    assert again.calls and sum(killed.calls) + sum(again.calls) == 12
    nothing = Pipe(plus_engine.pipe, most=0)
    assert stage.run(shard, settings, three, plus_engine._replace(pipe=nothing), work) == whole


def test_an_error_while_writing_ends_the_shard(weights, three, plus_engine, monkeypatch):
    settings = plus(weights, batch_size=1)
    (shard,) = stage.plan(settings, three)

    def refuse(image, quality):
        raise OSError("no space left")

    monkeypatch.setattr(generate, "jpeg_file", refuse)
    pipe = Pipe(plus_engine.pipe)
    with pytest.raises(OSError, match="no space left"):
        stage.run(shard, settings, three, plus_engine._replace(pipe=pipe))
    assert len(pipe.calls) < 12


def test_too_little_memory_says_what_to_lower(weights, three, plus_engine):
    def full(**asked):
        raise torch.OutOfMemoryError("CUDA out of memory")

    pipe = Pipe(plus_engine.pipe)
    pipe.pipe = type("Full", (), {"__call__": lambda self, **asked: full(), "unet": plus_engine.pipe.unet})()
    settings = plus(weights)
    with pytest.raises(UserError, match="faceid.batch_size"):
        stage.run(*stage.plan(settings, three), settings, three, plus_engine._replace(pipe=pipe))


def test_sdxl_draws_with_plain_faceid(weights, tmp_path, drawn):
    settings = sdxl(weights)
    engine = stage.load_engine(settings)
    assert engine.encoder is None
    rows = [anchor(number, landmarks=LANDMARKS) for number in range(3)]
    views = upstream(tmp_path / "run", rows)
    made = pixels(settings, views, drawn, engine)
    assert len(made) == 6 and max(difference(made, pixels(settings, views, drawn, engine)).values()) == 0
    rows[1]["face_embedding"] = rows[0]["face_embedding"]
    changed = difference(made, pixels(settings, upstream(tmp_path / "changed", rows), drawn, engine))
    assert {name[:8] for name, levels in changed.items() if levels > 1} == {"00000001"}


@pytest.mark.parametrize("make", [plus, sdxl])
def test_flagged_portraits_are_rejected_by_the_flag(weights, three, make, tmp_path):
    results = {}
    for flags in (True, False):
        checker = checkpoints.make_safety_checker(tmp_path / f"checker-{flags}", flags)
        settings = make(weights, per_identity=2, safety_checker=str(checker))
        engine = stage.load_engine(settings)
        (shard,) = stage.plan(settings, three)
        work = three["anchors"].store.work("portraits", stage.SCHEMA, 0, f"{flags:d}" * 32)
        results[flags] = stage.run(shard, settings, three, engine, work)
        assert stage.run(shard, settings, three, engine, work) == results[flags]
    assert not results[True].rows and {reject.reason for reject in results[True].rejects} == {"unsafe"}
    assert [reject.item for reject in results[True].rejects] == [row["file_name"] for row in results[False].rows]
    unchecked = engine._replace(checker=None)
    assert stage.run(shard, settings, three, unchecked) == results[False] and len(results[False].rows) == 6
    put(three["anchors"].store, "portraits", stage.SCHEMA, [], results[True].rejects)
    summary = stage.summarise(settings, three["anchors"].store.view("portraits", stage.KEY), three)
    assert summary.text.startswith("0 portraits") and "6 rejected as unsafe" in summary.text


def test_half_precision_draws_nearly_the_same(weights, three, plus_engine, drawn):
    settings = plus(weights, per_identity=1)
    full = pixels(settings, three, drawn, plus_engine)
    half = pixels(plus(weights, per_identity=1, dtype="bfloat16"), three, drawn)
    error = np.mean([np.abs(full[name].astype(float) - half[name]).mean() for name in full])
    assert 0 < error < 12


def test_what_decides_the_pixels_is_in_the_revisions_and_the_names_of_folders_are_not(weights, tmp_path):
    moved = Path(shutil.copytree(weights, tmp_path / "moved"))
    here, there = plus(weights), plus(moved)
    assert here.fingerprint() == there.fingerprint() and stage.revisions(here) == stage.revisions(there)
    assert {"base", "adapter", "image_encoder", "prompts", "diffusers", "torch"} <= set(stage.revisions(here))
    changed = next((moved / "sd15" / "unet").glob("*.safetensors"))
    changed.write_bytes(changed.read_bytes()[:-4] + b"abcd")
    differing = {key for key, value in stage.revisions(there).items() if value != stage.revisions(here)[key]}
    assert differing == {"base"}
    assert plus(weights, steps=3).fingerprint() != here.fingerprint()
    procedural = stage.Settings(faceid={"steps": 3})
    assert procedural.fingerprint() == stage.Settings().fingerprint() and stage.revisions(procedural) == {}


@pytest.mark.parametrize("name", ["ddim", "dpm++"])
def test_every_allowed_number_of_steps_begins_near_full_noise_and_stays_on_the_schedule(name):
    """diffusers spaces the steps of Stable Diffusion's configuration so that 350 would begin at step 699 of 1,000, and
    1,000 after the last."""
    config = checkpoints.scheduler().config
    for steps in range(10, 101, 9):
        schedule = pipeline.make_scheduler(diffusers, name, config)
        schedule.set_timesteps(steps)
        assert 900 <= schedule.timesteps[0] == schedule.timesteps.max() < 1000
    with pytest.raises(ValueError, match="100"):
        faceid.FaceIDSettings(steps=101)


def test_hub_ids_keep_their_commit_and_the_licences_are_known():
    commit = "0123456789abcdef0123456789abcdef01234567"
    settings = stage.Settings(engine=faceid.PLUS, faceid={"adapter_revision": commit, "base_revision": "v1"})
    found = stage.revisions(settings)
    assert found["adapter"] == f"ip-adapter-faceid-plusv2_sd15.bin h94/IP-Adapter-FaceID@{commit}"
    assert found["base"] == "SG161222/Realistic_Vision_V4.0_noVAE@v1" and "sd-vae-ft-mse" in found["vae"]
    licences = {model.name: model.licence for model in stage.models(settings)}
    assert licences["IP-Adapter-FaceID/ip-adapter-faceid-plusv2_sd15.bin"] == "non-commercial research only"
    assert stage.models(stage.Settings()) == []


BAD_PARTS = {
    "an adapter for SDXL on SD 1.5": ({"adapter": "plain", "adapter_file": "ip-adapter-faceid_sdxl.bin"}, "cross-att"),
    "a pipeline of the other kind": ({"base": "sdxl", "adapter": "plus-sdxl"}, "ip_adapter_faceid_sdxl"),
    "a plain checkpoint where Plus is needed": ({"adapter": "plain-sd15"}, "plain FaceID"),
    "an image encoder of the wrong width": ({"image_encoder": "narrow"}, "32 values"),
    "no such folder": ({"base": "/nowhere/at all"}, "no such folder"),
    "a hub that cannot be asked": ({"base": "nobody/nothing"}, "hub's cache"),
    "no checkpoint in the folder": ({"adapter": "sd15"}, "no such file"),
    "an empty base folder": ({"base": "empty"}, "whole copy"),
    "an empty encoder folder": ({"image_encoder": "empty"}, "config.json: no such file"),
    "a checkpoint without LoRA": ({"adapter": "no-lora"}, "faceid.lora"),
    "a text file": ({"adapter": "text"}, "not weights alone"),
    "other tensors": ({"adapter": "tensors"}, "not an IP-Adapter-FaceID checkpoint"),
    "other tensors in safetensors": ({"adapter": "tensors", "adapter_file": "x.safetensors"}, "not an IP-Adapter-Face"),
    "an embedding of another size": ({"adapter": "portrait"}, "2560"),
}


@pytest.fixture(scope="session")
def bad_parts(weights, tmp_path_factory) -> Path:
    folder, name = tmp_path_factory.mktemp("bad"), "ip-adapter-faceid-plusv2_sd15.bin"
    for good in weights.iterdir():
        (folder / good.name).symlink_to(good)
    for made in ("empty", "text", "tensors", "portrait", "plain-sd15"):
        (folder / made).mkdir()
    checkpoints.make_image_encoder(folder / "narrow", hidden_size=32)
    checkpoints.make_faceid_plus(folder / "no-lora", weights / "sd15", lora=False)
    checkpoints.make_faceid_plus(folder / "plus-sdxl", weights / "sdxl")
    checkpoints.make_faceid_sdxl(folder / "plain-sd15", weights / "sd15")
    (folder / "plain-sd15" / "ip-adapter-faceid_sdxl.bin").rename(folder / "plain-sd15" / name)
    (folder / "text" / name).write_text("version https://git-lfs.github.com/spec/v1")
    torch.save({"weight": torch.zeros(2)}, folder / "tensors" / name)
    from safetensors.torch import save_file

    save_file({"image_proj.proj.weight": torch.zeros(2, 2)}, folder / "tensors" / "x.safetensors")
    wrong = torch.load(weights / "plus" / name, weights_only=True)
    wrong["image_proj"]["proj.0.weight"] = torch.zeros(8, 2560)
    torch.save(wrong, folder / "portrait" / name)
    return folder


@pytest.mark.parametrize("case", BAD_PARTS)
def test_parts_that_do_not_belong_together_are_one_clear_line(bad_parts, case):
    changes, said = BAD_PARTS[case]
    given = {key: str(bad_parts / value) if (bad_parts / value).is_dir() else value for key, value in changes.items()}
    with pytest.raises(UserError, match=said) as caught:
        stage.load_engine(plus(bad_parts, **given))
    assert "\n" not in str(caught.value) and "portraits." in str(caught.value)


def test_an_sd15_adapter_on_sdxl_is_one_clear_line(weights):
    settings = sdxl(weights, adapter=str(weights / "plus"), adapter_file="ip-adapter-faceid-plusv2_sd15.bin")
    with pytest.raises(UserError, match="cross-attention 64.*cross-attention 128"):
        stage.load_engine(settings)


class Touch:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(weights, tmp_path):
    trace = tmp_path / "trace"
    path = tmp_path / "ip-adapter-faceid-plusv2_sd15.bin"
    for write in (
        lambda value: path.write_bytes(pickle.dumps(value, protocol=2)),
        lambda value: torch.save(value, path),
    ):
        write({"image_proj": Touch(trace), "ip_adapter": {}})
        with pytest.raises(UserError, match="refused"):
            stage.load_engine(plus(weights, adapter=str(tmp_path)))
    assert not trace.exists()


@pytest.mark.parametrize("package", ["peft", "diffusers"])
def test_a_missing_package_names_the_extra(weights, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package}.*pip install \"salmu\[portraits\]\""):
        stage.load_engine(plus(weights))


def test_a_lora_is_never_lost_in_silence(weights, monkeypatch):
    """diffusers only warns when it cannot load one."""
    monkeypatch.setattr("diffusers.loaders.ip_adapter.USE_PEFT_BACKEND", False)
    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "get_active_adapters", lambda self: [])
    with pytest.raises(UserError, match="LoRA was not loaded"):
        stage.load_engine(plus(weights))


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"landmarks": None}, "no landmarks"),
        ({"face_embedding": [0.5] * 128}, "512"),
        ({"face_embedding": None}, "512"),
    ],
)
def test_anchors_without_a_face_cannot_be_drawn(weights, tmp_path, columns, said):
    with pytest.raises(UserError, match=said) as caught:
        stage.plan(plus(weights), upstream(tmp_path, [anchor(0), anchor(1, **columns)]))
    assert "00000001" in str(caught.value)


def test_sizes_fit_the_model(weights, three):
    with pytest.raises(UserError, match="portraits.short_side 72 .*set it to 64"):
        stage.plan(plus(weights).model_copy(update={"short_side": 72}), three)
    with pytest.raises(ValueError, match="multiple of 8"):
        faceid.FaceIDSettings(size_multiple=12)
    with pytest.raises(ValueError, match="999"):
        stage.Settings(per_identity=1000)
