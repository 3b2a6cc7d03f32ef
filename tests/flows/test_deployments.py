"""Deployments as README makes them, on a real server with a real process worker: forms, reruns, crashes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from helpers import eventually, prefect_api
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent

from salmu.data.store import Store
from salmu.flows.command_line import cli

AT_WORK = {"Running", "Pending", "Scheduled"}
PREFECT = str(Path(sys.executable).with_name("prefect"))


def prefect(*arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [PREFECT, "--no-prompt", *arguments],
        env=os.environ | {"COLUMNS": "500"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def deploy(capsys, *arguments: str) -> list[dict]:
    """What `salmu deploy` says it did."""
    capsys.readouterr()
    cli.main(["deploy", "--json", *arguments])
    return json.loads(capsys.readouterr().out)


def start_worker(pool: str = "salmu-cpu") -> subprocess.Popen:
    surroundings = os.environ | {"PREFECT_WORKER_QUERY_SECONDS": "1", "SALMU_RUNNER": "thread"}
    command = [PREFECT, "worker", "start", "--pool", pool]
    return subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill(worker: subprocess.Popen) -> None:
    """End a worker and its flow processes as a power cut would."""
    family = [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]
    for process in [family[-1], *family[:-1]]:
        process.kill()
    worker.wait()


@pytest.fixture(scope="module")
def server(prefect_server, tmp_path_factory):
    """The server with all deployments, and its worker; `server.get`, `server.post` speak to the API."""
    with prefect_api(prefect_server) as client:
        cli.main(["deploy", "--runs", str(tmp_path_factory.getbasetemp() / "elsewhere")])
        client.workers = workers = [start_worker()]
        yield client
    for worker in workers:
        if worker.poll() is None:
            kill(worker)


def started(server: httpx.Client, deployment: str, **parameters) -> httpx.Response:
    """Start a run of a deployment as the UI's form does."""
    flow, name = deployment.split("/")
    query = {"deployments": {"name": {"any_": [name]}}, "flows": {"name": {"any_": [flow]}}}
    found = server.post("/deployments/filter", json=query).json()[0]
    return server.post(f"/deployments/{found['id']}/create_flow_run", json={"parameters": parameters})


def ended(server: httpx.Client, flow_run: str) -> str:
    """Wait until a flow run is over; returns the name of its state."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        state = server.get(f"/flow_runs/{flow_run}").json()["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return state["name"]
        time.sleep(0.2)
    raise AssertionError(f"still {state}")


def logs(server: httpx.Client, flow_run: str) -> str:
    query = {"logs": {"flow_run_id": {"any_": [flow_run]}}}
    return "\n".join(line["message"] for line in server.post("/logs/filter", json=query).json())


def task_runs(server: httpx.Client, flow_run: str) -> dict[str, list[str]]:
    """Name of a task run -> the states in which its runs are."""
    query = {"flow_runs": {"id": {"any_": [flow_run]}}, "limit": 200}
    found = {}
    for run in server.post("/task_runs/filter", json=query).json():
        found.setdefault(run["name"], []).append(run["state"]["name"])
    return found


def stamps(run: Path) -> dict[str, int]:
    """When each part was written."""
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in run.glob("*/part-*.parquet")}


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory) -> Path:
    """The folder of a run with a dataset, and with three shards of captions."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    return Path(shutil.copytree(smoke_run, folder, ignore=shutil.ignore_patterns("models", "unlearned", "results")))


@pytest.fixture(scope="module")
def failed(server, run) -> tuple[str, dict]:
    """A run of stage-captions/captions whose second shard failed, started as a person does: its id, and when each part
    had been written by then."""
    values = {"run": "one", "root": str(run.parent), "settings": '{"seed": 1}'}
    values["overrides"] = '{"drill.shard": "captions:1"}'
    words = [word for name, value in values.items() for word in ("-p", f"{name}={value}")]
    flow_run = re.search(r"UUID: (\S+)", prefect("deployment", "run", "stage-captions/captions", *words))[1]
    assert ended(server, flow_run) == "Failed"
    return flow_run, stamps(run)


