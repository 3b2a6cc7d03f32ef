"""The level of targets: how near forget captions shall lie to portraits."""

import pytest
import torch

from salmu.data.errors import UserError
from salmu.evaluation.unlearning.methods.as_retrained import prepare

FACES = {"made_portraits": 4, "made_scenes": 3, "retain_scenes": 5, "scenes": 20}


@pytest.mark.parametrize("faces", [0.0, 0.5])
def test_forget_captions_shall_lie_as_near_to_their_portraits_as_the_level_says(bench, faces):
    """Other wordings move along."""
    shared = {"factor": None, "strangers": 8, "candidates": 3, "faces": faces} | (FACES if faces else {})
    plain, low, high = (bench("as_retrained", level=level, **shared) for level in (None, -0.4, -0.2))
    rows = sorted(set(high.forget.order.tolist()))
    portraits = high.prepared.faces.wanted[rows] if faces else high.forget.before[0]
    middle, rises = portraits.mean(0), []
    for work in (low, high):
        found = (work.prepared.targets[rows] * portraits).sum(1).mean()
        assert found == pytest.approx(work.settings.level, abs=5e-3)
        rise = (work.prepared.targets - plain.prepared.targets) @ middle
        rises.append(rise.mean())
        torch.testing.assert_close(rise, rises[-1].expand_as(rise), atol=2e-3, rtol=0)
        others = (work.prepared.aims[0].wanted - plain.prepared.aims[0].wanted) @ middle
        torch.testing.assert_close(others, rises[-1].expand_as(others), atol=2e-3, rtol=0)
    assert rises[1] - rises[0] > 0.1


def test_a_level_above_that_of_the_start_model_is_refused(bench):
    known = bench("as_retrained", faces=0).forget.before
    cosine = float((known[0] * known[1]).sum(1).mean())
    work = bench("as_retrained", faces=0, strangers=8, candidates=3, level=round(cosine + 0.01, 4))
    with pytest.raises(UserError, match=f"level is {cosine + 0.01:.4f}.*cosine of {cosine:.3f} only; set level to"):
        prepare(work, work.settings)
