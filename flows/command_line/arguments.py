"""The arguments of the command line. Nothing that takes time to load is imported here."""

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable

from salmu.data.errors import UserError
from salmu.data.suggestions import did_you_mean
from salmu.flows import names

EXIT_CODES = """exit codes:
  0    done
  2    something that you can correct, said in one line on stderr
  130  interrupted (Ctrl-C); finished work is kept
  1    an error of the program itself, with a traceback: please report it"""


class Parser(argparse.ArgumentParser):
    """Bad arguments are a UserError, in one line as every other error."""

    def error(self, message: str):
        raise UserError(f"{message}; see {self.prog} --help")

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            known = re.findall(r"--[a-z-]+", self.commands.choices[options.command].format_help())
            self.error(f"{options.command} does not take {' '.join(unknown)}{did_you_mean(unknown[0], known)}")
        return options


class ShowVersion(argparse.Action):
    def __call__(self, parser, *_):
        import importlib.metadata

        print(f"salmu {importlib.metadata.version('salmu')}")
        parser.exit()


def one_of(what: str, known: Iterable[str]) -> Callable[[str], str]:
    """The type of an argument that is one of some names."""

    def checked(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"no {what} {text!r}{did_you_mean(text, known) or '; there are ' + ', '.join(known)}"
            )
        return text

    return checked


def at_least(least: float, kind: type = int) -> Callable[[str], float]:
    """The type of an argument that is a finite number."""

    def checked(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {'a whole' if kind is int else 'a'} number of at least {least}"
            )
        return value

    return checked


