#!/usr/bin/env bash
# torch 2.13.0: torch.optim.Muon turns a gradient of low rank into an update of higher rank. Of the update for a
# gradient of rank 1, nearly three quarters lie outside the gradient's rows and columns; for rank 4 it is a third.
#
# Guess before the run: the rank stays: directions with a singular value of 0 keep it, those above 0 come near 1.
# Seen: the gradient is rounded to bfloat16 first, also that of a float32 model, and the five rounds that follow
# multiply small singular values by nearly 500. What the rounding left becomes singular values of .2 to .4, where the
# true ones are .7. The same rounds in float32 keep the rank. There is no setting for it.
# It matters for edits that should be narrow: a projection that sees one vector for each pair gets a gradient of rank 4
# from a batch of four pairs, and what an input at right angles to all of them gives changes too, a tenth as much as for
# the four. By plain gradient descent it stays as it is. As momentum collects batches, the rank grows and the share
# falls (.07 for rank 32). Take larger batches, or another optimiser for such layers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch

SIDE = 256
draw = torch.Generator().manual_seed(0)


def by_muon(gradient):
    weight = torch.nn.Parameter(torch.zeros_like(gradient))
    optimizer = torch.optim.Muon([weight], lr=1, weight_decay=0)
    weight.grad = gradient.clone()
    optimizer.step()
    return -weight.detach()


def in_float32(gradient):
    """The same five rounds with the same three numbers."""
    x = gradient / gradient.norm()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.775 * square) @ x
    return x


def outside(update, outputs, inputs):
    """The share of the update's square that is outside the space of the gradient."""
    left, right = (torch.linalg.qr(each.double())[0] for each in (outputs, inputs))
    inside = left.T @ update.double() @ right
    return 1 - (inside.square().sum() / update.double().square().sum()).item()


print("torch", torch.__version__)
shares, others = {}, {}
for rank in (1, 4, 32, SIDE):
    outputs, inputs = (torch.randn(SIDE, rank, generator=draw) for _ in range(2))
    gradient = outputs @ inputs.T
    update = by_muon(gradient)
    values = torch.linalg.svdvals(update)
    space = torch.linalg.qr(inputs)[0]
    away = torch.eye(SIDE) - space @ space.T  # the inputs at right angles to those of the batch
    effects = [(update @ each).square().sum() / torch.linalg.matrix_rank(each, rtol=1e-4) for each in (away, space)]
    others[rank] = (effects[0] / effects[1]).sqrt().item() if rank < SIDE else 0
    shares[rank] = outside(update, outputs, inputs), outside(in_float32(gradient), outputs, inputs)
    first = f"its last singular value is {values[rank - 1]:.2f}"
    then = f", the next {values[rank]:.2f}; other inputs move {others[rank]:.2f} as much" if rank < SIDE else ""
    print(f"rank {rank}: outside {shares[rank][0]:.2f}, in float32 {shares[rank][1]:.5f}; {first}{then}")
assert shares[1][0] > 0.6 and shares[4][0] > 0.2 and shares[32][0] > 0.05
assert others[1] > 0.05 and others[4] > 0.05
assert all(exact < 0.001 for _, exact in shares.values())
PYTHON
