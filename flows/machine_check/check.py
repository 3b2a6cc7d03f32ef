"""The whole check: what is looked at, in which order, and what one finding means for the next."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from salmu.flows.checks import counted, problems
from salmu.flows.machine_check.findings import FAILED, NOT_CHECKED, NOTE, OK, Finding
from salmu.flows.machine_check.isolated import isolated
from salmu.flows.machine_check.machine import machine
from salmu.flows.machine_check.measured_rates import DECIDE, Measured, of_stage
from salmu.flows.machine_check.packages import packages
from salmu.flows.names import PARTS
from salmu.flows.running.stages import STAGES
from salmu.flows.settings import RunSettings

EXTRA_OF = {"portraits": "portraits", "captions": "vllm"}  # stage -> extra without which its engine is not tried
TRIED = {  # what is tried -> the part of a run that does it
    **{stage: stage for stage in ("candidates", "portraits", "analysis", "captions")},
    "training": "pair",
    "metrics": "benchmark",
}

CELLS = {"load s": "loaded", "cold s": "cold", "MB": "memory", "GPU MB": "gpu memory", "detail": "detail"}  # of a row


class Check(NamedTuple):
    """What was found. `engines`: a row for each engine; `rates`: what an item of a stage takes here."""

    findings: list[Finding]
    engines: list[dict[str, Any]]
    forms: list[str]
    rates: dict[str, Measured]

    @property
    def all(self) -> list[Finding]:
        """With a finding for each engine."""
        return self.findings + [
            Finding(row["tried"], row["engine"], row["state"], row["detail"]) for row in self.engines
        ]


def check(
    settings: RunSettings,
    folder,
    root: str,
    megabytes: float,
    limit: float,
    parts: Sequence[str] = PARTS,
    say: Callable[[str], None] = lambda part: None,
) -> Check:
    """Check the machine, and for these parts of a run the packages, the settings, the weights, and each engine with a
    few items.

    `folder`: of the run, in the folder or URL `root`; `megabytes`: what the run will take. `limit`: seconds for each
    process. `say` is told what comes next."""
    say("the machine")
    gpu = isolated("gpu", settings, limit)
    said = gpu.records[0] if gpu.records else None
    findings = machine(folder, megabytes, said, gpu.problem)
    findings += packages(settings, root, parts)
    wrong = [one for one in problems(settings, counted(settings)[1]) if one.part in parts]
    findings += [Finding("settings", one.part, FAILED, one.message) for one in wrong]
    say("the weights")
    weights = isolated("weights", settings, limit)
    named = [(stage, Finding(*row)) for record in weights.records for stage, row in record["weights"]]
    named = [(stage, finding) for stage, finding in named if stage in parts]
    findings += dict.fromkeys(finding for _, finding in named)
    if weights.problem:
        findings.append(Finding("weights", "all", FAILED, weights.problem))
    device = said["devices"][0]["name"] if said and said["devices"] else None
    rows, forms, rates = [], [], {}
    for name in (name for name, part in TRIED.items() if part in parts):
        row = {"tried": name, "engine": engine_of(name, settings), "state": NOT_CHECKED, "load s": "", "cold s": ""}
        row |= {"items": "", "s an item": "", "MB": "", "GPU MB": "", "detail": ""}
        row["detail"] = reason_against(name, settings, findings, named, device is not None)
        if not row["detail"]:
            say(f"{name} ({row['engine']})")
            outcome = isolated(name, settings, limit)
            row |= told(outcome.records, outcome.problem, device is None and uses_gpu(name, settings))
            forms += [record["form"] for record in outcome.records if "form" in record]
            if name in DECIDE and row["s an item"] != "" and row["state"] in (OK, NOTE):
                on = "GPU" if device and uses_gpu(name, settings) else "core"
                seconds = of_stage(name, row["s an item"], settings)
                rates[name] = Measured(seconds, on, f"measured by salmu check ({device if on == 'GPU' else 'CPU'})")
        rows.append(row)
    return Check(findings, rows, forms, rates)


def engine_of(name: str, settings: RunSettings) -> str:
    """What does the work, in a word or two."""
    if name in ("training", "metrics"):
        return settings.pair.model
    own = getattr(settings, name)
    if name == "candidates":
        return f"{own.source}, {Path(own.faces.pack).name}"
    return own.engine if name in EXTRA_OF else f"{Path(own.faces.pack).name}, {Path(own.clip).name}"


def reason_against(
    name: str, settings: RunSettings, findings: list[Finding], weights: list[tuple[str, Finding]], gpu: bool
) -> str:
    """Why an engine is not tried; empty if it is."""
    for stage, finding in weights:
        if stage == name and finding.state != OK:
            return f"not without the weights of {finding.what}"
    extra = EXTRA_OF.get(name)
    if any(finding[:3] == ("packages", extra, FAILED) for finding in findings):
        return f"not without the packages of the extra {extra}"
    if not gpu and (key := asks_for_cuda(name, settings)):
        return f"{key} asks for CUDA, and there is no GPU here"
    return ""


def asks_for_cuda(name: str, settings: RunSettings) -> str:
    """The setting by which an engine computes on a GPU or not at all; empty if it may compute on a CPU."""
    if name == "training":
        return "pair.device" if settings.pair.device.startswith("cuda") else ""
    if name == "metrics":
        return "evaluation.device" if settings.evaluation.device.startswith("cuda") else ""
    waiting = [(name, getattr(settings, name).model_dump())]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{key}.{inner}", one) for inner, one in value.items()]
        elif value == "cuda":
            return key
    return ""


def uses_gpu(name: str, settings: RunSettings) -> bool:
    """Whether an engine computes on a GPU where there is one."""
    if name in ("training", "metrics"):
        return bool(asks_for_cuda(name, settings))
    module = STAGES[name]
    return hasattr(module, "uses_gpu") and module.uses_gpu(getattr(settings, name))


def told(records: list[dict[str, Any]], problem: str, only_a_cpu: bool) -> dict[str, Any]:
    """The cells of an engine's row, from what its process said."""
    row: dict[str, Any] = {"state": OK}
    for record in records:
        if "items" in record:
            row |= {"items": record["items"], "s an item": round(record["seconds"] / record["items"], 5)}
        if "too many" in record:
            row["state"] = NOTE
            row["detail"] += f"; {record['too many']} at once are too much for the memory"
        row |= {cell: record[at] for cell, at in CELLS.items() if at in record}
    if problem.startswith("not finished") and (only_a_cpu or "detail" in row):
        row["state"] = NOTE if "detail" in row else NOT_CHECKED
        row["detail"] = f"{row['detail']}; then {problem}" if "detail" in row else f"{problem} on a CPU"
    elif problem:
        row |= {"state": FAILED, "detail": problem}
    return row
