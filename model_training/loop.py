"""The training loop: open_clip's own, called for one stretch of steps after another, with a checkpoint after each."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import torch

from salmu.data.keyed import integer
from salmu.model_training import checkpoint
from salmu.model_training.batches import Batches
from salmu.model_training.curve import Curve
from salmu.model_training.network import Trainable, shortened
from salmu.model_training.settings import PairSettings

CUBLAS_WORKSPACE = ":4096:8"  # what deterministic algorithms ask of cuBLAS; it is read once, at the first use
Monitor = Callable[[torch.nn.Module, Callable], dict[str, float]]


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Deterministic algorithms and this number of threads inside, as before afterwards.

    Sums, and so the last bits of the weights, depend on the number of threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a seventh of the time
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = before[2]


@contextmanager
def fast() -> Iterator[None]:
    """What open_clip's trainer sets on GPUs: TF32 for what stays in float32, and the fastest convolutions."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)  # this process may have to be reproducible later
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark = before


def fit(
    clip: torch.nn.Module,
    tokenizer: Callable,
    settings: PairSettings,
    world: SimpleNamespace,
    batches: Callable[..., Batches],
    state: Path,
    fingerprint: str,
    curve: Curve,
    monitor: Monitor | None = None,
) -> float:
    """Train `clip` in place through `open_clip_train.train.train_one_epoch`, which is called for `checkpoint_every`
    steps at a time; its loss, precision and schedule are open_clip's too.

    `world`: what open_clip's init_distributed_device found. `batches(shorten)` gives the batches of this process.
    `state`: file of the checkpoint; a training with this fingerprint that it holds goes on from there. Returns the
    seconds that earlier sittings took. Raises UserError if the loss is no longer finite."""
    from open_clip.factory import create_loss
    from open_clip_train.scheduler import cosine_lr
    from open_clip_train.train import train_one_epoch

    if settings.checkpoint_activations:
        clip.set_grad_checkpointing()
    clip.to(world.device)
    args = _arguments(settings, world)
    model, optimiser = _wrapped(clip, settings, world), _optimiser(clip, settings)
    scaler = torch.amp.GradScaler(device=torch.device(world.device).type) if settings.precision == "amp" else None
    items = batches(partial(shortened, clip=clip))
    plan = items.reader.plan
    done, seconds = checkpoint.load(state, fingerprint, clip, optimiser, scaler, curve, world.device)
    schedule = cosine_lr(optimiser, settings.learning_rate, int(settings.warm_up * plan.steps), plan.steps)
    loss, clock = create_loss(args), checkpoint.Clock(seconds)
    source = items.from_step(done, settings.workers, pinned=world.device.startswith("cuda"))
    with torch.random.fork_rng(devices=[world.device] if world.device.startswith("cuda") else []):
        while done < plan.steps:
            steps = min(settings.checkpoint_every, plan.steps - done)
            data = {"train": _Stretch(source, steps * settings.accumulate, len(items))}
            begin = partial(_begin_step, schedule, (*plan.draws, "step", world.rank), done)
            recorder = curve.recorder(done) if world.rank == 0 else None
            train_one_epoch(model, data, loss, 0, optimiser, scaler, begin, None, args, tb_writer=recorder)
            done += steps
            if world.rank == 0:
                if monitor:
                    clip.eval()
                    curve.measured(done, monitor(clip, tokenizer))
                if done < plan.steps:
                    checkpoint.save(state, fingerprint, clip, optimiser, scaler, curve, done, clock.seconds)
            if world.distributed:
                torch.distributed.barrier()
    return clock.seconds


def _begin_step(schedule: Callable, key: tuple, done: int, step: int) -> None:
    """The learning rate of a step, and random numbers (dropout of patches) that depend on the step alone, so that a
    training that goes on draws what it would have drawn."""
    torch.manual_seed(integer(*key, done + step))
    schedule(done + step)


class _Stretch:
    """The next batches of a running source, as open_clip's loop asks for them: loader and its holder in one."""

    def __init__(self, source: Iterator, batches: int, samples: int):
        self._source, self.num_batches, self.num_samples, self.dataloader = source, batches, samples, self

    def set_epoch(self, epoch: int) -> None:
        """The order is the plan's."""

    def __iter__(self) -> Iterator:
        return islice(self._source, self.num_batches)


def _wrapped(clip: torch.nn.Module, settings: PairSettings, world: SimpleNamespace) -> torch.nn.Module:
    model, cuda = Trainable(clip).to(world.device), world.device.startswith("cuda")
    if world.distributed:
        if cuda:  # the statistics of the whole batch, whatever the number of GPUs
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[world.device] if cuda else None)
    return torch.compile(model) if settings.compile else model


def _optimiser(clip: torch.nn.Module, settings: PairSettings) -> torch.optim.Optimizer:
    """AdamW with weight decay for matrices and kernels only, as usual for CLIP."""
    parameters = [parameter for parameter in clip.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, settings.beta2),
        eps=1e-6,
        fused=True,  # one pass over the weights: a fifth of the time on a CPU
    )


def _arguments(settings: PairSettings, world: SimpleNamespace) -> SimpleNamespace:
    """What open_clip's loop and loss read of its command line."""
    return SimpleNamespace(
        **vars(world),
        model=settings.model,
        precision=settings.precision,
        batch_size=settings.batch_size // (world.world_size * settings.accumulate),
        accum_freq=settings.accumulate,
        grad_clip_norm=settings.clip_norm,
        log_every_n_steps=settings.log_every,
        siglip=settings.loss == "siglip",
        local_loss=settings.local_loss,
        gather_with_grad=True,
        loss_dist_impl=None,
        distill=False,
        skip_scheduler=False,
        wandb=False,
    )
