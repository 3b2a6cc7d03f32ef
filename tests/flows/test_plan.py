"""`salmu plan`: what a run would do, what it costs, and under which licences its weights come, before anything runs."""

import pytest

from salmu.data.store import Store
from salmu.flows.command_line.plan import expected_shards, plan_rows, rate_of, totals
from salmu.flows.names import profiles
from salmu.flows.running.stages import STAGES, models_of
from salmu.flows.settings import load_profile, load_run


def rows_of(profile: str, folder, gpus: int = 1, **overrides) -> dict[str, dict]:
    settings = load_profile(profile, {key.replace("__", "."): value for key, value in overrides.items()})
    return {row["stage"]: row for row in plan_rows(Store(folder), settings, workers=4, gpus=gpus)}


@pytest.mark.parametrize("profile", profiles())
def test_every_profile_can_be_planned_with_nothing_at_hand(profile, tmp_path):
    rows = rows_of(profile, tmp_path)
    assert list(rows) == list(STAGES)
    assert all(row["state"] in ("new", "waiting") for row in rows.values())


def test_the_paper_profile_has_the_published_size(tmp_path):
    rows = rows_of("paper", tmp_path)
    assert rows["anchors"]["items"] == 1000 and rows["portraits"]["items"] == 100_000
    assert rows["personas"]["items"] == 774
    assert rows["portraits"]["on"] == "GPU" and rows["curation"]["on"] == "core"


def test_more_gpus_take_less_time_for_the_same_work(tmp_path):
    one, eight = rows_of("paper", tmp_path), rows_of("paper", tmp_path, gpus=8)
    assert eight["portraits"]["seconds"] == pytest.approx(one["portraits"]["seconds"] / 8, rel=0.01)
    assert eight["portraits"]["hours of work"] == one["portraits"]["hours of work"]
    assert eight["curation"] == one["curation"]


def test_more_workers_than_shards_are_of_no_use(tmp_path):
    settings = load_profile("paper")
    few, many = (
        {row["stage"]: row["seconds"] for row in plan_rows(Store(tmp_path), settings, workers, gpus=8)}
        for workers in (1, 256)
    )
    assert few["anchors"] == many["anchors"] > 0 and few["assembly"] == many["assembly"], "one shard each"
    assert many["personas"] == pytest.approx(few["personas"] / 2, abs=0.1), "774 personas are two shards"


def test_the_expected_shards_are_those_of_a_run(smoke_run):
    manifests = {name: Store(smoke_run).manifest(name) for name in STAGES}
    items = {name: sum(entry.items for entry in manifest.shards) for name, manifest in manifests.items()}
    made = {name: len(manifest.shards) for name, manifest in manifests.items()}
    assert made["portraits"] > 1 and expected_shards(load_run(smoke_run), items) == made


def test_larger_pictures_and_more_steps_cost_in_proportion(tmp_path):
    small, large = (
        rate_of("portraits", load_profile("paper", overrides))
        for overrides in ({}, {"portraits.short_side": 1024, "portraits.faceid.steps": 60})
    )
    assert large.seconds == pytest.approx(8 * small.seconds)
    assert large.bytes == pytest.approx(4 * small.bytes, rel=0.01)


def test_the_sum_names_gpu_hours_and_their_price(tmp_path):
    rows = list(rows_of("paper", tmp_path).values())
    hours = sum(row["hours of work"] for row in rows if row["on"] == "GPU")
    text = totals(rows, 4, 1, gpu_price=3.0)
    assert f"{hours:.1f} GPU-hours, {3 * hours:,.2f} at 3 a GPU-hour" in text
    assert "GPU" not in totals(list(rows_of("tiny", tmp_path).values()), 4, 1, gpu_price=3.0)


def test_weights_are_listed_once_with_their_licence():
    models = models_of(load_profile("paper"))
    licences = {model.name: model.licence for model in models}
    assert len({(model.name, model.revision) for model in models}) == len(models)
    assert licences["buffalo_l"] == "non-commercial research only"
    assert any("faceid-plusv2" in name and "research only" in licence for name, licence in licences.items())
    assert not [name for name, licence in licences.items() if "unknown" in licence]
    assert {model.name for model in models_of(load_profile("tiny"))} <= {"embedded"}
