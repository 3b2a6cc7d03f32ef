"""How often do the intervals hold the true value? A simulation on the people of a run.

    python benchmarks/coverage.py runs/tiny [--json benchmarks/coverage.json]

The people of a run's result files are taken for a population whose mean is known. Again and again some of them are
drawn with all their rows, and intervals are made from what was drawn: by the percentile bootstrap, and as
evaluation/metrics/bootstrap.py makes them. A 95 % interval should hold the population's mean in 95 of 100 draws. Three
kinds of metric, of every model of the run: means of cosines, accuracies, and reciprocal ranks; and the differences of
all these from Retrained, in pairs. "least": the population whose intervals hold least often. "above" and "below": how
often the true value lies there. "width": beside the percentile bootstrap's."""

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
EXACT = "retrained"  # the model that differences are taken from
PEOPLE = {12: 200, 36: 200, 580: 50}  # people in a sample -> samples of each population
LEVEL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with results")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {path.stem: read_results(path) for path in sorted((options.run / "results").glob("*.json"))}
    rows = []
    for kind, populations in kinds(results).items():
        for people in PEOPLE:
            found = {
                at: coverage(*sums, people, options.replicates, (kind, people, *at)) for at, sums in populations.items()
            }
            percentile, held, above, below, width = np.mean(list(found.values()), 0).tolist()
            least = min(found, key=lambda at: found[at][1])
            row = {"metric": kind, "people": people, "populations": len(found), "percentile": percentile, "held": held}
            row |= {"above": above, "below": below, "width": width, "least": found[least][1], "of": " ".join(least)}
            rows.append({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()})
            print(" | ".join(map(str, rows[-1].values())), flush=True)
    if options.json:
        about = {"run": options.run.name, "draws": PEOPLE, "replicates": options.replicates, "level": LEVEL}
        options.json.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def kinds(results: dict[str, dict]) -> dict[str, dict[tuple[str, str], tuple[Sums, Sums | None]]]:
    """Kind of metric -> (model, metric) -> its people, and those of Retrained where the difference is asked for."""
    found = {kind: {} for kind in (*KINDS, "differences")}
    for kind, metrics in KINDS.items():
        for model, file in results.items():
            for metric in metrics:
                one, exact = sums_of(file, metric), sums_of(results[EXACT], metric)
                if np.ptp(one.sums / one.rows) > 0:  # all people alike: there is nothing to estimate
                    found[kind][model, metric] = one, None
                if model != EXACT:
                    found["differences"][model, metric] = one, exact
    return found


def coverage(population: Sums, exact: Sums | None, people: int, replicates: int, key: tuple) -> list[float]:
    """Share of percentile intervals, and of ours, that hold the population's value; shares above and below ours; mean
    width of ours, the percentile interval's being 1."""
    truth = population.mean - (exact.mean if exact else 0)
    counts, widths = np.zeros(4), np.zeros(2)
    for draw in range(PEOPLE[people]):
        drawn = generator(0, "coverage", *key, draw).integers(0, len(population.rows), people)
        sample, other = (one and Sums(one.sums[drawn], one.rows[drawn]) for one in (population, exact))
        means = replicates_of(sample, 0, "coverage", draw, other=other, replicates=replicates)
        first, last = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = bounds_of(means, people, LEVEL)
        counts += first <= truth <= last, low <= truth <= high, truth > high, truth < low
        widths += last - first, high - low
    return [*counts / PEOPLE[people], widths[1] / widths[0]]


if __name__ == "__main__":
    main()
