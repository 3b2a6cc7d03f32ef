"""The command line: salmu run | stage | status | plan | verify | publish | inspect | …"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable

from salmu.data.errors import UserError
from salmu.data.suggestions import did_you_mean
from salmu.data.text import printable
from salmu.flows.command_line.arguments import parser

COMMANDS = {  # name -> the module of this folder that holds its function, which takes the parsed arguments
    "run": "run_commands",
    "stage": "run_commands",
    "status": "run_commands",
    "plan": "run_commands",
    "check": "check_command",
    "inspect": "run_commands",
    "clean": "run_commands",
    "report": "run_commands",
    "deploy": "server_commands",
    "crashed": "server_commands",
    "verify": "dataset_commands",
    "publish": "dataset_commands",
    "gallery": "dataset_commands",
    "evaluate": "model_commands",
    "unlearn": "model_commands",
    "merge": "model_commands",
    "forget": "request_commands",
    "tune": "model_commands",
    "generator": "generator_command",
    "concepts": "concepts_command",
    "granularity": "granularity_command",
    "captioner": "captioner_command",
    "submission": "model_commands",
    "methods": "reference_commands",
    "settings": "reference_commands",
    "completion": "reference_commands",
}


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit code 0: done; 2: an error that the person can mend, told in one line; 130: interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _require_command(arguments)
        options = parser().parse_args(arguments)
        _set_loudness(options)
        if getattr(options, "methods", None) or options.command == "methods":
            _load_methods(options)
        command(options.command)(options)
    except UserError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; finished work is kept; run the same command to continue", 130))
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:
        import httpx

        if problem := _of_prefects_settings(error):
            sys.exit(_fail(problem))
        if not isinstance(error, httpx.TransportError):
            raise
        where = os.environ.get("PREFECT_API_URL", "of this run")
        sys.exit(
            _fail(
                f"the Prefect server {where} cannot be reached ({error}); finished work is kept; run the same command "
                "to continue"
            )
        )


def _of_prefects_settings(error: Exception) -> str | None:
    """What is wrong with Prefect's settings in the surroundings, where the error comes from reading them."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    readers = [name for name in modules if not name.startswith(("pydantic", "toml"))]
    if not readers or not readers[-1].startswith("prefect.settings"):
        return None
    said = str(error)
    if hasattr(error, "errors"):  # pydantic's; the value itself may be a secret
        first = error.errors()[0]
        said = f"{error.title}, {'.'.join(map(str, first['loc']))}: {first['msg']}"
    said = " ".join(said.split())
    return f"Prefect's settings cannot be read ({said}); correct PREFECT_… in the environment or profiles.toml"


def _require_command(arguments: list[str]) -> None:
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        raise UserError(f"no command {arguments[0]!r}{did_you_mean(arguments[0], COMMANDS)}; see salmu --help")


def _set_loudness(options) -> None:
    """Before Prefect is loaded: the terminal shows bars and one-line errors, and with --verbose the logs too; with
    --quiet the final result alone."""
    level = "INFO" if options.verbose else "CRITICAL"
    for name in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
        if options.verbose:
            os.environ[name] = level
        os.environ.setdefault(name, level)
    if options.quiet:
        os.environ["SALMU_QUIET"] = "1"


def command(name: str) -> Callable:
    """The function of a command; only its own module is loaded."""
    return getattr(importlib.import_module(f"salmu.flows.command_line.{COMMANDS[name]}"), name)


def _load_methods(options) -> None:
    """--methods: the other methods work when one cannot be used, so that is a warning; for the method that the command
    is about, it will be the error."""
    from salmu.evaluation.unlearning.registry import catalogue, choose

    for line in choose(options.methods):
        if line != catalogue().broken.get(getattr(options, "method", None)):
            print(f"warning: method left out: {line}", file=sys.stderr)


def _fail(message, code: int = 2) -> int:
    print(f"error: {printable(str(message))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
