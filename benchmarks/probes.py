"""ACS without the luck of one draw: the benchmark's probe with many shuffles and halves, on models that are scored.

    python benchmarks/probes.py OUT --runs runs/one runs/two [--pairs 1] [--draws 40] [--models stranger_targets]
                                [--json benchmarks/probes.json]

OUT is what benchmarks/methods.py wrote for the same runs; its cached embeddings are used. The published ACS is one
draw: on some 590 pairs its standard error is 0.02, and a Clean model may well lie below one half. Prints the mean over
the draws by pair, how far it lies above Clean's, and the deviation of one draw."""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from methods import REFERENCES, folder_of, sources

from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import encoded_pairs
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.probe import association_classification
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loop import reproducible


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--pairs", type=int, default=1, help="of each run")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--models", nargs="*", default=["stranger_targets"], help="methods")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [row for pair in range(len(sources(options))) for row in probed(options, pair)]
    print("| pair | model | ACS, mean of draws | above Clean's | deviation of a draw | published draw |")
    print("|---|---|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['pair']} | {row['model']} | {row['mean']:.4f} | {row['above_clean']:+.4f} "
            f"| {row['deviation']:.4f} | {row['published']:.4f} |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def probed(options: argparse.Namespace, pair: int) -> list[dict[str, Any]]:
    """A row for each model of a pair, Clean first."""
    run, number = sources(options)[pair]
    dataset, settings = open_dataset(run / "dataset"), EvaluationSettings(threads=1)
    home, rows = options.out / "pairs" / str(pair), []
    folders = {which: folder_of(options, pair, which) for which in REFERENCES}
    folders |= {name: next((home / "unlearned").glob(f"{name}-*-s{pair}")) for name in options.models}
    for name, folder in folders.items():
        with reproducible(settings.threads):
            encoder = Encoder(load_model(folder), settings.batch_size, dataset.digest, home / "cache")
            pairs = encoded_pairs(dataset, "forget", encoder)
            drawn = [
                association_classification(pairs, settings.seed + draw).published["acs_accuracy"]
                for draw in range(options.draws)
            ]
        rows.append(
            {
                "pair": f"{run.name} {number}",
                "model": name,
                "mean": round(mean(drawn), 5),
                "above_clean": round(mean(drawn) - (rows[0]["mean"] if rows else mean(drawn)), 5),
                "deviation": round(stdev(drawn), 5),
                "published": drawn[0],
                "draws": options.draws,
            }
        )
    return rows


if __name__ == "__main__":
    main()
