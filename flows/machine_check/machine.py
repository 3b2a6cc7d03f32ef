"""What the machine has: Python, GPU and driver, memory, disk."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from salmu.flows.machine_check.findings import FAILED, NOT_CHECKED, NOTE, OK, Finding

QUERY = "index,name,driver_version,memory.total,memory.free"


def machine(folder, megabytes: float, gpu: dict[str, Any] | None, problem: str) -> list[Finding]:
    """The machine for a run in `folder`, which will have so many megabytes. `gpu`: what torch and onnxruntime said of
    the GPUs in a process of their own (see `gpu_report`), None with a problem where it did not end well."""
    found = [Finding("machine", "Python", OK, f"{platform.python_version()}, {platform.platform()}")]
    found += _gpu(gpu, nvidia_smi()) if gpu else [Finding("machine", "torch", FAILED, problem)]
    found.append(Finding("machine", "memory", OK, f"{memory_gb():.1f} GB, {os.cpu_count()} cores"))
    return [*found, _disk(folder, megabytes)]


def gpu_report() -> dict[str, Any]:
    """Versions of torch and onnxruntime, and the GPUs that torch computes on. Runs where a crash harms nobody."""
    import onnxruntime
    import torch

    devices = []
    for index in range(torch.cuda.device_count()):
        one, ones = torch.cuda.get_device_properties(index), torch.ones(512, 512, device=f"cuda:{index}")
        devices.append(
            {
                "name": one.name,
                "memory_gb": round(one.total_memory / 1e9, 1),
                "capability": f"{one.major}.{one.minor}",
                "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
                "computes": bool((ones @ ones).sum().item() == 512.0**3),
            }
        )
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "devices": devices,
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
    }


def nvidia_smi() -> list[dict[str, str]]:
    """The GPUs that the driver knows; empty where there is no nvidia-smi."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = told.stdout.splitlines() if told.returncode == 0 else []
    return [dict(zip(QUERY.split(","), (cell.strip() for cell in line.split(",")), strict=False)) for line in lines]


def memory_gb() -> float:
    """Memory of the machine, or what its container may have."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return (min(total, int(limit)) if limit.isdecimal() else total) / 1e9


def _gpu(said: dict[str, Any], driver: list[dict[str, str]]) -> list[Finding]:
    cuda = said["cuda"] and f"CUDA {said['cuda']}"
    found = [Finding("machine", "torch", OK, f"{said['torch']}, {cuda or 'no CUDA in it'}")]
    for number, gpu in enumerate(said["devices"]):
        known = driver[number] if number < len(driver) else {}
        more = [f"driver {known['driver_version']}, {known['memory.free']} MiB free"] if known else []
        text = ", ".join([f"{gpu['name']}, {gpu['memory_gb']} GB, compute capability {gpu['capability']}", *more])
        state, told = (OK, text) if gpu["computes"] else (FAILED, f"{text}: it computes wrongly")
        found.append(Finding("machine", f"GPU {number}", state, told))
    if not said["devices"]:
        if driver:
            text = f"the driver knows {driver[0].get('name')}, torch does not see it: install torch with CUDA"
            found.append(Finding("machine", "GPU", FAILED, text))
        else:
            found.append(Finding("machine", "GPU", NOT_CHECKED, "no GPU here: nothing below was tried on one"))
    elif "CUDAExecutionProvider" not in said["providers"]:
        text = f"onnxruntime {said['onnxruntime']} has no CUDA: face packs run on the CPU (pip: onnxruntime-gpu)"
        return [*found, Finding("machine", "onnxruntime", NOTE, text)]
    return [*found, Finding("machine", "onnxruntime", OK, f"{said['onnxruntime']}, {', '.join(said['providers'])}")]


def _disk(folder, megabytes: float) -> Finding:
    if not isinstance(folder, Path):
        return Finding("machine", "disk", NOT_CHECKED, f"{folder} is an object store")
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free / 1e6
    text = f"{free / 1e3:,.1f} GB free at {there}; the stages take about {megabytes / 1e3:,.2f} GB, models not counted"
    return Finding("machine", "disk", OK if free > megabytes else FAILED, text)
