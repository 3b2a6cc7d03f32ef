"""README, CI script and deployments agree with each other and with the code."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import prefect
import pytest
import yaml

from salmu.flows.command_line import cli
from salmu.flows.dataset import STAGE_FLOWS
from salmu.flows.running.flow_runs import TAG
from salmu.flows.running.stages import STAGES
from salmu.flows.settings import load_profile, parse_assignment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEPLOYMENTS = yaml.safe_load((ROOT / "flows" / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


def test_ci_runs_the_readmes_second_command_and_nothing_else():
    commands = re.findall(r"^    (\S.*)$", README, flags=re.M)
    script = [
        line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith(("#", "set "))
    ]
    assert script == [commands[1]]
    assert commands[0].endswith("salmu run --profile tiny") and commands[1].endswith("pytest")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: f"{each['entrypoint']}/{each['name']}")
def test_every_deployment_points_at_a_flow_whose_parameters_prefect_can_show(deployment):
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, prefect.Flow)
    assert "run" in found.parameters.model_dump()["properties"]
    assert TAG in deployment["tags"] and deployment["parameters"] == {"root": "{{ $SALMU_RUNS }}"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_settings_are_a_form_with_described_fields(stage):
    schema = STAGE_FLOWS[stage].parameters.model_dump()
    form = schema["definitions"][schema["properties"]["settings"]["anyOf"][0]["$ref"].rsplit("/", 1)[1]]
    assert set(form["properties"]) == set(STAGES[stage].Settings.model_fields)
    assert all(field.get("description") for field in form["properties"].values())
    assert all(schema["properties"][name]["description"] for name in ("run", "settings", "overrides", "root"))


def test_there_is_a_deployment_for_the_whole_and_for_each_stage():
    pools = {pool: [d for d in DEPLOYMENTS if d["work_pool"]["name"] == pool] for pool in ("salmu-cpu", "salmu-gpu")}
    assert {deployment["name"] for deployment in pools["salmu-cpu"]} == {
        "all",
        "dataset",
        "pair",
        "benchmark",
        "requests",
        *STAGES,
    }
    assert {deployment["name"] for deployment in pools["salmu-gpu"]} == {"gpu"}
    assert sum(map(len, pools.values())) == len(DEPLOYMENTS)


def test_no_module_of_the_flows_hides_one_of_the_standard_library():
    """A folder of modules may come first on a worker's path."""
    assert not {path.stem for path in (ROOT / "flows").glob("*.py")} & set(sys.stdlib_module_names)


def test_every_command_of_the_readme_is_understood():
    """By the parser and the settings; files, modules and deployments that a line names are there."""
    lines = re.findall(r"^    (\S.*)$", README, flags=re.M)
    lines += re.findall(r"`((?:salmu \w[^`\n]* --|python )[^`\n]+)`", README)
    shown = set()
    for line in lines:
        words = shlex.split(line.replace("|", " "), comments=True) if " -> " not in line else []
        if words[:1] == ["salmu"]:
            options = cli.parser().parse_args(words[1:])
            load_profile("tiny", dict(parse_assignment(text) for text in getattr(options, "assignments", [])))
            shown.add(options.command)
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), line
        elif words[:2] == ["python", "-c"]:
            compile(words[2], line, "exec")
        elif words[:1] == ["python"]:
            assert all((ROOT / "benchmarks" / Path(word).name).is_file() for word in words if word.endswith(".py")), (
                line
            )
        elif words[1:3] == ["deployment", "run"]:
            assert words[3].rpartition("/")[2] in {deployment["name"] for deployment in DEPLOYMENTS}, line
    assert shown <= set(cli.COMMANDS) and {"run", "evaluate", "unlearn", "submission", "verify"} <= shown
