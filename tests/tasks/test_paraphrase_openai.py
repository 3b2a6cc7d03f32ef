"""The engine openai against a real HTTP server that misbehaves, and killed in the middle."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from caption_runs import asking, prepared, refusal, shard_of, stated, work_of
from fake_server import Answer, FakeServer

from salmu.data.errors import UserError
from salmu.data.settings import validate
from salmu.data.store import Work
from salmu.tasks.captions import openai_server, server_answers, stage

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(openai_server, "LONGEST_WAIT", 0.02)


def test_a_server_that_asks_to_wait_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(openai_server, "LONGEST_WAIT", 300)

    def answer(prompt, times, server):
        if times == 1 and len(server.bodies) == 1:
            return Answer(status=429, headers={"Retry-After": "1"})
        return Answer(server.good(prompt))

    with FakeServer(answer) as server:
        rows = stated(shard_of(prepared(tmp_path, (0,)), asking(server.url, openai={"concurrency": 1})))
    assert len(rows) == 40 and server.times[1] - server.times[0] >= 1


def test_retry_after_may_be_a_date():
    def wait(header: str) -> float | None:
        return server_answers.retry_after(openai_server.httpx.Headers({"Retry-After": header}))

    assert 50 < wait(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60
    assert wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0 and wait("7.5") == 7.5 and wait("-3") == 0
    assert wait("soon") is None and wait("") is None and wait("nan") == 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(tmp_path, status):
    def answer(prompt, times, server):
        return Answer(server.good(prompt)) if times > 2 else Answer(status=status)

    with FakeServer(answer) as server:
        assert len(stated(shard_of(prepared(tmp_path, (0,)), asking(server.url)))) == 40
    assert set(server.asked.values()) == {3}


def test_a_silent_server_stops_the_run_and_nothing_is_lost(tmp_path):
    store, quiet = prepared(tmp_path, (0,)), {"yes": True}

    def answer(prompt, times, server):
        return Answer(silent=quiet["yes"] and "blood" in prompt, content=server.good(prompt))

    with FakeServer(answer) as server:
        patience = {"timeout": 0.4, "tries": 2, "concurrency": 2}
        message = refusal(store, asking(server.url, openai=patience))
        assert f"{server.url}: no answer within 0.4 s, 2 times" in message and "are kept" in message
        assert "captions.openai.concurrency (now 2)" in message and "captions.openai.timeout (now 0.4)" in message
        quiet["yes"] = False
        assert len(stated(shard_of(store, asking(server.url)))) == 40
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize(
    "answer, expected",
    [
        (Answer(body="<html>Bad gateway</html>"), "answers something that is no chat completion, 2 times"),
        (Answer(body='{"choices": []}'), "no chat completion"),
        (Answer(body='{"choices": [{"message": {"content": 5}}]}'), "no chat completion"),
        (Answer(body='{"choices": [{"mess'), "no chat completion"),
        (Answer(body="[" * 50_000), "no chat completion"),
        (Answer(body='{"choices": [{"message": {"content": [{"type": "text"}]}}]}'), "no chat completion"),
        (Answer(body='{"error": {"message": "model is loading", "code": 503}}'), "an error: model is loading, 2 times"),
        (Answer(body="{}", headers={"Content-Encoding": "gzip"}), "compressed body, which was not asked for, 2 times"),
        (Answer(content="word ", endless=True), "answers with more than 1,000,000 bytes, 2 times"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:9/v1"}), "refuses the request"),
        (Answer(status=400, body="use max_completion_tokens"), "correct captions.openai (max_tokens_field?)"),
        (Answer(status=502), "answers 502, 2 times"),
        (Answer(status=404, body="model not found"), "refuses the request for model 'some-model' (404): model not"),
        (Answer(status=401, body="bad key"), "environment variable MY_KEY"),
    ],
)
def test_a_broken_server_is_named_with_the_remedy(tmp_path, monkeypatch, answer, expected):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    with FakeServer(lambda *_: answer) as server:
        settings = asking(server.url, openai={"tries": 2, "concurrency": 2, "api_key_variable": "MY_KEY"})
        message = refusal(prepared(tmp_path, (0,)), settings)
    assert server.url in message and expected in message and "secret" not in message
    assert len(server.bodies) <= 8  # two at once, each tried twice, with schema and without: the rest is not asked
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    assert "secret" not in settings.model_dump_json()


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for_longer_than_the_timeout(tmp_path):
    with FakeServer(lambda *_: Answer(content="slow", slow=0.05)) as server:
        message = refusal(prepared(tmp_path, (0,)), asking(server.url, openai={"timeout": 0.4, "tries": 1}))
    assert "no answer within 0.4 s" in message


def test_the_cause_is_told_and_not_its_echo(tmp_path):
    """One request is refused while others are under way: they are stopped, and the refusal is what is told."""

    def answer(prompt, times, server):
        refused = "blood" in prompt
        return Answer(status=404, body="no such model") if refused else Answer(silent=True)

    with FakeServer(answer) as server:
        message = refusal(prepared(tmp_path, (0,)), asking(server.url, openai={"concurrency": 8}))
        assert "(404): no such model" in message and len(server.bodies) <= 9


def test_what_yielded_no_sentence_is_asked_again_after_the_server_is_mended(tmp_path, monkeypatch):
    """Empty, cut off, refused in free text: no such reply is kept as finished work."""
    monkeypatch.setattr(stage, "JUDGED_FROM", 40)
    store, broken = prepared(tmp_path, (0,)), {"yes": True}
    bad = ["", '{"possessive": "The name of', "I am sorry, I cannot help with that."]

    def answer(prompt, times, server):
        return Answer(bad[len(server.bodies) % 3] if broken["yes"] else server.good(prompt))

    with FakeServer(answer) as server:
        settings = asking(server.url, retries=0)
        assert "failed for 40 of 40 captions" in refusal(store, settings)
        broken["yes"] = False
        assert sum(row["generator"] == "openai" for row in stated(shard_of(store, settings))) > 30


def test_text_in_parts_is_joined():
    parts = [{"type": "text", "text": "one "}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    answer = {"choices": [{"message": {"content": parts}}]}
    assert server_answers.content(json.dumps(answer).encode()) == "one two"


def test_the_limit_of_a_reply_has_the_name_that_the_server_knows(tmp_path):
    with FakeServer() as server:
        settings = asking(server.url, openai={"max_tokens_field": "max_completion_tokens"})
        shard_of(prepared(tmp_path, (0,)), settings)
    assert all("max_completion_tokens" in body and "max_tokens" not in body for body in server.bodies)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/v1",
        "http://",
        "host/v1",
        "http://[1/v1",
        "http://user:abc123@host/v1",
        "http://host/v1?key=abc123",
        "http://host/v1?abc123",
        "http://host/v1#abc123",
        "http://us'er:abc'123@host/v1",
        "http://user:ab/abc123@host/v1",
        "user:abc123@host:1/v1",
        "http://xn--/abc123",
        "http://host/abc123 ?",
        "",
    ],
)
def test_an_address_that_cannot_be_asked_or_holds_a_secret_is_refused_with_the_settings(address):
    with pytest.raises(UserError, match="base_url: (settings are kept|must be an address)") as error:
        validate(openai_server.OpenAiSettings, {"base_url": address}, "captions.openai")
    assert "abc123" not in str(error.value)


@pytest.mark.parametrize("name", ["sk-abc123", "", "abc123 ", "9abc123", "abc123\n"])
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_shown(name):
    with pytest.raises(UserError, match="api_key_variable: must be the name of an environment variable") as error:
        validate(openai_server.OpenAiSettings, {"api_key_variable": name}, "captions.openai")
    assert "abc123" not in str(error.value)


@pytest.mark.parametrize(
    "variable, value",
    [("ALL_PROXY", "socks5://bob:abc123@h"), ("HTTP_PROXY", "foo://bob:abc123@h"), ("SSL_CERT_FILE", "/nope")],
)
def test_a_proxy_that_cannot_be_used_is_told_in_one_line(tmp_path, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    message = refusal(prepared(tmp_path, (0,)), asking("http://example.invalid/v1"))
    assert "no connection can be made" in message and variable in message and "abc123" not in message


def test_a_host_that_no_network_can_look_up_is_told_in_one_line(tmp_path):
    assert "cannot be " in refusal(prepared(tmp_path, (0,)), asking(f"http://{'a' * 64}.com/v1", openai={"tries": 1}))


@pytest.mark.parametrize("key", ["sk-secret", "sk/secret"])
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("before", [0, 194])
def test_a_key_that_the_server_repeats_is_not_shown(tmp_path, monkeypatch, status, key, before):
    monkeypatch.setenv("MY_KEY", key)
    body = json.dumps({"error": {"message": "x" * before + f"bad key {key}"}}).replace("/", "\\/")
    with FakeServer(lambda *_: Answer(status=status, body=body)) as server:
        settings = asking(server.url, openai={"tries": 1, "api_key_variable": "MY_KEY"})
        message = refusal(prepared(tmp_path, (0,)), settings)
    assert "secret" not in message and "sk" not in message and ("bad key" in message or before)


@pytest.mark.parametrize("key, sent", [("sk-secret\n", "Bearer sk-secret"), ("  sk-secret ", "Bearer sk-secret")])
def test_a_key_is_stripped(tmp_path, monkeypatch, key, sent):
    monkeypatch.setenv("MY_KEY", key)
    with FakeServer() as server:
        shard_of(prepared(tmp_path, (0,)), asking(server.url, openai={"api_key_variable": "MY_KEY"}))
    assert {headers["Authorization"] for headers in server.headers} == {sent}


@pytest.mark.parametrize("key", ["sk-sec\nret", "sk secret", "sk-geheim-ü"])
def test_a_key_that_cannot_be_sent_is_not_shown(tmp_path, monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with FakeServer() as server:
        message = refusal(prepared(tmp_path, (0,)), asking(server.url, openai={"api_key_variable": "MY_KEY"}))
    assert "MY_KEY holds no API key" in message and "sk" not in message and not server.bodies


def test_one_refused_request_does_not_end_the_schema_for_all(tmp_path):
    def answer(prompt, times, server):
        if "blood" in prompt and "response_format" in server.bodies[-1]:
            return Answer(status=400, body="this one I cannot compile")
        return Answer(server.good(prompt))

    with FakeServer(answer) as server:
        shard_of(prepared(tmp_path, (0,)), asking(server.url, openai={"concurrency": 1}))
    assert sum("response_format" in body for body in server.bodies) == len(server.asked) >= 8


def test_a_full_disk_ends_the_asking(tmp_path, monkeypatch):
    def full(self, key, result):
        raise UserError("no space left on the disk")

    monkeypatch.setattr(Work, "put", full)
    with FakeServer() as server:
        message = refusal(prepared(tmp_path), asking(server.url, openai={"concurrency": 1}))
    assert message == "no space left on the disk" and len(server.bodies) < 16


def test_fewer_requests_are_under_way_while_the_server_answers_too_late(tmp_path):
    one_at_a_time = threading.Lock()

    def answer(prompt, times, server):
        with one_at_a_time:
            time.sleep(0.06)
        return Answer(server.good(prompt))

    with FakeServer(answer) as server:
        hasty = {"concurrency": 16, "timeout": 0.6}  # of sixteen at a time, the last would wait for 0.96 s
        assert len(stated(shard_of(prepared(tmp_path), asking(server.url, openai=hasty)))) == 80


def test_requests_under_way_fall_with_a_time_out_and_rise_with_answers():
    async def limits() -> list[float]:
        gate, seen = server_answers.Gate(8), []
        for error in [server_answers.TimedOut("late")] * 2 + [server_answers.Passing("503")] + [None] * 40:
            try:
                async with gate:
                    if error:
                        raise error
            except server_answers.Passing:
                pass
            seen.append(gate.limit)
        return seen

    seen = asyncio.run(limits())
    assert seen[:3] == [4, 2, 2] and seen[3] == 2.5 and seen[-1] == 8 and seen[2:] == sorted(seen[2:])


def test_no_server_at_all(tmp_path):
    with FakeServer() as server:
        pass
    message = refusal(prepared(tmp_path, (0,)), asking(server.url, openai={"tries": 2}))
    assert f"{server.url}: cannot be reached" in message


def test_a_server_without_json_schema_is_asked_for_plain_json(tmp_path):
    def answer(prompt, times, server):
        if "response_format" in server.bodies[-1]:
            return Answer(status=400, body="unknown field response_format")
        return Answer(server.good(prompt))

    with FakeServer(answer) as server:
        rows = stated(shard_of(prepared(tmp_path, (0,)), asking(server.url, openai={"concurrency": 1})))
    assert {row["generator"] for row in rows} == {"openai"}
    assert sum("response_format" in body for body in server.bodies) == openai_server.REFUSALS


# --------------------------------------------------------------------------------------------------------------- kill


def test_after_kill_9_no_prompt_is_paid_twice(tmp_path):
    store, held = prepared(tmp_path / "killed"), {"from": 6}

    def answer(prompt, times, server):
        return Answer(silent=len(server.bodies) > held["from"], content=server.good(prompt))

    with FakeServer(answer) as server:
        settings = asking(server.url, openai={"concurrency": 2, "timeout": 60})
        process = subprocess.Popen(
            [sys.executable, "tests/caption_runs.py", str(store.folder), settings.model_dump_json()],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )
        work, deadline = work_of(store).folder, time.monotonic() + 90
        while len(list(work.glob("*.group"))) < 6 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len(list(work.glob("*.group"))) == 6 and sum(server.answered.values()) == 6
        held["from"] = 10**9
        rows = shard_of(store, settings)
        assert set(server.answered.values()) == {1}
        assert rows == shard_of(prepared(tmp_path / "unharmed"), settings)
