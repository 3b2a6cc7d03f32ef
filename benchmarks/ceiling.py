"""Is a filter taken for unlearning? A gate in front of the Compromised model, which changes no weight.

    python benchmarks/ceiling.py RUN [RUN ...] [--pairs 1] [--workers 2] [--json benchmarks/ceiling.json]

The gate knows the forget captions and further wordings of their facts by the embeddings that the Compromised model
gives them (keys). A caption within reach of a key is given that key's target, as the method NAME has it; any other
caption is what it was. Two reaches: `exact NAME`, where the gate knows its keys and nothing else, and `near NAME`,
chosen without a holdout: wordings whose keys were left out must come under the gate, captions that the method holds
must not (Youden's J). Nothing is forgotten: the gate is an output filter, whose keys are made of the very data. Prints
the metrics beside those of the references, the targets that are met, the verdict, and what gives the filter away."""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from methods import BEYOND, COLUMNS
from torch import Tensor

from salmu.data.readers import Dataset, open_dataset
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.scoring.evaluate import evaluate
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import budgeted, load, pools
from salmu.evaluation.unlearning.text_regression import before
from salmu.evaluation.verdicts.leaderboard import records
from salmu.evaluation.verdicts.targets import leak_paths, met_of, outcomes
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.network import encode_text

LEFT_OUT = 3  # of a fact's wordings, every third has no key while the reach is chosen
PLACES = 1000  # reaches that are compared
EXACT = 0.9999  # cosine of a caption with itself, but for rounding
METHODS = {
    "stranger_targets": {"overshoot": 0.0, "each": "fact"},
    "as_retrained": {"factor": 1.0, "faces": 0, "altered": 0},
}


class Gated(torch.nn.Module):
    """A CLIP whose captions near a key are given that key's target."""

    def __init__(self, clip: torch.nn.Module, keys: Tensor, targets: Tensor, reach: float):
        super().__init__()
        self.clip, self.keys, self.targets, self.reach = clip, keys, targets, reach
        self.visual, self.logit_scale = clip.visual, clip.logit_scale

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        return self.clip.encode_image(pixels, normalize=normalize)

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        texts = encode_text(self.clip, tokens)
        nearness, key = (texts @ self.keys.T).max(1)
        return torch.where((nearness >= self.reach)[:, None], self.targets[key], texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs with dataset/ and models/")
    parser.add_argument("--pairs", type=int, default=1, help="of each run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = [(run, number) for run in options.runs for number in range(options.pairs)]
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(measured, wanted))
    shown = (*COLUMNS, *BEYOND)
    print("| | " + " | ".join(shown) + " | gone | kept | verdict |\n|---|" + "---:|" * (len(shown) + 2) + "---|")
    for row in rows:
        for which, found in row["models"].items():
            cells = " | ".join("-" if found[name] is None else f"{found[name]:.3f}" for name in shown)
            last = "{} of {} | {} of {} | {}".format(*found["gone"], *found["kept"], found["verdict"] or "reference")
            print(f"| {row['pair']} {which} | {cells} | {last} {', '.join(found['gives_away'])} |")
        for name, gate in row["gates"].items():
            shares = f"{gate['wordings']:.1%} of wordings without keys, {gate['held']:.1%} of held"
            print(f"{row['pair']} near {name}: reach {gate['reach']:.3f}, {shares}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measured(pair: tuple[Path, int]) -> dict[str, Any]:
    """One pair's row of the table."""
    (run, number), results = pair, {}
    home, dataset = run / "models" / (f"s{number}" if number else ""), open_dataset(run / "dataset")
    references = [path.parent.name for path in sorted(home.glob("*/training.json"))]
    clips = {which: load(home / which, "cpu") for which in references}
    gates = {}
    for method in METHODS:
        network, gates[method] = gate(method, clips["compromised"], dataset, number)
        for which, reach in ((f"exact {method}", EXACT), (f"near {method}", gates[method]["reach"])):
            clips[which] = clips["compromised"]._replace(name=which, network=network(reach).eval())
    for which, clip in clips.items():
        results[which] = evaluate(EvaluationSettings(threads=1), clip, run / "dataset")
    shown = {
        row["model"]: {name: row[name] for name in (*COLUMNS, *BEYOND)}
        | {
            "gone": met_of(row, "gone"),
            "kept": met_of(row, "kept"),
            "verdict": row.get("verdict"),
            "missed": {one.metric: one.state for one in outcomes(row).values() if not one.met},
            "gives_away": list(leak_paths(row)),
        }
        for row in records(results, {})
    }
    return {"pair": f"{run.name} {number}", "gates": gates, "models": shown}


def gate(name: str, clip: ClipModel, dataset: Dataset, seed: int) -> tuple[partial, dict[str, float]]:
    """The gate of a method's targets but for its reach, and the reach by Youden's J: with the shares under that gate of
    wordings whose keys were left out, and of held captions."""
    method = get(name)
    settings = method.settings(seed=seed, retain_scenes=1500, **METHODS[name])
    work = Work(method, settings, clip, pools(method.sees, settings, clip, dataset), budgeted(settings, dataset))
    wanted = method.prepare(work, settings)
    reworded, *stay = wanted.aims
    words = before(work, reworded.tokens)
    own = before(work, work.forget.pool.tokens)
    left_out = torch.arange(len(words)) % LEFT_OUT == 0
    known = torch.cat([own, words[~left_out]])
    near = {
        "wordings": (words[left_out] @ known.T).amax(1),
        "held": torch.cat([(kind.wanted @ known.T).amax(1) for kind in stay]),
    }
    reaches = torch.cat(list(near.values())).quantile(torch.linspace(0, 1, PLACES))
    under = {name: (values[:, None] >= reaches).float().mean(0) for name, values in near.items()}
    best = int((under["wordings"] - under["held"]).argmax())
    figures = {"reach": float(reaches[best])} | {name: float(share[best]) for name, share in under.items()}
    keys, targets = torch.cat([own, words]), torch.cat([wanted.targets, reworded.wanted])
    return partial(Gated, clip.network, keys, targets), figures


if __name__ == "__main__":
    main()
