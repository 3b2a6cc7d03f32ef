"""A small latent diffusion model: diffusers' conditional U-Net and DDIM scheduler, on heads of 64 pixels.

Its autoencoder is linear: each tile of 8 x 8 pixels becomes its first principal components. So a step of training takes
a tenth of a second on one core."""

from collections.abc import Callable
from math import gcd
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss, pixel_shuffle, pixel_unshuffle

from salmu.data.errors import UserError
from salmu.data.keyed import integer
from salmu.evaluation.encoding.settings import PropagationSettings
from salmu.evaluation.propagation.heads import SIDE

TILE, COMPONENTS = 8, 24  # pixels of a tile's side; its principal components
PLACES, VALUES = SIDE // TILE, 3 * TILE**2
HEADS = 4  # of attention
DRAWN_AT_ONCE = 64


def require_diffusers() -> Any:
    """The package diffusers. Raises UserError where it is not installed."""
    try:
        import diffusers
    except ImportError as error:
        raise UserError(
            f'salmu generator needs the package diffusers ({error}); run: pip install "salmu[generator]"'
        ) from None
    return diffusers


class Generator(torch.nn.Module):
    """An untrained generator that is conditioned on tokens of this width: by cross-attention below the U-Net's first
    level, where that is cheap, and everywhere beside the time of diffusion."""

    def __init__(self, settings: PropagationSettings, width: int):
        super().__init__()
        below = len(settings.widths) - 1
        self.unet = require_diffusers().UNet2DConditionModel(
            sample_size=PLACES,
            in_channels=COMPONENTS,
            out_channels=COMPONENTS,
            block_out_channels=settings.widths,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * below,
            up_block_types=("CrossAttnUpBlock2D",) * below + ("UpBlock2D",),
            cross_attention_dim=width,
            attention_head_dim=HEADS,
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
            addition_embed_type="text",
            addition_embed_type_num_heads=gcd(width, HEADS),
        )
        self.register_buffer("mean", torch.zeros(VALUES))
        self.register_buffer("components", torch.zeros(VALUES, COMPONENTS))
        self.register_buffer("scale", torch.ones(()))

    def learn_components(self, pictures: np.ndarray) -> None:
        """Set the autoencoder to the principal components of the pictures' tiles."""
        tiles = _tiles(pictures)
        self.mean = tiles.mean(0)
        spread = (tiles - self.mean).T @ (tiles - self.mean) / len(tiles)
        self.components = torch.linalg.eigh(spread)[1][:, -COMPONENTS:].flip(1).contiguous()
        self.scale = ((tiles - self.mean) @ self.components).std()

    def encode(self, pictures: np.ndarray) -> Tensor:
        """uint8 [n, SIDE, SIDE, 3] -> float32 [n, COMPONENTS, PLACES, PLACES], of values of about 1."""
        found = (_tiles(pictures) - self.mean) @ self.components / self.scale
        return found.reshape(len(pictures), PLACES, PLACES, COMPONENTS).permute(0, 3, 1, 2).contiguous()

    def decode(self, found: Tensor) -> np.ndarray:
        """The pictures, as `encode` takes them, as far as the components tell."""
        tiles = found.permute(0, 2, 3, 1) * self.scale @ self.components.T + self.mean
        values = pixel_shuffle(tiles.permute(0, 3, 1, 2), TILE).clamp(-1, 1)
        return ((values + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def forward(self, noisy: Tensor, times: Tensor, states: Tensor) -> Tensor:
        """What is clear in `noisy`, by states [n, tokens, width]."""
        return self.unet(noisy, times, encoder_hidden_states=states).sample


def train(
    settings: PropagationSettings,
    pictures: np.ndarray,
    states: Tensor,
    *key,
    device: str = "cpu",
    tick: Callable[[], None] = lambda: None,
) -> Generator:
    """A generator trained to draw `pictures`, uint8 [n, SIDE, SIDE, 3], from `states` [n, tokens, width].

    The draws are those of `key`; `tick` is called after each step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(*key, "weights"))
        network = Generator(settings, states.shape[2]).train()
    network.learn_components(pictures)
    clear = network.encode(pictures)
    network = network.to(device)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, max(settings.steps, 2), pct_start=0.1
    )
    draws, noising = torch.Generator().manual_seed(integer(*key, "training")), _scheduler()
    for _ in range(settings.steps):
        rows = torch.randint(len(clear), (settings.batch_size,), generator=draws)
        noise = torch.randn(clear[rows].shape, generator=draws).to(device)
        times = torch.randint(noising.config.num_train_timesteps, (2, len(rows)), generator=draws).amax(0).to(device)
        wanted = clear[rows].to(device)
        loss = mse_loss(network(noising.add_noise(wanted, noise, times), times, states[rows].to(device)), wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        tick()
    return network.eval()


@torch.no_grad()
def draw(network: Generator, states: Tensor, steps: int, *key) -> np.ndarray:
    """Pictures, uint8 [n, SIDE, SIDE, 3], of `states` [n, tokens, width]. The noise that each begins with is that of
    `key` and its row, whatever the states are."""
    draws = torch.Generator().manual_seed(integer(*key, "noise"))
    noise = torch.randn((len(states), COMPONENTS, PLACES, PLACES), generator=draws)
    device, drawn, denoising = network.mean.device, [], _scheduler()
    for start in range(0, len(states), DRAWN_AT_ONCE):
        part = slice(start, start + DRAWN_AT_ONCE)
        found, told = noise[part].to(device), states[part].to(device)
        denoising.set_timesteps(steps)
        for time in denoising.timesteps:
            found = denoising.step(network(found, time, told), time, found).prev_sample
        drawn.append(network.decode(found))
    return np.concatenate(drawn)


def _scheduler():
    return require_diffusers().DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing", clip_sample=False
    )


def _tiles(pictures: np.ndarray) -> Tensor:
    """The tiles of pictures [n, SIDE, SIDE, 3]: float32 [n * PLACES * PLACES, VALUES], from -1 to 1."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixel_unshuffle(values, TILE).permute(0, 2, 3, 1).reshape(-1, VALUES)
