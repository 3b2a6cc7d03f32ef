"""What every flow run of this project has in common: a tag, and an end that one line explains."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from prefect.context import FlowRunContext
from prefect.states import Failed

from salmu.data.errors import UserError
from salmu.data.files import location

TAG = "salmu"  # of every deployment and flow run; commands and the automation act on nothing else


def may_help(task, task_run, state) -> bool:
    """Whether trying again can change anything: not after bad input."""
    try:
        state.result()
    except UserError:
        return False
    except Exception:
        return True
    return False


def fails_in_one_line(run: Callable) -> Callable:
    """A flow's function whose UserError becomes the message of the flow run's state, with no traceback in its log."""

    @functools.wraps(run)
    def told(*arguments, **parameters):
        try:
            return run(*arguments, **parameters)
        except UserError as error:
            logging.getLogger("prefect.flow_runs").addFilter(_without_tracebacks)
            return Failed(message=str(error), data=error)

    return told


def _without_tracebacks(record: logging.LogRecord) -> bool:
    """Prefect logs the error of a deployed run once more, after the line that says how the run ended."""
    return not (record.exc_info and isinstance(record.exc_info[1], UserError))


def absolute_root(root: str) -> str:
    """The folder or URL of all runs as it reads from any working directory."""
    return str(location(root).resolve())


def require_absolute(root: str) -> None:
    """Raises UserError where a deployment's run would write into its worker's temporary folder, which is removed."""
    context = FlowRunContext.get()
    deployed = context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None
    folder = location(root)
    if deployed and isinstance(folder, Path) and not folder.is_absolute():
        raise UserError(
            f"root: {root!r} is relative, and a worker runs in a temporary folder; give an absolute path or a URL "
            "(salmu deploy --runs DIR sets it for all deployments)"
        )
