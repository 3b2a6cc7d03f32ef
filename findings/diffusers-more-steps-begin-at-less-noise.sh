#!/usr/bin/env bash
# diffusers 0.42.1: with the settings of Stable Diffusion 1.5, DDIMScheduler begins at less noise for some larger
# numbers of steps. 30 steps begin at timestep 958 of 1000, 300 at 898, 700 at 700.
#
# Guess before the run: the more steps, the nearer to 1000 the first one; 700 steps begin at about 999.
# Seen: "leading" spacing takes every (1000 // steps)-th timestep from the small end, so what the division leaves over
# is missing at the noisy end. At 700 steps the first timestep still holds .29 of the picture (square root of the
# cumulated alpha), where 500 steps begin at .07. The pipeline starts from pure noise all the same.
# It matters for a sweep over the number of steps: pictures become worse and flatter at 300 or 700 for a reason that has
# nothing to do with the steps' size. Take divisors of 1000, or timestep_spacing="trailing", which begins at 999 always.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile diffusers==0.42.1 torch==2.13.0 numpy==2.4.6
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import diffusers
from diffusers import DDIMScheduler

STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


def first(steps, **more):
    """The first timestep, and how much of the picture it holds."""
    scheduler = DDIMScheduler(**STABLE_DIFFUSION, **more)
    scheduler.set_timesteps(steps)
    timestep = scheduler.timesteps[0].item()
    return timestep, round(scheduler.alphas_cumprod[timestep].sqrt().item(), 3)


print("diffusers", diffusers.__version__)
found = {steps: first(steps) for steps in (10, 30, 50, 100, 300, 500, 700)}
for steps, (timestep, share) in found.items():
    print(f"{steps} steps: the first is {timestep}, which holds {share} of the picture")
assert [found[steps][0] for steps in (30, 100, 300, 500, 700)] == [958, 991, 898, 999, 700]
assert found[700][1] > 4 * found[500][1]
assert {first(steps, timestep_spacing="trailing")[0] for steps in found} == {999}
PYTHON
