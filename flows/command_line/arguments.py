"""The arguments of the command line."""

import argparse
import os

from salmu.flows.running.stages import STAGES
from salmu.flows.settings import profiles


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    root = argparse.ArgumentParser(
        prog="salmu",
        description="Make a dataset of fictitious people, train a pair of CLIP models on it, and "
        "measure what unlearning forgets and what it breaks.",
    )
    commands = root.add_subparsers(dest="command", required=True)

    def command(
        name: str,
        help: str,
        run: bool = True,
        change: bool = False,
        work: bool = False,
        json: bool = False,
        methods: bool = False,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        if run:
            sub.add_argument("--run", metavar="NAME", help="name of the run (default: the profile's name, or tiny)")
            sub.add_argument("--runs", metavar="DIR", default="runs", help="folder or URL of all runs (default: runs)")
        if change:
            sub.add_argument(
                "--set",
                metavar="KEY=VALUE",
                action="append",
                default=[],
                dest="assignments",
                help="change a setting, for instance portraits.per_identity=40; may be given many times",
            )
        if json:
            sub.add_argument("--json", action="store_true", help="print JSON, for scripts")
        if methods:
            sub.add_argument(
                "--methods",
                metavar="FILE_OR_DIR",
                action="append",
                help="a Python file with an unlearning method, or a folder of them; may be given many times",
            )
        if work:
            sub.add_argument("--workers", type=int, help="how many workers (default: one a core)")
            sub.add_argument(
                "--runner",
                choices=["process", "thread", "ray", "dask", "workpool"],
                help="where shards are made (default: processes of this machine, one a GPU where a stage uses GPUs)",
            )
            sub.add_argument("--address", help="of a Ray or Dask cluster (default: one of this machine, for the run)")
        return sub

    run = command(
        "run", "the whole chain: dataset, model pair, benchmark, report", change=True, work=True, methods=True
    )
    run.add_argument(
        "--profile", help=f"{', '.join(profiles())}, or a YAML file (default: the run's own settings, else tiny)"
    )
    run.add_argument(
        "--until", choices=["dataset", "pair", "benchmark"], default="benchmark", help="stop after this part"
    )
    stage = command("stage", "one stage of a run, with what is above it taken from the run", change=True, work=True)
    stage.add_argument("stage", choices=list(STAGES))
    command("status", "what a run has done")
    plan = command(
        "plan", "what a run would do, and what it costs, before anything runs", change=True, json=True, methods=True
    )
    plan.add_argument("--workers", type=int, default=os.cpu_count(), help="cores to plan with (default: all)")
    plan.add_argument("--profile", help="plan this profile rather than the run's own settings")
    plan.add_argument("--gpus", type=int, default=1, help="GPUs to plan with (default: 1)")
    plan.add_argument("--gpu-price", type=float, default=2.5, help="price of a GPU-hour (default: 2.5)")
    verify = command("verify", "check every file of a run against its manifest, or judge its personas anew")
    verify.add_argument("what", nargs="?", choices=["files", "personas"], default="files", help="default: files")
    verify.add_argument("--dataset", metavar="DIR", help="of a published folder rather than of a run")
    publish = command("publish", "send the finished dataset to a folder, a URL or the Hugging Face hub")
    publish.add_argument("--to", required=True, metavar="TARGET", help="folder, fsspec URL, or hf://OWNER/NAME")
    publish.add_argument("--dataset", metavar="DIR", help="a published folder rather than that of a run")
    publish.add_argument("--dry-run", action="store_true", help="tell what would be sent, send nothing")
    publish.add_argument("--public", action="store_true", help="a new hub repository is public (default: private)")
    inspect = command("inspect", "show items of a stage, in the terminal or as an HTML page")
    inspect.add_argument("stage", choices=list(STAGES))
    inspect.add_argument("item", nargs="?", help="key of one item, for instance a file name (default: the first ones)")
    inspect.add_argument(
        "--where", metavar="COLUMN=VALUE", action="append", default=[], help="only rows with this value"
    )
    inspect.add_argument("--rejects", action="store_true", help="what was dropped, and why")
    inspect.add_argument("--rows", type=int, default=5, help="how many are shown at most (default: 5)")
    inspect.add_argument("--html", metavar="FILE", help="write a page with pictures instead")
    clean = command("clean", "remove files that no manifest names")
    clean.add_argument("--dry-run", action="store_true", help="tell them, remove nothing")
    crashed = command("crashed", "mark flow runs that nobody works on any more, on the Prefect server", run=False)
    crashed.add_argument(
        "--silent", type=float, default=600, metavar="SECONDS", help="without a sign of life (default: 600)"
    )
    crashed.add_argument("--retry", action="store_true", help="put them on again; only what is missing is made")
    crashed.add_argument("--dry-run", action="store_true", help="tell them, change nothing")
    command("report", "write a run's HTML report again")
    gallery = command("gallery", "write a page that shows people, portraits and captions, and opens offline")
    gallery.add_argument("--dataset", metavar="DIR", help="of a published folder rather than of a run")
    gallery.add_argument("--out", metavar="DIR", help="default: gallery in the run's folder, or DIR-gallery")
    gallery.add_argument("--side", type=int, default=160, help="pixels of a picture's longest side (default: 160)")
    evaluate = command("evaluate", "score a model with the benchmark's metrics", run=False, change=True)
    evaluate.add_argument(
        "--model", required=True, help="folder in open_clip's layout, or any name that open_clip knows"
    )
    evaluate.add_argument("--dataset", required=True, help="published dataset folder")
    evaluate.add_argument("--out", required=True, help="JSON file to write")
    unlearn = command("unlearn", "make a model that forgot", run=False, change=True, methods=True)
    unlearn.add_argument("method")
    unlearn.add_argument("--model", required=True, help="folder of the model that shall forget, in open_clip's layout")
    unlearn.add_argument("--dataset", required=True, help="published dataset folder")
    unlearn.add_argument(
        "--budget", type=float, default=5.0, help="pairs seen, as a multiple of the forget set (default: 5)"
    )
    unlearn.add_argument("--seed", type=int, default=0)
    unlearn.add_argument("--out", required=True, help="folder to write")
    tune = command(
        "tune", "choose a method's settings on a cut of the forget set alone", run=False, change=True, methods=True
    )
    tune.add_argument("method")
    tune.add_argument("--model", required=True, help="folder of the model that shall forget, in open_clip's layout")
    tune.add_argument("--dataset", required=True, help="published dataset folder")
    tune.add_argument("--trials", type=int, default=8, help="the same for every method that is compared (default: 8)")
    tune.add_argument("--seed", type=int, default=0)
    tune.add_argument("--out", required=True, help="folder for trials.jsonl and tuned.json; a killed tuning goes on")
    submission = command("submission", "check an unlearned model before it is handed in", run=False)
    submission.add_argument("--model", required=True, help="folder of the unlearned model, with its unlearning.json")
    submission.add_argument("--compromised", required=True, help="folder of the model that it started from")
    submission.add_argument("--dataset", required=True, help="published dataset folder")
    submission.add_argument("--results", required=True, help="its result file, by salmu evaluate")
    return root
