"""Is a model that is handed in for the leaderboard what it claims to be?"""

from pathlib import Path

import torch

from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.readers import Dataset, content_digest, content_files, open_dataset
from salmu.evaluation.encoding.fragile import fragile_digest
from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import PUBLISHED, headline
from salmu.evaluation.scoring.evaluate import VERSION
from salmu.evaluation.unlearning.record import RECORD, read_record
from salmu.model_training.loading.clip import ClipModel, load_model

MAY_SEE = {"forget", "retain_synth"}
ROUNDING = 2**-10  # relative; twice what half precision loses


def check_submission(model: Path, compromised: Path, dataset_dir: Path, results: Path) -> list[str]:
    """Check an unlearned model's folder, with its unlearning.json, and its result file against the pair's Compromised
    and the dataset. Returns what was found in order, one line each.

    Raises UserError, naming everything that is wrong, if the weights are Compromised's (but for the rounding of half
    precision), are not those that the record and the results speak of, or if the data differ, the record tells of rows
    beyond forget and retain_synth, or a metric is missing. It cannot see what a record conceals; for that, run the
    method again from the record's settings."""
    dataset, clip, start = open_dataset(dataset_dir), load_model(model), load_model(compromised)
    record, scored = read_record(Path(model) / RECORD), read_results(Path(results))
    own, theirs = clip.weights_digest, start.weights_digest
    extended = scored.get("extended", {})
    missing = [metric for metric in PUBLISHED if headline(scored, metric) is None]
    seen = {part.split for part in record.saw.values()}
    checks = {
        "the weights differ from Compromised's": own != theirs and not _equal_but_for_rounding(clip, start),
        "the record is of these weights": record.model_digest == own,
        "the results are of these weights": extended.get("model_digest") == own,
        "the method started from this Compromised": record.source_model_digest == theirs,
        "the files of the dataset are those that were published": _untouched(dataset),
        "the method was given this dataset": record.dataset_digest == dataset.digest,
        "the results are on this dataset": extended.get("dataset_digest") == dataset.digest,
        "the results are on its fragile set": extended.get("fragile_digest") == fragile_digest(dataset.fragile_set_ids),
        f"no holdout was touched (seen: {', '.join(sorted(seen)) or 'nothing recorded'})": bool(seen)
        and seen <= MAY_SEE,
        f"all ten metrics were measured{' but ' + ', '.join(missing) if missing else ''}": not missing,
        f"the results are of version {VERSION} of the evaluation": extended.get("version") == VERSION,
    }
    wrong = [claim for claim, holds in checks.items() if not holds]
    if wrong:
        raise UserError(f"{model}: not accepted; these checks fail: {'; '.join(wrong)}")
    return list(checks)


def _equal_but_for_rounding(one: ClipModel, other: ClipModel) -> bool:
    """Whether no weight differs by more than half precision loses."""
    weights, theirs = one.network.state_dict(), other.network.state_dict()
    return weights.keys() == theirs.keys() and all(
        value.shape == theirs[name].shape and torch.allclose(value, theirs[name], rtol=ROUNDING, atol=1e-7)
        for name, value in weights.items()
    )


def _untouched(dataset: Dataset) -> bool:
    files = content_files(dataset.folder)
    return content_digest({name: file_sha256(dataset.folder / name) for name in files}) == dataset.digest
