"""What a Prefect server is given: work pools, deployments, the automation. The files prefect.yaml and automations.yaml
of this package say what there is.

Everything is made or brought up to date by name, so doing it twice changes nothing. Work pools that exist, schedules,
and whether something is paused belong to the people of the server and are left as they are."""

import asyncio
import copy
import importlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, NamedTuple

import httpx
import yaml
from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from salmu.data.errors import UserError
from salmu.data.suggestions import did_you_mean
from salmu.flows.running.processes import require_server
from salmu.flows.settings import RunSettings

WITHOUT_A_RUN = "shards"  # the flow that another one starts; it has no form of its own
BANNED = "/%&<>"  # in names of deployments


class Deployment(NamedTuple):
    """One entry of prefect.yaml with its flow."""

    flow: Flow
    name: str
    entry: dict[str, Any]
    fields: dict[str, Any]  # as Prefect's API names them

    @property
    def full_name(self) -> str:
        return f"{self.flow.name}/{self.name}"


def document(name: str) -> dict[str, Any]:
    """A YAML file of the package salmu.flows."""
    return yaml.safe_load(files("salmu.flows").joinpath(name).read_text(encoding="utf-8"))


def deployments(root: str, run: str | None = None, settings: RunSettings | None = None) -> list[Deployment]:
    """Every deployment; or, for a run, each under the name NAME-RUN with a form that holds the run's settings.

    `root`: folder or URL of all runs, as the workers see it."""
    found = []
    for entry in document("prefect.yaml")["deployments"]:
        module, _, attribute = entry["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), attribute)
        if run and flow.name == WITHOUT_A_RUN:
            continue
        limit = entry.get("concurrency_limit", {})
        fields = {
            "entrypoint": entry["entrypoint"],
            "description": entry["description"],
            "version": importlib.metadata.version("salmu"),
            "tags": entry["tags"] + ([run] if run else []),
            "parameters": entry["parameters"] | {"root": root} | ({"run": run} if run else {}),
            "parameter_openapi_schema": form(flow, settings),
            "enforce_parameter_schema": True,
            "work_pool_name": entry["work_pool"]["name"],
            "job_variables": entry["work_pool"]["job_variables"],
            "concurrency_limit": limit.get("limit"),
            "concurrency_options": {"collision_strategy": limit["collision_strategy"]} if limit else None,
            "pull_steps": None,  # the package is installed where the worker runs
            "path": None,
        }
        found.append(Deployment(flow, f"{entry['name']}-{run}" if run else entry["name"], entry, fields))
    return found


def form(flow: Flow, settings: RunSettings | None) -> dict[str, Any]:
    """The schema from which the UI draws a flow's form; with a run's settings as what it starts with.

    They are defaults of the form alone: a run of the deployment that is started without the form takes the settings
    that its folder holds by then."""
    schema = copy.deepcopy(flow.parameters.model_dump_for_openapi())
    if settings is not None:
        plain = settings.model_dump(mode="json", exclude={"drill", "profile"})
        section = flow.name.removeprefix("stage-")
        for name, field in schema["properties"].items():
            if name == "settings":
                field["default"] = plain.get(section, plain)
            elif name in plain:
                field["default"] = plain[name]
    return schema


def chosen(found: list[Deployment], patterns: list[str]) -> list[Deployment]:
    """Those of which the name, the flow, or FLOW/NAME fits one of the patterns (with * and ?). Raises UserError for a
    pattern that none fits."""
    if not patterns:
        return found
    names = {each.full_name: (each.full_name, each.flow.name, each.name) for each in found}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for three in names.values() for name in three):
            known = sorted({name for three in names.values() for name in three})
            guess = did_you_mean(pattern, known) or "; there are " + ", ".join(names)
            raise UserError(f"--only {pattern}: no such deployment{guess}")
    return [
        each
        for each in found
        if any(fnmatchcase(name, pattern) for name in names[each.full_name] for pattern in patterns)
    ]


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """A client of the configured server. Raises UserError of one line if there is none, or if it refuses something."""
    where = PREFECT_API_URL.value()
    if not where:
        raise UserError(
            "PREFECT_API_URL is not set: start a server with `prefect server start`, then set it, for instance to "
            "http://127.0.0.1:4200/api"
        )
    require_server()
    try:
        with get_client(sync_client=True) as client:
            yield client
    except PrefectHTTPStatusError as error:
        reason = error.response.text[:300]
        raise UserError(f"the Prefect server {where} refused: {error.response.status_code} {reason}") from None
    except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: Prefect's word for a server that is away
        raise UserError(f"the Prefect server {where} cannot be reached ({error.__cause__ or error})") from None


def deploy_all(
    client: SyncPrefectClient, wanted: list[Deployment], pool_type: str | None, dry_run: bool
) -> list[dict[str, str]]:
    """Make or update the pools of the deployments, the deployments and the automation; one row each with what was
    done."""
    rows = []

    def done(what: str, name: str, pool: str, state: str) -> None:
        rows.append({"what": what, "name": name, "work pool": pool, "state": state})

    for pool in sorted({each.fields["work_pool_name"] for each in wanted}):
        done("work pool", pool, "", _pool(client, pool, pool_type, dry_run))
    for each in wanted:
        state = _deployment(client, each, dry_run)
        done("deployment", each.full_name, each.fields["work_pool_name"], state)
    for plain in document("automations.yaml")["automations"]:
        done("automation", plain["name"], "", _automation(client, AutomationCore.model_validate(plain), dry_run))
    return rows


def _pool(client: SyncPrefectClient, name: str, kind: str | None, dry_run: bool) -> str:
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        kind = kind or "process"
        template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
        if template is None:
            raise UserError(
                f"--pool-type {kind}: no such type of work pool, or its package is missing, for instance "
                f"prefect-{kind.partition('-')[0]}"
            ) from None
        if not dry_run:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        return f"new, of type {kind}"
    if kind and found.type != kind:
        raise UserError(
            f"--pool-type {kind}: the work pool {name} exists and is of type {found.type}; leave --pool-type out, or "
            f"remove the pool first: prefect work-pool delete {name}"
        )
    return f"unchanged, of type {found.type}"


def _deployment(client: SyncPrefectClient, deployment: Deployment, dry_run: bool) -> str:
    fields = deployment.fields
    try:
        found = client.read_deployment_by_name(deployment.full_name)
    except ObjectNotFound:
        if not dry_run:
            flow = client.create_flow_from_name(deployment.flow.name)
            client.create_deployment(flow_id=flow, name=deployment.name, **fields)
        return "new"
    there = found.model_dump(mode="json")
    there["concurrency_limit"] = (there["global_concurrency_limit"] or {}).get("limit")
    if not there["pull_steps"]:
        there["pull_steps"] = None
    changed = [name for name, value in fields.items() if _plain(there[name]) != _plain(value)]
    if not changed:
        return "unchanged"
    if not dry_run:
        client.update_deployment(found.id, DeploymentUpdate(**fields))
    return "changed: " + ", ".join(changed)


def _plain(value: Any) -> Any:
    """Without the fields that are None, which a server may add."""
    return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


def _automation(client: SyncPrefectClient, wanted: AutomationCore, dry_run: bool) -> str:
    found = next(iter(client.read_automations_by_name(wanted.name)), None)
    if found is None:
        if not dry_run:
            client.create_automation(wanted)
        return "new"
    wanted.enabled = found.enabled
    same = AutomationCore.model_validate(found.model_dump()).model_dump() == wanted.model_dump()  # sets: in any order
    if not same and not dry_run:
        client.update_automation(found.id, wanted)
    return "unchanged" if same else "changed"
