"""The stage runner against a real Prefect server, with small stages that count what they do."""

from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest
from helpers import eventually, prefect_api
from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from salmu.data.errors import UserError
from salmu.data.settings import StageSettings
from salmu.data.store import Reject, Shard, ShardResult, Store
from salmu.data.summary import Summary, read_summary
from salmu.flows.running.artifacts import artifact_key
from salmu.flows.running.stage import require_upstream, run_stage
from salmu.flows.running.stages import STAGES, downstream, state

MADE = Counter()  # (stage, item) -> how often it was made
TROUBLE = {}  # item -> exceptions to raise, one a call


class LetterSettings(StageSettings):
    letters: str = Field("abcdef", description="Items.")
    loud: str = Field("", description="Items in capitals.")


class WordSettings(StageSettings):
    suffix: str = Field("!", description="Put behind each.")


def make(stage: str, item: str) -> None:
    MADE[stage, item] += 1
    if TROUBLE.get(item):
        raise TROUBLE[item].pop(0)


def run_letters(shard, settings, upstream, engine):
    for item in shard.items:
        make("letters", item)
    rows = [
        {"name": item, "text": item.upper() if item in settings.loud else item} for item in shard.items if item != "x"
    ]
    return ShardResult(rows, [Reject(item, "is x") for item in shard.items if item == "x"])


def plan_letters(settings, upstream):
    pairs = [settings.letters[i : i + 2] for i in range(0, len(settings.letters), 2)]
    return [
        Shard(index=i, items=tuple(pair), inputs="".join(c for c in settings.loud if c in pair))
        for i, pair in enumerate(pairs)
    ]


def plan_words(settings, upstream):
    names = list(upstream["letters"].row_digests())
    groups = [tuple(names[i : i + 2]) for i in range(0, len(names), 2)]
    return [Shard(index=i, items=group, inputs=upstream["letters"].digest_of(group)) for i, group in enumerate(groups)]


def run_words(shard, settings, upstream, engine):
    for item in shard.items:
        make("words", item)
    return ShardResult(
        [
            {"name": row["name"], "text": row["text"] + settings.suffix}
            for row in upstream["letters"].rows_of(shard.items)
        ]
    )


SCHEMA = pa.schema([("name", pa.string()), ("text", pa.string())])
FAKES = {
    "letters": SimpleNamespace(
        NAME="letters",
        VERSION=1,
        UPSTREAM=(),
        SCHEMA=SCHEMA,
        KEY="name",
        Settings=LetterSettings,
        plan=plan_letters,
        run=run_letters,
        summarise=lambda s, view, up: Summary(f"{view.manifest.rows} letters"),
    ),
    "words": SimpleNamespace(
        NAME="words",
        VERSION=1,
        UPSTREAM=("letters",),
        SCHEMA=SCHEMA,
        KEY="name",
        Settings=WordSettings,
        plan=plan_words,
        run=run_words,
        summarise=lambda s, view, up: Summary("words"),
    ),
}


@pytest.fixture
def fakes():
    kept = dict(STAGES)
    STAGES.clear()
    STAGES.update(FAKES)
    MADE.clear()
    TROUBLE.clear()
    yield
    STAGES.clear()
    STAGES.update(kept)


@pytest.fixture
def chain(fakes, prefect_server, tmp_path):
    store = Store(tmp_path / "run")

    @flow(name="chain", task_runner=ThreadPoolTaskRunner(max_workers=2), persist_result=False)
    def both(letters, words):
        last = run_stage(store, "letters", letters)
        run_stage(store, "words", words, after=[last])

    def run(letters=None, words=None):
        both(letters or LetterSettings(letters="abcdef"), words or WordSettings())
        return [row["text"] for row in store.view("words", "name").rows()]

    run.store = store
    return run


def test_a_second_run_makes_nothing_and_the_server_shows_the_shards_as_cached(chain, prefect_server):
    assert chain() == ["a!", "b!", "c!", "d!", "e!", "f!"]
    once = dict(MADE)
    assert set(once.values()) == {1}
    assert chain() == ["a!", "b!", "c!", "d!", "e!", "f!"] and dict(MADE) == once
    query = {"task_runs": {"state": {"name": {"any_": ["Cached"]}}}}
    server = prefect_api(prefect_server)
    shards = {f"{stage}-{index:05d}" for stage in ("letters", "words") for index in range(3)}
    eventually(
        lambda: {run["name"] for run in server.post("/task_runs/filter", json=query).json()},
        lambda found: found >= shards,
    )
    assert read_summary(chain.store.stage_folder("letters")).text == "6 letters"


def test_a_complete_stage_shows_its_kept_summary_and_makes_a_lost_or_damaged_one_again(chain, monkeypatch):
    chain()
    made = []
    for name, fake in FAKES.items():
        whole = fake.summarise
        monkeypatch.setattr(
            fake, "summarise", lambda *given, name=name, whole=whole: made.append(name) or whole(*given)
        )
    chain()
    assert made == []
    (chain.store.stage_folder("letters") / "summary.json").unlink()
    (chain.store.stage_folder("words") / "summary.json").write_text("{}")
    chain()
    assert made == ["letters", "words"] and read_summary(chain.store.stage_folder("letters")).text == "6 letters"


def test_a_changed_row_above_makes_only_the_shards_that_use_it_again(chain):
    chain()
    MADE.clear()
    assert chain(LetterSettings(letters="abcdef", loud="c"))[2] == "C!"
    # the setting is part of every letter shard's fingerprint; below, only the group with the changed row is made again
    assert {item for stage, item in MADE if stage == "words"} == {"c", "d"}


