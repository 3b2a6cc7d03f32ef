"""Offline, quiet surroundings for every test, and one Prefect server for those that need one."""

import gc
import os
import tempfile
from pathlib import Path

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # many processes import torch: only the first one shall compile it
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="salmu-prefect-")  # the server's database: not the person's own
os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
os.environ.pop("PREFECT_API_URL", None)

import hypothesis  # noqa: E402
import pytest  # noqa: E402

import salmu  # noqa: E402, F401  torchvision_compat is in place before anybody imports torchvision

# Files that take a minute or more come first: with them at the end, one process would work alone. cli makes the run
# that docs and deployments share; what stands between them keeps the other processes busy until it is there.
LONGEST = ("cli", "object_store", "real_engines", "runners", "docs", "deployments", "pools")


def pytest_collection_modifyitems(items):
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish():
    """What is loaded by now stays; the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


hypothesis.settings.register_profile("salmu", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("salmu")


@pytest.fixture(autouse=True)
def runner_of_nobody():
    """A command's choice of a runner ends with its test."""
    yield
    for name in ("SALMU_RUNNER", "SALMU_WORKERS", "SALMU_ADDRESS", "SALMU_QUIET"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def smoke_run(prefect_server, tmp_path_factory) -> Path:
    """The folder of a run that two worker processes made without a disturbance, once for all processes of the tests.
    Read it only, or copy it. A folder in SALMU_SMOKE_RUN keeps it for the next pytest."""
    import smoke_run

    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return smoke_run.made_once(Path(os.environ.get("SALMU_SMOKE_RUN", shared)))


@pytest.fixture(scope="session")
def prefect_server():
    """A real Prefect server on a free port; flows of this process and its children use it. Gives the URL of its API."""
    from prefect.settings import PREFECT_API_URL

    from salmu.flows.running.processes import api_server

    with api_server():
        yield PREFECT_API_URL.value()
