"""Container and launch files, each judged by a tool made for it; nothing is built or started here."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import dockerfile_parse
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from prefect.utilities.templating import apply_values

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
TOOLS = Path(sys.executable).parent
KUBERNETES = "1.31"  # the oldest version that the manifests are held against
SCRIPTS = sorted([*DEPLOY.rglob("*.sh"), *(ROOT / "model_training" / "launch").glob("*.sh")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
POOLS = {
    entry["work_pool"]["name"] for entry in yaml.safe_load((ROOT / "flows" / "prefect.yaml").read_text())["deployments"]
}


def passes(*command) -> None:
    found = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def locked(path: Path) -> dict[str, list[Requirement]]:
    """Name -> its pins, which differ by platform and Python, in a lock file."""
    pins: dict[str, list[Requirement]] = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", " ")):
            pin = Requirement(line.rstrip(" \\"))
            pins.setdefault(_canonical(pin.name), []).append(pin)
    return pins


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_hadolint_finds_nothing_in_the_dockerfile():
    passes(TOOLS / "hadolint", DEPLOY / "Dockerfile")


def test_both_images_take_only_files_that_the_build_is_given():
    parser = dockerfile_parse.DockerfileParser(path=str(DEPLOY / "Dockerfile"))
    targets = [step["value"].split()[-1] for step in parser.structure if step["instruction"] == "FROM"]
    assert targets == ["base", "cpu", "gpu"] and parser.parent_images[0].startswith("python:3.")
    copied = [step["value"].split()[:-1] for step in parser.structure if step["instruction"] == "COPY"]
    given = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert all((ROOT / name).exists() for name in given)
    sources = {word for words in copied for word in words if not word.startswith("--")} - {"."}
    assert sources <= given, "a file that the build would not find"
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    needed = packages | {"pyproject.toml", "setup.py", "README.md"}
    assert needed <= given, "a package that the image would lack"


def test_the_compose_file_fits_its_schema_and_the_project():
    passes(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    services, used = COMPOSE["services"], {"base"}
    for name, service in services.items():
        waits = set(service.get("depends_on", {}))
        assert waits <= set(services), f"{name} waits for a service that is not there"
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
        assert name == "setup" or "healthcheck" in service, f"{name} has no health check"
        if "build" in service:
            target = service["build"]["target"]
            assert service["image"] == f"salmu:{target}"
            used.add(target)
    assert used == {"base", "cpu", "gpu"}
    served = {service["command"][4] for name, service in services.items() if name in ("cpu", "gpu")}
    assert served == POOLS
    assert services["setup"]["command"][:2] == ["salmu", "deploy"]
    reserved = services["gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert reserved["capabilities"] == ["gpu"] and services["gpu"]["profiles"] == ["gpu"]


def test_no_password_stands_in_the_compose_file():
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|KEY", name):
                assert re.fullmatch(r"\$\{[A-Z_]+:[-?].*\}", value), f"{name} has a value"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_a_script(script):
    passes(TOOLS / "shellcheck", script)
    assert "set -euo pipefail" in script.read_text()


def test_the_worker_on_kubernetes_is_valid():
    manifests = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "worker.yaml").read_text()))
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    (worker,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    command = worker["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[command.index("--pool") + 1] in POOLS


def test_the_job_template_makes_a_valid_job_with_gpus_and_the_volumes_of_the_worker():
    template = json.loads((DEPLOY / "kubernetes" / "gpu-job-template.json").read_text())
    variables = template["variables"]["properties"]
    asked = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert asked == set(variables), "a variable that nothing asks for, or that is not described"
    values = {name: value["default"] for name, value in variables.items() if value.get("default") is not None}
    values |= {"name": "shards", "labels": {}, "annotations": {}, "gpus": 4, "service_account_name": "default"}
    values |= {"env": [{"name": "PREFECT_HOME", "value": "/tmp"}], "command": ["prefect", "flow-run", "execute"]}
    job = apply_values(template["job_configuration"], values)["job_manifest"]
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 4}
    manifests = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "worker.yaml").read_text()))
    claims = {manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == "PersistentVolumeClaim"}
    assert {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v} == claims
    assert values["namespace"] == manifests[0]["metadata"]["namespace"]


@pytest.mark.parametrize(
    "name, extras, elsewhere",
    [("cpu", ["s3"], {"torch", "torchvision"}), ("gpu", ["portraits", "s3", "tracking"], set())],
)
def test_a_lock_file_satisfies_the_project(name, extras, elsewhere):
    path = DEPLOY / f"requirements-{name}.txt"
    pins, text = locked(path), path.read_text()
    wanted = [*PROJECT["dependencies"], *(r for extra in extras for r in PROJECT["optional-dependencies"][extra])]
    for requirement in map(Requirement, wanted):
        found = pins.get(_canonical(requirement.name), [])
        assert found or requirement.name in elsewhere, f"{path.name} lacks {requirement.name}: run deploy/lock.sh"
        for pin in found:
            (exact,) = pin.specifier
            assert exact.operator == "==" and requirement.specifier.contains(exact.version), (
                f"{pin}: run deploy/lock.sh"
            )
    assert not elsewhere & set(pins) and len(re.findall(r"^[a-z].*\\$", text, flags=re.M)) == sum(
        map(len, pins.values())
    )
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text)[1:])
    assert name == "gpu" or not any(package.startswith(("nvidia-", "cuda-")) for package in pins)


def test_the_images_install_what_the_lock_files_say():
    recipe, gpu = (DEPLOY / "Dockerfile").read_text(), locked(DEPLOY / "requirements-gpu.txt")
    version = re.search(r"onnxruntime-gpu==(\S+)", recipe)[1]
    assert {str(pin.specifier) for pin in gpu["onnxruntime"]} == {f"=={version}"}
    worker = (DEPLOY / "kubernetes" / "worker.yaml").read_text()
    prefect = Version(re.search(r"prefecthq/prefect:([\d.]+)-", worker)[1])
    assert {str(pin.specifier) for pin in gpu["prefect"]} == {f"=={prefect}"}
