"""Where captions shall be: corrections of what is missed, and the level of targets."""

from types import SimpleNamespace

import pytest
import torch

from salmu.data.errors import UserError
from salmu.evaluation.unlearning.aims import Aim, drawn, encoded, missed
from salmu.evaluation.unlearning.pair_streams import numbered
from salmu.evaluation.unlearning.text_regression import before

FACES = {"made_portraits": 4, "made_scenes": 3, "retain_scenes": 5, "scenes": 20}


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_with_corrections_captions_reach_their_targets_whatever_pulls(bench, share):
    """The same captions are pulled to targets and held where they are, with equal weights: half way without."""
    work = bench("as_retrained", faces=0, correction=share, correct_after=0.2)
    tokens = work.forget.pool.tokens[:6]
    start = before(work, tokens)
    targets = torch.nn.functional.normalize(start + 0.3 * start.roll(1, 0), dim=1)
    aim = Aim(tokens, targets, 1, 1.0, torch.arange(6) if share else None)
    optimiser = torch.optim.Adam(work.weights.values(), lr=3e-4)
    for step in range(100):
        batch, rows = SimpleNamespace(work=work, progress=step / 100), torch.arange(6)
        optimiser.zero_grad()
        pulls = [drawn(aim, rows, work, "forget"), drawn(Aim(tokens, start, 1, 1.0), rows, work, "held")]
        missed(batch, pulls).backward()
        optimiser.step()
        if step < 20:
            assert not work.carried.get("forget", torch.zeros(1)).any(), "they begin later"
    off, way = ((encoded(work, tokens) - targets).norm(dim=1), (start - targets).norm(dim=1))
    assert set(work.carried) == ({"forget"} if share else set())
    assert (off < 0.1 * way).all() if share else (off > 0.4 * way).all()


def test_captions_about_one_fact_are_corrected_together(bench):
    work = bench("as_retrained", faces=0, correction=0.5, correct_after=0.0)
    tokens = work.forget.pool.tokens[:3]
    targets = before(work, tokens).roll(1, 0)
    missing = targets - before(work, tokens)
    batch, aim = SimpleNamespace(work=work, progress=0.0), Aim(tokens, targets, 1, 1.0, numbered("aba"))
    missed(batch, [drawn(aim, torch.tensor([0, 2, 2]), work, "forget")])
    expected = 0.5 * torch.stack([missing[0] + 2 * missing[2], torch.zeros_like(missing[1])])
    torch.testing.assert_close(work.carried["forget"], expected, atol=1e-5, rtol=0)
    assert torch.equal(drawn(aim, [1, 0], work, "forget").correction, work.carried["forget"])


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
    work = bench("as_retrained", faces=0, strangers=8, candidates=3)
    known = float((work.forget.before[0] * work.forget.before[1]).sum(1).mean())
    with pytest.raises(UserError, match=f"level is {known + 0.01:.4f}.*cosine of {known:.3f} only; set level to about"):
        bench("as_retrained", faces=0, strangers=8, candidates=3, level=round(known + 0.01, 4)).prepared
