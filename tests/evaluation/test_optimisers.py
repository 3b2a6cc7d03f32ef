"""Muon for kernels, beside torch's for matrices."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from salmu.evaluation.unlearning.optimisers import KernelMuon, optimisers
from salmu.evaluation.unlearning.registry import get
from salmu.model_training.configurations import create_model


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [1, 3])
def test_a_kernel_learns_as_torchs_muon_teaches_the_matrix_of_its_rows(layout, side):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 4, side, padding=side // 2, bias=False).to(memory_format=layout)
    matrix = nn.Parameter(layer.weight.detach().clone().contiguous().flatten(1))
    settings = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    ours, torchs = KernelMuon([layer.weight], **settings), torch.optim.Muon([matrix], **settings)
    for _ in range(3):
        pictures, wanted = torch.randn(2, 6, 5, 5), torch.randn(2, 4, 5, 5)
        shadow = nn.functional.conv2d(pictures, matrix.unflatten(1, (6, side, side)), padding=side // 2)
        for optimiser, found in ((ours, layer(pictures.to(memory_format=layout))), (torchs, shadow)):
            optimiser.zero_grad()
            (found - wanted).square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(layer.weight.detach().contiguous().flatten(1), matrix.detach(), atol=2e-3, rtol=0)


def test_a_stopped_one_goes_on_from_its_state():
    torch.manual_seed(0)
    gradients, ends = torch.randn(4, 5, 3, 3, 3), []
    for stop in (None, 2):
        kernel = nn.Parameter(torch.ones(5, 3, 3, 3))
        optimiser = KernelMuon([kernel], lr=0.1)
        for number, gradient in enumerate(gradients):
            if number == stop:
                state = copy.deepcopy(optimiser.state_dict())
                optimiser = KernelMuon([kernel], lr=0.1)
                optimiser.load_state_dict(state)
            kernel.grad = gradient
            optimiser.step()
        ends.append(kernel.detach())
    assert torch.equal(*ends)


def test_every_weight_of_both_towers_has_the_optimiser_of_its_kind():
    network = create_model("salmu-small", seed=0)
    settings = get("finetuning").settings(budget=1, optimiser="muon")
    work = SimpleNamespace(network=network, settings=settings, change=None)
    adamw, muon, kernels = optimisers(work, list(network.parameters()))
    named = dict(network.named_parameters())
    found = {
        kind: {name for name, weight in named.items() if any(weight is one for one in own)}
        for kind, own in (
            ("adamw", adamw.param_groups[0]["params"]),
            ("muon", muon.param_groups[0]["params"]),
            ("kernels", kernels.kernels),
        )
    }
    assert sum(map(len, found.values())) == len(named) == len(set.union(*found.values()))
    assert found["muon"] == {name for name in named if "resblocks" in name and named[name].ndim == 2}
    assert found["kernels"] == {name for name in named if "visual.trunk.layer" in name and named[name].ndim == 4}
    assert found["kernels"] and "token_embedding.weight" in found["adamw"]


def test_the_weights_of_the_image_tower_learn_with_their_share_of_the_rate():
    network = create_model("salmu-small", seed=0)
    settings = get("as_retrained").settings(budget=1, optimiser="muon", image_rate=0.5)
    work = SimpleNamespace(network=network, settings=settings, change=None)
    parts = optimisers(work, list(network.parameters()))
    found = {(type(part), part.param_groups[0]["share"]) for part in parts}
    assert len(parts) == 4 and found == {
        *((torch.optim.AdamW, share) for share in (1, 0.5)),
        (torch.optim.Muon, 1),
        (KernelMuon, 0.5),
    }
