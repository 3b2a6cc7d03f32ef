"""What a training measures as it goes: the benchmark's metrics on a sample, and without a trace in the training."""

import numpy as np
import open_clip
import pytest
import torch

from salmu.data.readers import open_dataset
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import encoded_pairs
from salmu.evaluation.metrics.similarity import mean_similarity
from salmu.evaluation.scoring import monitor
from salmu.model_training.loading.clip import load_model


@pytest.fixture(scope="module")
def measured(dataset_dir, model_dir):
    network, _, _ = open_clip.create_model_and_transforms(f"local-dir:{model_dir}")
    return monitor.monitor(dataset_dir, seed=0)(network.eval(), open_clip.get_tokenizer(f"local-dir:{model_dir}"))


def test_it_is_the_metric_where_the_sample_is_the_whole_split(dataset_dir, model_dir, measured):
    dataset, clip = open_dataset(dataset_dir), load_model(model_dir)
    forget = encoded_pairs(dataset, "forget", Encoder(clip, 16, "test"))
    assert len(forget) <= monitor.SENSITIVE
    expected = mean_similarity("AssocStr", forget).published["mean"]
    assert measured["AssocStr"] == pytest.approx(expected, abs=1e-3)
    assert 0 < measured["RetFail"] <= 1 and 0 <= measured["GenKnow"] <= 1


def test_it_leaves_the_random_state_alone(dataset_dir, model_dir):
    network, _, _ = open_clip.create_model_and_transforms(f"local-dir:{model_dir}")
    before, drawn = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    monitor.monitor(dataset_dir, seed=0)(network.eval(), open_clip.get_tokenizer(f"local-dir:{model_dir}"))
    assert torch.equal(before, torch.random.get_rng_state()) and np.array_equal(drawn, np.random.get_state()[1])
