"""What the attacks brought back from a model, beside a Retrained of its run, with the paired 95 % interval.

    salmu evaluate --model MODEL --dataset RUN/dataset --start RUN/models/compromised --attacks --out RESULT
    python benchmarks/attacks.py RUN RESULT CONTROL [RUN RESULT CONTROL ...] [--json benchmarks/attacks_people.json]

RUN is what a run is called; RESULT and CONTROL are the result files of the model and of the Retrained. Prints a line an
attack and run, and writes both models' attacks without the sums of single people."""

import argparse
import json
from pathlib import Path
from typing import Any

from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.verdicts.attacks import attacked, attacks_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="name of a run, result file, result file of its Retrained")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if len(options.files) % 3:
        parser.error("name of a run, result and control: three for each run")
    groups = [options.files[place : place + 3] for place in range(0, len(options.files), 3)]
    found = {
        run: compared(*(json.loads(Path(file).read_text(encoding="utf-8")) for file in files)) for run, *files in groups
    }
    print("| run | attack | model | Retrained | apart | 95 % interval | |\n|---|---|---:|---:|---:|---|---|")
    for run, models in found.items():
        for name, attack in models["as_retrained"].items():
            apart = attack["apart"]
            print(
                f"| {run} | {name} | {attack['value']:.3f} | {models['retrained'][name]['value']:.3f} "
                f"| {apart['value']:+.3f} | {apart['low']:+.3f} to {apart['high']:+.3f} | {apart['state']} |"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def compared(result: dict[str, Any], control: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`as_retrained` and `retrained` -> what each attack found; of the first also how far it lies from the second."""
    row = attacked(result, [control], EvaluationSettings().margins)
    models = {
        which: {
            name: {key: value for key, value in attack.items() if key != "clusters"}
            for name, attack in attacks_of(file).items()
        }
        for which, file in (("as_retrained", result), ("retrained", control))
    }
    for name, attack in models["as_retrained"].items():
        key = f"attack_{name}_apart"
        state = row[f"attack_{name}_state"]
        attack["apart"] = {"value": row[key], "low": row[f"{key}_low"], "high": row[f"{key}_high"], "state": state}
    return models


if __name__ == "__main__":
    main()
