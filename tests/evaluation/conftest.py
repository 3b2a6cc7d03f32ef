"""One small dataset in the published layout and one small random model, shared by the tests of this folder."""

from pathlib import Path

import numpy as np
import pytest
from published import FEW, write_dataset, write_model

from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.scoring.evaluate import EvaluationSettings
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import budgeted, load, pools


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("published") / "dataset")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="session")
def bench(dataset_dir, model_dir):
    """A function that gives a method's work on the small dataset."""

    def make(name: str, **values) -> Work:
        method = get(name)
        settings = method.settings(**(FEW | values))
        dataset, clip = open_dataset(dataset_dir), load(model_dir, "cpu")
        return Work(method, settings, clip, pools(method.sees, settings, clip, dataset), budgeted(settings, dataset))

    return make


@pytest.fixture(scope="session")
def quick() -> EvaluationSettings:
    return EvaluationSettings(
        zero_shot_per_class=1, swapped_rows=6, swapped_captions=3, bootstrap_replicates=100, threads=1
    )


@pytest.fixture
def random_pairs():
    """A function that makes pairs with random embeddings; `signal` is how much of the image a caption's embedding
    holds."""

    def make(count: int, width: int = 16, people: int = 10, signal: float = 1.0, seed: int = 0) -> Pairs:
        rng = np.random.default_rng(seed)
        images = rng.normal(size=(count, width))
        texts = signal * images + rng.normal(size=(count, width))
        number = np.arange(count) % people
        strings = {
            "file_name": [f"{person:08d}_{row:03d}_ar-1.00.jpg" for row, person in enumerate(number)],
            "text": [f"caption {row}" for row in range(count)],
            "identity": [f"{person:08d}" for person in number],
            "person": [f"{person:08d}" for person in number],
            "name": [f"Name {person}" for person in number],
            "field": ["city"] * count,
            "value": [f"Town {person}" for person in number],
            "gender": [("female", "male")[person % 2] for person in number],
            "age_group": ["20-29"] * count,
            "country": [("NL", "PE")[person // 2 % 2] for person in number],
        }
        return Pairs(
            **{name: np.array(values, object) for name, values in strings.items()},
            images=unit(images),
            texts=unit(texts),
        )

    return make


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