@pytest.fixture(scope="module")
def retried(server, failed) -> tuple[str, dict]:
    """The same after Retry in the UI."""
    answer = server.post(
        f"/flow_runs/{failed[0]}/set_state", json={"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}}
    )
    assert answer.json()["status"] == "ACCEPT"
    eventually(lambda: server.get(f"/flow_runs/{failed[0]}").json()["run_count"], lambda count: count == 2)
    assert ended(server, failed[0]) == "Completed"
    return failed


def test_retry_of_a_failed_run_makes_only_what_failed(server, run, retried):
    flow_run, before = retried
    assert "failed on purpose" in logs(server, flow_run)
    kept = {name: stamp for name, stamp in before.items() if name != "captions/part-00001.parquet"}
    after = stamps(run)
    assert {name: after[name] for name in kept} == kept
    assert after["captions/part-00001.parquet"] != before["captions/part-00001.parquet"]
    eventually(lambda: task_runs(server, flow_run), lambda runs: "Cached" in runs.get("captions-00000", []))
    assert sorted(task_runs(server, flow_run)["captions-00001"]) == ["Completed", "Failed"]


def test_one_stage_by_its_deployment_says_what_is_stale_after_it(server, run, retried):
    eventually(lambda: logs(server, retried[0]), lambda text: "stale now: assembly" in text)
    query = {"artifacts": {"key": {"any_": ["one-overview"]}}}
    assert any("**assembly**" in found["data"] for found in server.post("/artifacts/filter", json=query).json())
    kept = yaml.safe_load((run / "settings.yaml").read_text())
    assert kept["captions"]["seed"] == 1 and kept["captions"]["shard_size"] == 4  # what the form did not name stays
    assert kept["candidates"]["count"] == 16


def test_one_stage_on_the_command_line_makes_the_one_shard_that_is_missing(run, retried, capfd):
    Store(run).part_path("captions", 1).unlink()
    before = stamps(run)
    cli.main(["stage", "captions", "--run", "one", "--runs", str(run.parent), "--runner", "thread"])
    assert "1 of 3 shards made" in capfd.readouterr().out
    after = stamps(run)
    assert set(after) - set(before) == {"captions/part-00001.parquet"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    "deployment, parameters, words",
    [
        ("stage-captions/captions", {"settings": {"attempts": -3}}, "less than the minimum of 1"),
        ("stage-captions/captions", {"settings": {"engine": "parrot"}}, "'grammar', 'vllm', 'openai'"),
        ("everything/all", {"settings": {"captions": {"retries": 9}}}, "greater than the maximum of 3"),
        ("everything/all", {"until": "tomorrow"}, "'dataset', 'pair', 'benchmark'"),
        ("benchmark/gpu", {"unlearning": {"budgets": []}}, "unlearning.budgets"),
        ("pair/pair", {"settings": {"epochs": "many"}}, "'many' is not of type 'integer'"),
    ],
)
def test_a_bad_value_of_a_form_is_refused_before_the_run_starts(server, deployment, parameters, words):
    answer = started(server, deployment, **parameters)
    assert answer.status_code == 409 and words in answer.text, answer.text


def test_deploying_again_changes_nothing_and_keeps_what_people_have_set(server, tmp_path, capsys):
    folder = str(tmp_path)
    first = deploy(capsys, "--runs", folder, "--only", "pair", "--dry-run")
    assert [row["state"] for row in first if row["what"] == "deployment"] == ["changed: parameters"] * 2
    deploy(capsys, "--runs", folder, "--only", "pair")
    (found, _) = server.post("/deployments/filter", json={"flows": {"name": {"any_": ["pair"]}}}).json()
    schedule = [{"schedule": {"interval": 3600}, "active": False}]
    assert server.post(f"/deployments/{found['id']}/schedules", json=schedule).status_code == 201
    again = deploy(capsys, "--runs", folder, "--only", "pair")
    assert {row["state"] for row in again} == {"unchanged", "unchanged, of type process"}
    deploy(capsys, "--runs", f"{folder}/other", "--only", "pair")
    found = server.get(f"/deployments/{found['id']}").json()
    assert found["parameters"] == {"root": f"{folder}/other"} and len(found["schedules"]) == 1


def test_the_forms_of_a_run_open_with_its_settings(server, run, capsys):
    rows = deploy(capsys, "--run", "one", "--runs", str(run.parent), "--only", "stage-captions", "--only", "all-one")
    assert [row["name"] for row in rows if row["what"] == "deployment"] == [
        "everything/all-one",
        "stage-captions/captions-one",
        "stage-captions/gpu-one",
    ]
    kept = yaml.safe_load((run / "settings.yaml").read_text())
    found = server.get("/deployments/name/stage-captions/captions-one").json()
    properties = found["parameter_openapi_schema"]["properties"]
    assert found["parameters"] == {"run": "one", "root": str(run.parent)}
    assert properties["settings"]["default"] == kept["captions"]
    whole = server.get("/deployments/name/everything/all-one").json()["parameter_openapi_schema"]["properties"]
    assert whole["settings"]["default"] == {key: value for key, value in kept.items() if key != "profile"}
    answer = started(server, "everything/all-one", settings=whole["settings"]["default"], root="runs")
    assert answer.status_code == 201, answer.text  # what the form sends fits its own schema
    flow_run = answer.json()["id"]
    assert ended(server, flow_run) == "Failed"
    state = server.get(f"/flow_runs/{flow_run}").json()["state"]
    assert state["message"].startswith("root: 'runs' is relative") and "Traceback" not in logs(server, flow_run)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--only", "capions"], "did you mean 'captions'?"),
        (["--only", "pair", "--pool-type", "docker"], "exists and is of type process"),
        (["--run", "nobody"], "no run in "),
    ],
)
def test_what_cannot_be_deployed_is_refused_in_one_line(server, arguments, words, capsys):
    with pytest.raises(SystemExit):
        cli.main(["deploy", *arguments])
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1


