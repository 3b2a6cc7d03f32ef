"""Rounding: a model that hides what it was to forget in small changes of its weights loses these changes first.

After Zhang et al. (2024, arXiv:2410.16454), "Catastrophic failure of LLM unlearning via quantization": methods that
move the weights little come out of rounding as the model before. Weights are rounded to the nearest of 2^bits - 1
steps that lie evenly about zero, in each output channel of a matrix by itself; nothing is calibrated. Computation stays
float32."""

import copy
from dataclasses import replace

import torch
from torch import nn

from salmu.data.pictures import decode_files
from salmu.data.readers import Dataset
from salmu.evaluation.attacks.outcome import Outcome, nothing
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.retrieval import retrieval_failure
from salmu.model_training.loading.clip import ClipModel

OUTPUT_LAST = ("proj", "text_projection")  # open_clip's bare matrices, which stand right of what they multiply


def rounding(
    settings: EvaluationSettings, clip: ClipModel, dataset: Dataset, pairs: dict[str, Pairs], bits: int
) -> Outcome:
    """RetFail of the model with its weights rounded to `bits`; AssocStr stands beside it."""
    if not len(pairs["forget"]):
        return nothing("no forget pairs")
    rounded = clip._replace(network=rounded_to(clip.network, bits))
    encoder = Encoder(rounded, settings.batch_size, dataset.digest, precision=settings.precision)
    files = (image["bytes"] for image in dataset.table("forget", "image").column("image").to_pylist())
    pictures = decode_files(zip(pairs["forget"].file_name, files, strict=True))
    both = (pairs["forget"], pairs["retain_disjoint"])
    forget, others = (replace(part, texts=encoder.texts(part.text)) for part in both)
    forget = replace(forget, images=encoder.images("forget", pictures, len(forget)))
    score = retrieval_failure(forget, others, settings.retrieval_pool, settings.seed)
    about = {"bits": bits, "AssocStr": float(forget.cosines.mean())}
    return Outcome(score.values, score.clusters, score.chance, about)


@torch.no_grad()
def rounded_to(network: nn.Module, bits: int) -> nn.Module:
    """A copy of a network whose matrices and kernels are rounded; vectors, such as biases and norms, stay."""
    network, most = copy.deepcopy(network), 2 ** (bits - 1) - 1
    for name, weight in network.named_parameters():
        if weight.ndim < 2:
            continue
        rest = tuple(range(weight.ndim - 1)) if name.rpartition(".")[2] in OUTPUT_LAST else tuple(range(1, weight.ndim))
        step = weight.abs().amax(rest, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / most
        weight.copy_((weight / step).round() * step)
    return network