def parser() -> Parser:
    """The arguments of every command."""
    root = Parser(
        prog="salmu",
        description="Make a dataset of fictitious people, train a pair of CLIP models on it, and\n"
        "measure what unlearning forgets and what it breaks.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action=ShowVersion, nargs=0, help="print the version and exit")
    root.commands = commands = root.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands", parser_class=Parser
    )

    def command(
        name: str,
        help: str,
        run: bool = True,
        change: bool = False,
        work: bool = False,
        json: bool = False,
        methods: bool = False,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        loudness = sub.add_mutually_exclusive_group()
        loudness.add_argument("-v", "--verbose", action="store_true", help="show the logs too")
        loudness.add_argument("-q", "--quiet", action="store_true", help="print errors and the final result only")
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
            sub.add_argument("--json", action="store_true", help="print the result as JSON, for scripts")
        if methods:
            sub.add_argument(
                "--methods",
                metavar="FILE_OR_DIR",
                action="append",
                help="a Python file with an unlearning method, or a folder of them; may be given many times",
            )
        if work:
            sub.add_argument(
                "--workers", metavar="N", type=at_least(1), help="number of workers (default: one per core)"
            )
            sub.add_argument(
                "--runner",
                choices=["process", "thread", "ray", "dask", "workpool"],
                help="where shards are made (default: processes of this machine, one per GPU if a stage uses GPUs)",
            )
            sub.add_argument("--address", help="of a Ray or Dask cluster (default: one of this machine, for the run)")
        return sub

    def profile(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--profile",
            metavar="PROFILE",
            help=f"{', '.join(names.profiles())}, or a YAML file (default: the run's own settings, else tiny)",
        )
        sub.add_argument(
            "--scale",
            metavar="FACTOR",
            type=float,
            help="multiply the profile's sizes: candidates, identities, portraits, scenes; for instance 0.3",
        )

    def until(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--until",
            metavar="PART",
            type=one_of("part", names.PARTS),
            default="benchmark",
            help=f"stop after this part: {', '.join(names.PARTS)}",
        )

    run = command(
        "run", "make a whole run: dataset, model pair, benchmark, report", change=True, work=True, methods=True
    )
    profile(run)
    until(run)
    stage = command("stage", "make one stage of a run; the stages before it must be complete", change=True, work=True)
    profile(stage)
    stage.add_argument("stage", metavar="STAGE", type=one_of("stage", names.STAGES), help=", ".join(names.STAGES))
    command("status", "show what a run has done, and who works on it", json=True)
    plan = command(
        "plan", "show what a run would do, and what it costs, before it starts", change=True, json=True, methods=True
    )
    check = command(
        "check", "try the machine, the weights and every engine of a run, before it starts", change=True, json=True
    )
    for sub in (plan, check):
        profile(sub)
        sub.add_argument("--workers", metavar="N", type=at_least(1), default=os.cpu_count(), help="cores to plan with")
        sub.add_argument("--gpus", metavar="N", type=at_least(1), default=1, help="GPUs to plan with (default: 1)")
        sub.add_argument("--gpu-price", type=at_least(0, float), default=2.5, help="price of a GPU-hour (default: 2.5)")
    until(check)
    check.add_argument(
        "--limit",
        metavar="SECONDS",
        type=at_least(1, float),
        default=600,
        help="end a step of the check after this time (default: 600)",
    )
    check.add_argument(
        "--keep", action="store_true", help="keep what was measured in the run's folder, for salmu plan (check.json)"
    )
    verify = command("verify", "check every file of a run, or judge its personas again", json=True)
    verify.add_argument("what", nargs="?", choices=["files", "personas"], default="files", help="default: files")
    verify.add_argument("--dataset", metavar="DIR", help="a published folder instead of a run's")
    verify.add_argument(
        "--digest", metavar="HEX", type=str.strip, help="the folder_digest that DIR must have, from your notes"
    )
    verify.add_argument("--receipt", metavar="FILE", help="the receipt of an erasure request instead of a run's files")
    publish = command("publish", "send the finished dataset to a folder, a URL or the Hugging Face hub", json=True)
    publish.add_argument("--to", required=True, metavar="TARGET", help="folder, fsspec URL, or hf://OWNER/NAME")
    publish.add_argument("--dataset", metavar="DIR", help="a published folder instead of a run's")
    publish.add_argument("--dry-run", action="store_true", help="list what would be sent, send nothing")
    publish.add_argument("--public", action="store_true", help="a new hub repository is public (default: private)")
    inspect = command("inspect", "show items of a stage, in the terminal or as an HTML page", json=True)
    inspect.add_argument("stage", metavar="STAGE", type=one_of("stage", names.STAGES), help=", ".join(names.STAGES))
    inspect.add_argument("item", nargs="?", help="key of one item, for instance a file name (default: the first ones)")
    inspect.add_argument(
        "--where", metavar="COLUMN=VALUE", action="append", default=[], help="only rows with this value"
    )
    inspect.add_argument("--rejects", action="store_true", help="what was dropped, and why")
    inspect.add_argument(
        "--rows", metavar="N", type=at_least(1), default=5, help="show at most this many rows (default: 5)"
    )
    inspect.add_argument("--html", metavar="FILE", help="write a page with pictures instead")
    clean = command("clean", "remove files that are not listed in any manifest")
    clean.add_argument("--dry-run", action="store_true", help="list them, remove nothing")
    deploy = command(
        "deploy", "make or update the work pools and deployments on the Prefect server", run=False, json=True
    )
    deploy.add_argument(
        "--run",
        metavar="NAME",
        help="deployments for this run, in addition to the general ones: their forms open with the run's settings",
    )
    deploy.add_argument(
        "--runs",
        metavar="DIR",
        default="runs",
        help="folder or URL of all runs, as the workers see it (default: the absolute path of runs)",
    )
    deploy.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="deployments that match, by FLOW/NAME, flow or name, with * and ?; may be given many times (default: all)",
    )
    deploy.add_argument("--pool-type", metavar="TYPE", help="of work pools that are new (default: process)")
    deploy.add_argument("--dry-run", action="store_true", help="list what would be made or changed, change nothing")
    crashed = command(
        "crashed", "mark flow runs on the Prefect server that nothing works on any more as crashed", run=False
    )
    crashed.add_argument(
        "--silent",
        type=at_least(0, float),
        default=600,
        metavar="SECONDS",
        help="without a sign of life (default: 600)",
    )
    crashed.add_argument("--retry", action="store_true", help="start them again; they make only what is missing")
    crashed.add_argument("--dry-run", action="store_true", help="list them, change nothing")
    command("report", "write a run's HTML report again")
    gallery = command("gallery", "write a page that shows people, portraits and captions, and opens offline")
    gallery.add_argument("--dataset", metavar="DIR", help="a published folder instead of a run's")
    gallery.add_argument("--out", metavar="DIR", help="default: gallery in the run's folder, or DIR-gallery")
    gallery.add_argument(
        "--side", type=at_least(16), default=160, help="pixels of a picture's longest side (default: 160)"
    )
    evaluate = command("evaluate", "score a model with the benchmark's metrics", run=False, change=True, json=True)
    evaluate.add_argument(
        "--model", metavar="DIR", required=True, help="folder in open_clip's layout, or any name that open_clip knows"
    )
    evaluate.add_argument("--dataset", metavar="DIR", required=True, help="published dataset folder")
    evaluate.add_argument("--out", metavar="FILE", required=True, help="JSON file to write")
    evaluate.add_argument(
        "--attacks", action="store_true", help="attack the model too; the same as --set evaluation.attacks.enabled=true"
    )
    evaluate.add_argument(
        "--start", metavar="DIR", help="the model from before the unlearning, for the attack that needs it"
    )
    unlearn = command("unlearn", "make a model that forgot", run=False, change=True, json=True, methods=True)
    unlearn.add_argument("method", metavar="METHOD", help=f"{', '.join(names.methods())}; see salmu methods")
    unlearn.add_argument(
        "--model", metavar="DIR", required=True, help="folder of the model that is to forget, in open_clip's layout"
    )
    unlearn.add_argument("--dataset", metavar="DIR", required=True, help="published dataset folder")
    unlearn.add_argument(
        "--budget", type=float, default=5.0, help="pairs seen, as a multiple of the forget set (default: 5)"
    )
    unlearn.add_argument("--seed", type=at_least(0), default=0)
    unlearn.add_argument("--out", metavar="DIR", required=True, help="folder to write")
    unlearn.add_argument("--force", action="store_true", help="replace whatever is in --out")
    merge = command("merge", "put the edit of an unlearning with a rank into its start model", run=False, json=True)
    merge.add_argument("--edit", metavar="FILE", required=True, help="edit.safetensors of an unlearned model")
    merge.add_argument("--model", metavar="DIR", required=True, help="folder of the model that was unlearned")
    merge.add_argument("--out", metavar="DIR", required=True, help="folder to write")
    merge.add_argument("--force", action="store_true", help="replace whatever is in --out")
    forget = command(
        "forget",
        "work erasure requests, with evidence and a receipt of each",
        run=False,
        change=True,
        json=True,
        methods=True,
    )
    forget.add_argument(
        "--requests",
        metavar="FILE",
        required=True,
        help="CSV or JSONL with identity_id, data_field, file_name, request_id; or a folder of pictures with captions",
    )
    forget.add_argument(
        "--model",
        metavar="DIR",
        required=True,
        help="the model that the first request begins with; any open_clip model",
    )
    forget.add_argument(
        "--dataset",
        metavar="DIR",
        required=True,
        help="pairs that may be seen: a published dataset, .parquet or .tar files, or pictures with captions",
    )
    forget.add_argument("--out", metavar="DIR", required=True, help="folder of models, records and receipts")
    forget.add_argument("--method", metavar="METHOD", default="as_retrained", help="default: as_retrained")
    budget = forget.add_mutually_exclusive_group()
    budget.add_argument(
        "--budget",
        type=float,
        help="pairs seen, as a multiple of a request's pairs (default: 10 for as_retrained, else 5)",
    )
    budget.add_argument("--pairs", metavar="N", type=at_least(1), help="pairs seen for each request")
    budget.add_argument(
        "--seconds", metavar="S", type=float, help="about how long the method may take for each request"
    )
    forget.add_argument("--batch", action="store_true", help="work all requests of the file together")
    forget.add_argument(
        "--most", metavar="N", type=at_least(1), default=100, help="refuse a file with more (default: 100)"
    )
    forget.add_argument("--seed", type=at_least(0), default=0)
    forget.add_argument("--show-facts", action="store_true", help="write receipts that show the facts too, into owner/")
    forget.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    tune = command(
        "tune", "choose a method's settings with the forget set only", run=False, change=True, json=True, methods=True
    )
    tune.add_argument("method", metavar="METHOD", help=f"{', '.join(names.methods())}; see salmu methods")
    tune.add_argument(
        "--model", metavar="DIR", required=True, help="folder of the model that is to forget, in open_clip's layout"
    )
    tune.add_argument("--dataset", metavar="DIR", required=True, help="published dataset folder")
    tune.add_argument(
        "--trials",
        metavar="N",
        type=at_least(1),
        default=8,
        help="the same for every method that is compared (default: 8)",
    )
    tune.add_argument("--seed", type=at_least(0), default=0)
    tune.add_argument(
        "--out",
        metavar="DIR",
        required=True,
        help="folder for trials.jsonl and tuned.json; the same command continues a tuning that was killed",
    )
    command(
        "generator",
        "train image generators on the pair, and see whom they draw once the text tower is an unlearned model's",
        change=True,
        json=True,
    )
    command(
        "concepts",
        "draw a dataset of styles and affiliations, train a pair on it, and see which methods forget them",
        change=True,
        work=True,
        json=True,
    )
    command(
        "granularity",
        "ask every model of a run which facts it still knows coarsely: the country, not the city",
        change=True,
        json=True,
    )
    command(
        "captioner",
        "train small captioners on the image towers of a run, and see what they say of forgotten people",
        change=True,
        json=True,
    )
    submission = command("submission", "check an unlearned model before it is handed in", run=False, json=True)
    submission.add_argument(
        "--model", metavar="DIR", required=True, help="folder of the unlearned model, with its unlearning.json"
    )
    submission.add_argument(
        "--compromised", metavar="DIR", required=True, help="folder of the model that it started from"
    )
    submission.add_argument("--dataset", metavar="DIR", required=True, help="published dataset folder")
    submission.add_argument("--results", metavar="FILE", required=True, help="its result file, by salmu evaluate")
    command(
        "methods",
        "list the unlearning methods: what each sees and does, and its source",
        run=False,
        json=True,
        methods=True,
    )
    settings = command("settings", "list every setting with its type, default and description", run=False, json=True)
    settings.add_argument(
        "prefix", nargs="?", default="", help="only those whose names start with this, such as portraits"
    )
    settings.add_argument("--markdown", action="store_true", help="print the page docs/settings.md of the book")
    completion = command("completion", "print a script that completes commands and options in a shell", run=False)
    completion.add_argument("shell", choices=["bash", "zsh"])
    return root