def test_changed_settings_of_a_stage_leave_the_one_above_alone(chain):
    chain()
    MADE.clear()
    assert chain(words=WordSettings(suffix="?"))[0] == "a?"
    assert {stage for stage, _ in MADE} == {"words"}
    assert {entry.fingerprint for entry in chain.store.manifest("words").shards}.isdisjoint(
        entry.fingerprint for entry in chain.store.manifest("letters").shards
    )


def test_bad_input_fails_at_once_keeps_the_rest_and_the_next_run_makes_only_what_is_missing(chain):
    TROUBLE["c"] = [UserError("letter c: is bad; mend it")]
    with pytest.raises(UserError, match="letter c: is bad; mend it"):
        chain()
    assert MADE["letters", "c"] == 1  # bad input is not tried again
    assert not chain.store.manifest("letters").complete and not chain.store.manifest("words").shards
    held = {entry.index for entry in chain.store.manifest("letters").shards}
    assert 1 not in held
    MADE.clear()
    chain()
    assert {item for stage, item in MADE if stage == "letters"} == {"c", "d"} | {
        "abcdef"[2 * i + j] for i in {0, 2} - held for j in (0, 1)
    }


def test_a_passing_trouble_is_tried_again(chain):
    TROUBLE["e"] = [ConnectionError("gone for a moment")]
    assert chain()[4] == "e!"
    assert MADE["letters", "e"] == 2


def test_rejects_are_counted_and_kept(chain):
    assert chain(LetterSettings(letters="axcd")) == ["a!", "c!", "d!"]
    assert chain.store.view("letters", "name").rejects() == [Reject("x", "is x", "")]
    assert chain.store.manifest("letters").rejects == 1


def test_a_stage_that_rejects_everything_fails_with_the_reason_each_time(chain):
    for _ in range(2):
        with pytest.raises(UserError, match=r"letters: all 3 items were rejected, .*\(3 times\): is x; see salmu"):
            chain(LetterSettings(letters="xxx"))
    assert not chain.store.manifest("words").shards and chain.store.manifest("letters").complete


def test_files_that_no_manifest_names_are_removed_when_the_stage_is_complete(chain):
    chain()
    chain(LetterSettings(letters="ab"))
    assert sorted(path.name for path in chain.store.stage_folder("words").glob("*.parquet")) == ["part-00000.parquet"]


def test_states_and_what_a_stage_alone_asks_for(chain):
    settings = {"letters": LetterSettings(letters="abcdef"), "words": WordSettings()}
    assert [state(chain.store, name, settings[name]) for name in STAGES] == ["new", "waiting"]
    with pytest.raises(UserError, match="stage words reads letters, which is new"):
        require_upstream(chain.store, "words", settings.get)
    chain()
    assert [state(chain.store, name, settings[name]) for name in STAGES] == ["done", "done"]
    require_upstream(chain.store, "words", settings.get)
    assert state(chain.store, "letters", LetterSettings(letters="abcdef", loud="a")) == "stale"
    chain.store.part_path("words", 0).unlink()
    assert state(chain.store, "words", settings["words"]) == "partial"
    assert downstream("letters") == ["words"]


def test_what_is_complete_is_not_planned_again_unless_something_that_its_plan_follows_from_changed(chain, monkeypatch):
    settings = {"letters": LetterSettings(letters="abcdef"), "words": WordSettings()}
    chain()
    planned = []
    for name, fake in FAKES.items():
        whole = fake.plan
        monkeypatch.setattr(fake, "plan", lambda *given, name=name, whole=whole: planned.append(name) or whole(*given))
    assert [state(chain.store, name, settings[name]) for name in STAGES] == ["done", "done"]
    chain()
    assert planned == []
    assert state(chain.store, "words", WordSettings(suffix="?")) == "stale" and planned == ["words"]
    monkeypatch.setattr(FAKES["letters"], "VERSION", 2)
    assert state(chain.store, "letters", settings["letters"]) == "stale" and planned == ["words", "letters"]
    monkeypatch.setattr(FAKES["letters"], "VERSION", 1)
    monkeypatch.setattr(FAKES["letters"], "reads_files", lambda settings: True, raising=False)
    assert state(chain.store, "letters", settings["letters"]) == "done" and planned[2:] == ["letters"]
    monkeypatch.delattr(FAKES["letters"], "reads_files")
    chain(LetterSettings(letters="abcdef", loud="c"))
    del planned[:]
    assert state(chain.store, "words", settings["words"]) == "done" and planned == []


def test_a_complete_stage_whose_file_is_gone_makes_it_again(chain):
    chain()
    chain.store.part_path("words", 1).unlink()
    MADE.clear()
    assert chain()[2] == "c!" and {item for _, item in MADE} == {"c", "d"}


def test_the_cards_of_a_run_are_on_the_server(chain, prefect_server):
    chain()
    run, store = chain.store.folder.name, chain.store
    keys = [artifact_key(run, name) for name in ("letters", "words")]
    query = {"artifacts": {"key": {"any_": keys}}}
    found = prefect_api(prefect_server).post("/artifacts/latest/filter", json=query).json()
    cards = {card["key"]: card for card in found}
    assert set(cards) == set(keys)
    manifest, digest = f"`{store.folder}/letters/manifest.json`", store.manifest("letters").digest
    link = f"[letters](../artifact/{cards[keys[0]]['latest_id']})"
    assert f"| reads | {link} | {manifest} | `{digest}` |" in cards[keys[1]]["data"]
