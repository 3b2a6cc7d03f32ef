"""As retrained on a dataset whose captions come from a grammar that the method does not have.

    python benchmarks/foreign_grammar.py runs/tiny --sentences tests/fixtures/foreign_grammar.jsonl --out /tmp/foreign
                                         [--settings '{"budget": 20}'] [--json benchmarks/foreign_grammar.json]

Takes pictures, people and facts of a run and words every personal caption anew, with the sentences of the file. Trains
Clean, Compromised and Retrained on the result, as the run's settings say, and runs the method on Compromised: with the
captions that this project's grammar makes, and with those of the forget set's own sentences. Prints what part of the
leakage above Retrained is gone, and what part of Retrained's retrieval is kept on the holdouts."""

import argparse
import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data import keyed
from salmu.data.documents import read_lines
from salmu.data.readers import CAPTIONS, GENERIC_CAPTIONS, IDENTITIES, open_dataset
from salmu.data.settings import validate
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.scoring.evaluate import evaluate_once
from salmu.evaluation.unlearning.registry import methods
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.unlearning.wordings import NAME, VALUE, Sentence
from salmu.evaluation.verdicts.leaderboard import records
from salmu.evaluation.verdicts.targets import met_of, outcomes
from salmu.flows.settings import load_run
from salmu.model_training.pair import train

METHOD = "as_retrained"
ROWS: dict[str, dict[str, Any]] = {"this project's grammar": {}, "the forget set's own sentences": {"wordings": "own"}}
REFERENCES = ("clean", "compromised", "retrained")
LEAKS = ("RetFail", "ParaMRR", "NameMRR", "ValueMRR", "AssocStr", "CoreAssoc")
KEEPS = ("InterIdMRR", "IntraIdMRR", "InterIdSim", "IntraIdSim", "GenKnow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with dataset/ and settings.yaml")
    parser.add_argument("--sentences", type=Path, required=True, help="JSONL with data_field and text")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON: settings of the method, for both rows")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    reword(options.run / "dataset", options.out / "dataset", options.sentences)
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        results = dict(zip(REFERENCES, pool.map(partial(reference, options), REFERENCES), strict=True))
        made = list(pool.map(partial(forgotten, options), ROWS))
    results |= {name: found for name, (found, _) in zip(ROWS, made, strict=True)}
    training = {name: record for name, (_, record) in zip(ROWS, made, strict=True)}
    rows = {row["model"]: row for row in records(results, training)}
    shown = [{"model": name} | shares(rows[name], rows) for name in (*REFERENCES, *ROWS)]
    heads = [key for key in shown[0] if key not in ("model", "missed")]
    print("| captions made from | " + " | ".join(heads) + " |\n|---|" + "---:|" * len(heads))
    for row in shown:
        print(f"| {row['model']} | " + " | ".join(str(row[key]) for key in heads) + " |")
    if options.json:
        kept = {*LEAKS, *KEEPS} | {f"{one}_{end}" for one in (*LEAKS, *KEEPS) for end in ("low", "high")}
        figures = [row | {key: value for key, value in rows[row["model"]].items() if key in kept} for row in shown]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def reword(source: Path, target: Path, sentences: Path) -> None:
    """A copy of a dataset in which every caption that states a fact is one of the sentences, drawn for the file."""
    of_field: dict[str, list[str]] = {}
    for row in read_lines(sentences, Sentence):
        of_field.setdefault(row["data_field"], []).append(row["text"])
    names = {key: one["name"] for key, one in open_dataset(source).identities.items()}

    def told(row: dict[str, Any]) -> str:
        if not row["data_field"]:
            return row["text"]
        sentence = keyed.python_random("foreign grammar", row["file_name"]).choice(of_field[row["data_field"]])
        before, after = sentence.split(NAME)
        return names[row["identity_id"]].join(part.replace(VALUE, row["value"]) for part in (before, after))

    texts: dict[str, str] = {}
    (target / "data").mkdir(parents=True, exist_ok=True)
    for path in sorted((source / "data").glob("*.parquet")):
        table = pq.read_table(path)
        rows = table.select(["text", "identity_id", "file_name", "data_field", "value"]).to_pylist()
        texts |= {row["file_name"]: told(row) for row in rows}
        place = table.schema.get_field_index("text")
        worded = pa.array([texts[row["file_name"]] for row in rows], table.schema.field("text").type)
        pq.write_table(table.set_column(place, table.schema.field("text"), worded), target / "data" / path.name)
    captions = json.loads((source / CAPTIONS).read_text())
    captions = {name: one | {"caption": texts[name]} for name, one in captions.items()}
    (target / CAPTIONS).write_text(json.dumps(captions), encoding="utf-8")
    for name in (IDENTITIES, GENERIC_CAPTIONS):
        shutil.copy(source / name, target / name)
    fragile = source / "fragile_set_ids.json"  # pictures that the run's own models learned least
    shutil.copy(fragile, target / fragile.name)


def reference(options: argparse.Namespace, which: str) -> dict[str, Any]:
    settings = load_run(options.run).pair.model_copy(update={"threads": 1})
    train(settings, options.out / "dataset", options.out / "models" / which, which, index=options.out / "index" / which)
    return measured(options, options.out / "models" / which, which)


def forgotten(options: argparse.Namespace, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    shared = {"budget": 5.0, "batch_size": 32, "retain_scenes": 1500, "threads": 1}
    settings = validate(methods()[METHOD].settings, shared | options.settings | ROWS[name], name)
    folder = options.out / "unlearned" / name.replace(" ", "-").replace("'", "")
    unlearn(METHOD, settings, options.out / "models" / "compromised", options.out / "dataset", folder)
    record = json.loads((folder / "unlearning.json").read_text())
    return measured(options, folder, folder.name), record


def measured(options: argparse.Namespace, model: Path, name: str) -> dict[str, Any]:
    path = options.out / "results" / f"{name}.json"
    evaluate_once(EvaluationSettings(threads=1), model, options.out / "dataset", path, options.out / "cache")
    return json.loads(path.read_text())


def shares(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of each leak the share of what is above Retrained that is gone; of each retrieval the share of Retrained's."""
    start, exact = rows["compromised"], rows["retrained"]
    gone = {f"{one} gone": (start[one] - row[one]) / (start[one] - exact[one]) for one in LEAKS}
    kept = {f"{one} kept": row[one] / exact[one] for one in KEEPS}
    found = {key: round(value, 3) for key, value in (gone | kept).items()}
    if row["model"] not in ("clean", "compromised", "retrained"):
        counts = {group: "{} of {}".format(*met_of(row, group)) for group in ("gone", "kept")}
        missed = {one.metric: one.state for one in outcomes(row).values() if one.state in ("above", "below")}
        return found | {"RetFail": round(row["RetFail"], 4), **counts, "missed": missed}
    return found | {"RetFail": round(row["RetFail"], 4), "gone": "", "kept": "", "missed": {}}


if __name__ == "__main__":
    main()
