"""Stages 1 to 3 by the engines for real weights, from files and offline, on tiny random checkpoints in the published
layouts: insightface, diffusers with IP-Adapter-FaceID Plus v2, open_clip, FairFace."""

from pathlib import Path

import checkpoints
import pytest
from helpers import process_pool, run_stages
from PIL import Image
from prefect import flow

from salmu.data.store import Store
from salmu.flows.running.stage import run_stage
from salmu.flows.running.stages import STAGES
from salmu.tasks.candidates import procedural

SAMPLES = Path(__file__).parent.parent / "fixtures" / "salmu_samples"
CHAIN = ("candidates", "anchors", "portraits", "analysis", "curation", "domain")


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict:
    """The stages' settings, all by local folders; random weights judge nothing, so thresholds let everything pass."""
    weights = tmp_path_factory.mktemp("weights")
    faces = {"pack": str(checkpoints.make_face_pack(weights / "pack", threshold=-2)), "detection_size": 64}
    base = checkpoints.make_sd15(weights / "sd15")
    fairface = {"checkpoint": str(checkpoints.make_fairface(weights / "fairface"))}
    clip = f"local-dir:{checkpoints.make_clip(weights / 'clip')}"
    pictures = weights / "SFHQ_part4" / "images"
    pictures.mkdir(parents=True)
    for index in range(8):
        drawn = procedural.draw(0, index, f"{index:08}", 128)
        Image.fromarray(drawn.image).save(pictures / f"SFHQ_pt4_{index + 11000:08}.jpg", quality=95)
    given = {
        "candidates": {
            "source": "images",
            "images": [str(weights / "SFHQ_part4")],
            "shard_size": 4,
            "faces": faces,
            "fairface": fairface,
        },
        "anchors": {
            "count": 4,
            "min_detection_score": 0,
            "min_face_size": 0,
            "max_yaw": 90,
            "max_pitch": 90,
            "max_roll": 180,
            "min_sharpness": 0,
            "duplicate_similarity": 1,
        },
        "portraits": {
            "engine": "ip_adapter_faceid_plus",
            "per_identity": 6,
            "short_side": 64,
            "identities_per_shard": 3,
            "faceid": {
                "base": str(base),
                "adapter": str(checkpoints.make_faceid_plus(weights / "adapter", base)),
                "image_encoder": str(checkpoints.make_image_encoder(weights / "encoder")),
                "safety_checker": str(checkpoints.make_safety_checker(weights / "safety", flags=False)),
                "steps": 2,
                "batch_size": 4,
                "size_multiple": 32,
            },
        },
        "analysis": {
            "faces": faces,
            "clip": clip,
            "questions": "labels_photographs",
            "fairface": fairface,
            "identities_per_shard": 2,
        },
        "curation": {
            "min_detection_score": 0,
            "min_anchor_similarity": -1,
            "min_centre_similarity": -1,
            "min_coherence": -1,
            "max_identity_similarity": 1,
            "max_portrait_similarity": 1,
            "min_gender_support": 0,
            "min_age_support": 0,
            "min_region_support": 0,
            "min_photo": 0,
            "min_clear": 0,
            "min_sharp": 0,
            "min_safe": 0,
            "min_one_person": 0,
            "max_contradictory_share": 1,
            "min_portraits": 1,
            "identities": 3,
            "retain_identities": 1,
        },
        "domain": {"reference": str(SAMPLES), "faces": faces, "clip": clip},
    }
    return {stage: STAGES[stage].Settings.model_validate(given[stage]) for stage in CHAIN}


@pytest.fixture(scope="module")
def runs(settings, prefect_server, tmp_path_factory) -> tuple[Store, Store]:
    """The same chain by two worker processes of a flow, and in this process alone."""
    by_flow, alone = (Store(tmp_path_factory.mktemp(name)) for name in ("flow", "alone"))

    @flow(name="real-engines", task_runner=process_pool(2), persist_result=False)
    def real_engines():
        last = None
        for stage in CHAIN:
            last = run_stage(by_flow, stage, settings[stage], after=last and [last])

    real_engines()
    return by_flow, run_stages(alone, settings)


def test_two_workers_and_one_process_write_the_same_bytes(runs):
    for stage in CHAIN:
        digests = {store.manifest(stage).digest for store in runs}
        assert len(digests) == 1, stage
    assert len(runs[0].manifest("portraits").shards) == 2 and len(runs[0].manifest("candidates").shards) == 2


def test_what_the_models_measured_is_there(runs):
    store = runs[0]
    anchors = list(store.view("anchors", "identity_id").rows())
    assert len(anchors) == 4 and {row["identity_id"][:6] for row in anchors} == {"000110"}
    assert sorted(row["rank"] for row in anchors) == [0, 1, 2, 3]
    portraits = list(store.view("portraits", "file_name").rows(["width", "height", "prompt", "seed"]))
    assert len(portraits) == 24 and len({(row["width"], row["height"]) for row in portraits}) >= 2
    assert len({row["seed"] for row in portraits}) == 24
    for row in store.view("analysis", "file_name").rows():
        assert row["faces"] == 1 and len(row["face_embedding"]) == 512 and row["fairface"] and row["region"]
    kept = [row for row in store.view("curation", "file_name").rows() if row["kept"]]
    assert len({row["identity_id"] for row in kept}) == 4 and len(kept) == 24
    assert store.manifest("domain").rows == len(list(SAMPLES.glob("*.jpg")))


def test_nothing_is_made_again_and_no_work_in_progress_is_left(runs, settings):
    before = {stage: runs[1].manifest(stage).digest for stage in CHAIN}
    files = {path: path.stat().st_mtime_ns for path in runs[1].folder.rglob("*.parquet")}
    run_stages(runs[1], settings)
    assert before == {stage: runs[1].manifest(stage).digest for stage in CHAIN}
    assert files == {path: path.stat().st_mtime_ns for path in runs[1].folder.rglob("*.parquet")}
    assert not list(runs[0].folder.rglob(".work-*"))