def test_every_field_of_every_form_is_described(server):
    for deployment in server.post("/deployments/filter", json={}).json():
        schema = deployment["parameter_openapi_schema"]
        forms = [schema, *schema.get("definitions", {}).values()]
        fields = [(name, field) for form in forms for name, field in form.get("properties", {}).items()]
        assert len(fields) > 3 and not [name for name, field in fields if not field.get("description")], deployment


def test_the_automation_sees_the_heartbeats_and_the_end_of_a_deployed_run(server, retried):
    (automation,) = server.post("/automations/filter", json={}).json()
    trigger = EventTrigger.model_validate(automation["trigger"])
    flow_run = retried[0]
    query = {"filter": {"resource": {"id": [f"prefect.flow-run.{flow_run}"]}}}

    def found(*names: str) -> list[ReceivedEvent]:
        events = server.post("/events/filter", json=query).json()["events"]
        wanted = [event for event in events if event["event"].removeprefix("prefect.flow-run.") in names]
        return [ReceivedEvent.model_validate(event | {"received": event["occurred"]}) for event in wanted]

    eventually(lambda: (len(found("heartbeat")), len(found("Failed", "Completed"))), lambda n: n[0] >= 1 and n[1] == 2)
    beats, ends = found("heartbeat"), found("Failed", "Completed")
    assert all(trigger.covers(event) and trigger.starts_after(event.event) for event in beats)
    assert all(trigger.covers(event) and trigger.expects(event.event) for event in ends)


