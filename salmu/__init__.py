"""SALMU: make a dataset of fictitious people, train CLIP models on it, and measure what unlearning forgets.

    import salmu

    run = salmu.run("mine", profile="tiny")                # dataset, model pair, benchmark, report; as `salmu run` does
    run = salmu.open_run("runs/mine")                      # a run that is there
    run.to_pandas()                                        # its leaderboard
    salmu.open_dataset(run.dataset).table("forget")        # an Arrow table
    forgot = salmu.unlearn("scrub", run.models["compromised"], run.dataset, "forgot")
    salmu.evaluate(forgot, run.dataset).to_pandas()        # the metrics of a model
    salmu.forget("requests.csv", run.models["compromised"], run.dataset, "erased")    # erasure requests, with receipts

Errors that a person can mend are `salmu.UserError`. The names load when they are used. `import salmu` itself takes a
few milliseconds; every Python of the environment does it when it starts (data/torchvision_compat.py)."""

from salmu.data import torchvision_compat

__version__ = "0.1.0"
__all__ = [
    "Results",
    "Run",
    "UserError",
    "evaluate",
    "forget",
    "load_model",
    "merge",
    "methods",
    "open_dataset",
    "open_run",
    "run",
    "unlearn",
]

TYPE_CHECKING = False  # type checkers know the name; typing itself would be most of the time of this import
if TYPE_CHECKING:
    from salmu.api import evaluate, forget, load_model, merge, methods, open_dataset, open_run, run, unlearn
    from salmu.data.errors import UserError
    from salmu.results import Results, Run

torchvision_compat.install()


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'salmu' has no attribute {name!r}")
    from salmu import api

    globals().update({each: getattr(api, each) for each in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
