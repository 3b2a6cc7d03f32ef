"""The command line: salmu run | stage | status | plan | verify | publish | inspect | …"""

import importlib
import os
import sys

for _level in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
    os.environ.setdefault(_level, "CRITICAL")  # the terminal shows bars and one-line errors; logs are in the UI

from salmu.data.errors import UserError  # noqa: E402
from salmu.flows.command_line.arguments import parser  # noqa: E402

COMMANDS = {  # name -> the module of this folder that holds its function, which takes the parsed arguments
    "run": "run_commands",
    "stage": "run_commands",
    "status": "run_commands",
    "plan": "run_commands",
    "inspect": "run_commands",
    "clean": "run_commands",
    "report": "run_commands",
    "crashed": "run_commands",
    "verify": "dataset_commands",
    "publish": "dataset_commands",
    "gallery": "dataset_commands",
    "evaluate": "model_commands",
    "unlearn": "model_commands",
    "tune": "model_commands",
    "submission": "model_commands",
}


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit code 0: done; 2: an error that the person can mend, told in one line; 130: interrupted."""
    options = parser().parse_args(arguments)
    try:
        if getattr(options, "methods", None):
            _load_methods(options.methods)
        command(options.command)(options)
    except UserError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; what is finished is kept, run the same command again to go on", 130))
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:
        import httpx

        if not isinstance(error, httpx.TransportError):
            raise
        where = os.environ.get("PREFECT_API_URL", "of this run")
        sys.exit(_fail(f"the Prefect server {where} cannot be reached ({error}); what is finished is kept, run again"))


def command(name: str):
    """The function of a command; only its own module is loaded."""
    return getattr(importlib.import_module(f"salmu.flows.command_line.{COMMANDS[name]}"), name)


def _load_methods(paths: list[str]) -> None:
    """--methods: the other methods work when one cannot be used, so that is a warning."""
    from salmu.evaluation.unlearning.registry import choose

    for line in choose(paths):
        print(f"warning: method left out: {line}", file=sys.stderr)


def _fail(message, code: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
