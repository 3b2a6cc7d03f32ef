"""What a training measures as it goes, so that memorisation is seen as it happens: GenKnow, AssocStr and RetFail as the
benchmark defines them, on a sample of their rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from salmu.data.keyed import generator
from salmu.data.pictures import decode_files
from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.metrics.zero_shot import general_knowledge
from salmu.model_training.loading.clip import ClipModel

SENSITIVE, DISJOINT, PER_CLASS, BATCH = 256, 256, 2, 64  # rows and pictures of a class in the sample; batch size


def monitor(dataset_dir: Path, seed: int) -> Callable[[torch.nn.Module, Callable], dict[str, float]]:
    """A callable (open_clip model in evaluation mode, tokenizer) -> {"GenKnow", "AssocStr", "RetFail"}.

    AssocStr is the mean cosine of SENSITIVE forget pairs; RetFail the mean reciprocal rank of their own captions among
    each other's and those of DISJOINT retain_disjoint pairs. The sample is drawn by the seed, and the same for every
    model. It leaves the model and the random state as they are."""
    dataset = open_dataset(dataset_dir)
    forget = _sample(dataset.table("forget", ["image", "text"]), SENSITIVE, seed, "forget")
    others = _sample(dataset.table("retain_disjoint", ["image", "text"]), DISJOINT, seed, "retain_disjoint")
    distractors = [text for text in others["text"] if text not in set(forget["text"])]

    def measure(network: torch.nn.Module, tokenizer: Callable) -> dict[str, float]:
        device = next(network.parameters()).device
        clip = ClipModel("in training", network, preprocess_of(network), tokenizer, str(device))
        encoder = Encoder(clip, BATCH, "monitor")
        images = encoder.images("forget", _pictures(forget), len(forget["text"]))
        texts = encoder.texts([*forget["text"], *distractors])
        cosines = images @ texts.T
        own = cosines.diagonal()
        distinct = np.unique([*forget["text"], *distractors], return_index=True)[1]
        ranks = 1 + (cosines[:, distinct] > own[:, None]).sum(1)
        known = general_knowledge(encoder, seed, PER_CLASS).published["accuracy"]
        values = {"GenKnow": known, "AssocStr": own.mean(), "RetFail": (1 / ranks).mean()}
        return {name: round(float(value), 4) for name, value in values.items()}

    return measure


def _sample(table, count: int, *key) -> dict[str, list]:
    rows = generator(*key, "monitor").choice(len(table), min(count, len(table)), replace=False)
    return table.take(np.sort(rows)).to_pydict()


def _pictures(sample: dict[str, list]):
    return decode_files((image["path"] or "", image["bytes"]) for image in sample["image"])


def preprocess_of(network: torch.nn.Module) -> Callable[[Image.Image], torch.Tensor]:
    """What open_clip does to a picture before this model sees it."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)
