"""One process of a training, as torchrun or Slurm starts it (or alone):

    torchrun --nproc-per-node 8 -m salmu.model_training --settings runs/NAME/settings.yaml \\
        --dataset runs/NAME/dataset --models runs/NAME/models --which compromised \\
        --monitor salmu.evaluation.scoring.monitor:monitor

`--prepare` indexes the retain files and writes the plan, and nothing else: once, before many GPUs wait for it.
"""

import argparse
import importlib
import sys
from pathlib import Path

from tqdm import tqdm

from salmu.data.documents import read_table
from salmu.data.errors import UserError
from salmu.data.settings import validate
from salmu.model_training.distributed import STEPS_DONE, end_with
from salmu.model_training.pair import PairSettings, model_folder, planned, train, write_plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m salmu.model_training", description=__doc__.partition("\n")[0])
    parser.add_argument("--settings", required=True, type=Path, help="settings.yaml of a run, or YAML of pair settings")
    parser.add_argument("--dataset", required=True, type=Path, help="the dataset's folder")
    parser.add_argument("--models", required=True, type=Path, help="folder of the pair's models")
    parser.add_argument("--which", default="clean", help="clean, compromised, retrained, retrained-2, ...")
    parser.add_argument("--number", type=int, default=0, help="number of the pair where there are several seeds")
    parser.add_argument(
        "--monitor", help="MODULE:FUNCTION; called with the dataset's folder and the seed, it gives one"
    )
    parser.add_argument("--starter", type=int, metavar="PID", help="end when this process has ended")
    parser.add_argument("--prepare", action="store_true", help="only index the retain files and write the plan")
    chosen = parser.parse_args()
    if chosen.starter:
        end_with(chosen.starter)
    try:
        values = read_table(chosen.settings)
        settings = validate(PairSettings, values.get("pair", values), str(chosen.settings))
        folder, index = model_folder(chosen.models, chosen.which, chosen.number), chosen.models / "index"
        if chosen.prepare:
            write_plan(planned(settings, chosen.dataset, folder, chosen.number, index), folder.parent)
            return 0
        monitor = None
        if chosen.monitor and settings.monitor:
            module, _, name = chosen.monitor.partition(":")
            monitor = getattr(importlib.import_module(module), name)(chosen.dataset, settings.seed)
        bar = tqdm(desc=chosen.which, unit="step", disable=True if chosen.starter else None)

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if chosen.starter:
                print(STEPS_DONE, done, total, flush=True)

        train(settings, chosen.dataset, folder, chosen.which, progress, monitor, chosen.number, index)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
