"""How often do the intervals hold the true value? A simulation on the people of a run.

    python benchmarks/coverage.py runs/tiny [--json benchmarks/coverage.json]

The people of a run's result files are taken for a population whose mean is known. Again and again some of them are
drawn with all their rows, and intervals are made from what was drawn: by the percentile bootstrap, and as
evaluation/metrics/bootstrap.py makes them. A 95 % interval should hold the population's mean in 95 of 100 draws. Three
kinds of metric, of every model of the run: means of cosines, accuracies, and reciprocal ranks. "Least": the population
whose intervals hold least often."""

import argparse
import json
from pathlib import Path

import numpy as np

from salmu.data.keyed import generator
from salmu.evaluation.metrics.bootstrap import Sums, bounds_of, replicates_of
from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import sums_of

KINDS = {
    "means": ("AssocStr", "InterIdSim"),
    "accuracies": ("IdZSC", "GenKnow"),
    "reciprocal ranks": ("RetFail", "NameMRR", "ParaMRR", "InterIdMRR"),
}
PEOPLE = (12, 36, 580)
LEVEL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with results")
    parser.add_argument("--draws", type=int, default=400, help="samples of people for each model, metric and size")
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {path.stem: read_results(path) for path in sorted((options.run / "results").glob("*.json"))}
    rows = []
    for kind, metrics in KINDS.items():
        for people in PEOPLE:
            held = [
                found
                for model, file in results.items()
                for metric in metrics
                if (population := sums_of(file, metric)) is not None
                and (found := coverage(population, people, options, (kind, people, model, metric)))
            ]
            percentile, expanded = np.mean(held, 0)
            rows.append(
                {
                    "metric": kind,
                    "people": people,
                    "percentile": round(float(percentile), 3),
                    "expanded": round(float(expanded), 3),
                    "least": round(float(np.min(np.array(held)[:, 1])), 3),
                    "populations": len(held),
                }
            )
            print(" | ".join(map(str, rows[-1].values())), flush=True)
    if options.json:
        about = {"run": options.run.name, "draws": options.draws, "replicates": options.replicates, "level": LEVEL}
        options.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def coverage(population: Sums, people: int, options: argparse.Namespace, key: tuple) -> tuple[float, float] | None:
    """Share of intervals that hold the population's mean, of both kinds; None where all people have the same mean."""
    truth, held = population.mean, [0, 0]
    if np.ptp(population.sums / population.rows) == 0:
        return None
    for draw in range(options.draws):
        drawn = generator(0, "coverage", *key, draw).integers(0, len(population.rows), people)
        sample = Sums(population.sums[drawn], population.rows[drawn])
        means = replicates_of(sample, 0, "coverage", draw, replicates=options.replicates)
        percentile = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        for number, (low, high) in enumerate((percentile, bounds_of(means, people, LEVEL))):
            held[number] += bool(low <= truth <= high)
    return held[0] / options.draws, held[1] / options.draws


if __name__ == "__main__":
    main()