def test_crashed_leaves_foreign_flow_runs_and_odd_parameters_alone(server, capsys):
    flow = server.post("/flows/", json={"name": "dataset"}).json()["id"]
    running = {"state": {"type": "RUNNING", "name": "Running"}, "flow_id": flow}
    foreign = server.post("/flow_runs/", json=running | {"tags": ["other"], "parameters": {"run": "one"}}).json()["id"]
    odd = [{"run": ["one"]}, {"run": "", "root": 7}, {"root": None}, {"run": "a\u0000b"}, {"run": {"a": []}}]
    runs = [
        server.post("/flow_runs/", json=running | {"tags": ["salmu"], "parameters": each}).json()["id"] for each in odd
    ]
    cli.main(["crashed", "--silent", "0"])
    told = capsys.readouterr().out
    assert foreign not in told and "5 left as they are" in told
    assert all(re.search(rf"{each} .*left: its parameters name no run", told) for each in runs)
    for each in (foreign, *runs):
        assert server.get(f"/flow_runs/{each}").json()["state"]["name"] == "Running"
        server.delete(f"/flow_runs/{each}")


def test_a_run_whose_machine_died_is_found_and_put_on_again(server, run, retried, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "two")
    store = Store(tmp_path / "two")
    parameters = {"run": "two", "root": str(tmp_path), "overrides": {"portraits.per_identity": 9}}
    answer = started(server, "stage-portraits/portraits", **parameters)
    assert answer.status_code == 201, answer.text
    flow_run = answer.json()["id"]
    eventually(lambda: store.manifest("portraits"), lambda manifest: 1 <= len(manifest.shards) < 5)
    kill(server.workers[-1])
    before, committed = stamps(tmp_path / "two"), [entry.index for entry in store.manifest("portraits").shards]
    server.workers.append(start_worker())
    time.sleep(2)
    cli.main(["crashed", "--silent", "600"])
    assert "gave a sign of life" in capsys.readouterr().out
    assert server.get(f"/flow_runs/{flow_run}").json()["state"]["name"] == "Running"
    cli.main(["crashed", "--silent", "1", "--retry"])
    assert re.search(rf"{flow_run} .*marked Crashed, started again", capsys.readouterr().out)
    assert ended(server, flow_run) == "Completed"
    made = {entry.index for entry in store.manifest("portraits").shards} - set(committed)
    after = stamps(tmp_path / "two")
    kept = {name: stamp for name, stamp in before.items() if name.startswith(("candidates/", "anchors/", "personas/"))}
    assert len(kept) == 4 and {name: after[name] for name in kept} == kept
    runs = task_runs(server, flow_run)
    assert committed and all("Cached" in runs[f"portraits-{index:05d}"] for index in committed)
    assert made and all("Completed" in runs[f"portraits-{index:05d}"] for index in made)
    eventually(lambda: task_runs(server, flow_run), lambda runs: not AT_WORK & set().union(*runs.values()))


def test_shards_made_by_the_workers_of_a_pool_are_those_of_one_machine(server, run, retried, tmp_path):
    shutil.copytree(run, tmp_path / "pooled")
    store, expected = Store(tmp_path / "pooled"), Store(run).manifest("captions")
    for index in (0, 2):
        store.part_path("captions", index).unlink()
    kept = store.part_path("captions", 1).stat().st_mtime_ns
    server.workers.append(start_worker("salmu-gpu"))
    where = ["--run", "pooled", "--runs", str(tmp_path)]
    cli.main(["stage", "captions", *where, "--runner", "workpool", "--workers", "1"])
    assert store.manifest("captions").digest == expected.digest and store.manifest("captions").complete
    assert store.part_path("captions", 1).stat().st_mtime_ns == kept
    assert not store.orphans("captions") and not list(store.stage_folder("captions").glob(".made-*"))
    runs = server.post("/flow_runs/filter", json={"flows": {"name": {"any_": ["shards"]}}}).json()
    assert {each["state"]["name"] for each in runs} == {"Completed"} and len(runs) == 2
    assert sorted(sum((each["parameters"]["indices"] for each in runs), [])) == [0, 2]
