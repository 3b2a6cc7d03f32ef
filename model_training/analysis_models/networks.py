"""The three small networks of the face pack, their training loop, and their export as the ONNX files that insightface
reads."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from salmu.data import keyed

STRIDES = (8, 16, 32)  # SCRFD's three levels
ANCHORS = 2  # anchors a cell
ANCHOR_SIZES = (
    (18.0, 27.0),
    (40.0, 60.0),
    (90.0, 135.0),
)  # side in input pixels of the face that each anchor answers for


def convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """x + f(x) with one 3x3 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.body = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Detector(nn.Module):
    """Images [b, 3, h, w] in (x - 127.5) / 128, sides multiples of 32 -> scores (logits), boxes and landmarks of every
    anchor, by level: [b, h/s * w/s * 2, 1 | 4 | 10]; boxes as distances to left, top, right, bottom, landmarks as
    offsets, both from the cell's corner and in strides. The form is SCRFD's (Guo et al., 2021)."""

    def __init__(self, widths: tuple[int, ...] = (12, 24, 48, 64, 96)):
        super().__init__()
        a, b, c, d, e = widths
        self.level8 = nn.Sequential(convolution(3, a, 2), convolution(a, b, 2), convolution(b, c, 2), Residual(c))
        self.level16 = nn.Sequential(convolution(c, d, 2), Residual(d))
        self.level32 = nn.Sequential(convolution(d, e, 2), Residual(e), Residual(e))
        self.up32, self.up16 = nn.Conv2d(e, d, 1), nn.Conv2d(d, c, 1)
        self.twice = nn.Upsample(scale_factor=2, mode="nearest")
        self.heads = nn.ModuleList(nn.Conv2d(width, ANCHORS * 15, 1) for width in (c, d, e))
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.01)
            with torch.no_grad():
                head.bias.view(ANCHORS, 15)[:, 0] = -4.0  # a face is rare

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        level8 = self.level8(x)
        level16 = self.level16(level8)
        level32 = self.level32(level16)
        level16 = level16 + self.twice(self.up32(level32))
        level8 = level8 + self.twice(self.up16(level16))
        outputs = []
        for head, features in zip(self.heads, (level8, level16, level32), strict=True):
            cells = head(features).permute(0, 2, 3, 1)
            outputs.append(cells.reshape(x.shape[0], -1, 15).split((1, 4, 10), dim=2))
        return [list(kind) for kind in zip(*outputs, strict=True)]


class Recogniser(nn.Module):
    """Aligned faces [b, 3, 112, 112] in (x - 127.5) / 127.5 -> embeddings [b, 512], not normalised."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 112), embedding: int = 512):
        super().__init__()
        a, b, c = widths
        self.features = nn.Sequential(
            convolution(3, a, 4, kernel=7),
            Residual(a),
            convolution(a, b, 2),
            Residual(b),
            convolution(b, c, 2),
            Residual(c),
        )
        self.pool = nn.Conv2d(c, c, 7, groups=c, bias=False)  # a weight for each place, as in MobileFaceNet
        self.embed = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(c), nn.Linear(c, embedding))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(self.pool(self.features(x)))


class GenderAge(nn.Module):
    """Faces with their surroundings [b, 3, 96, 96] in (x - 127.5) / 128 -> [b, 3]: logits of female and male, age /
    100."""

    def __init__(self, widths: tuple[int, ...] = (12, 24, 48, 64)):
        super().__init__()
        a, b, c, d = widths
        self.features = nn.Sequential(
            convolution(3, a, 2), convolution(a, b, 2), convolution(b, c, 2), convolution(c, d, 2), Residual(d)
        )
        self.answer = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(d, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.features(x))


class _ScrfdOutputs(nn.Module):
    """The detector for a single image, with the nine outputs in SCRFD's order: scores, boxes, landmarks, each at
    strides 8, 16, 32."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        scores, boxes, landmarks = self.detector(x)
        return tuple(level[0] for level in [torch.sigmoid(score) for score in scores] + boxes + landmarks)


@contextmanager
def seeded(*key) -> Iterator[None]:
    """torch's random numbers keyed by what they are for; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed.integer(*key))
        yield


def optimise(
    modules: list[nn.Module],
    batch_loss: Callable[[int], Tensor],
    steps: int,
    rate: float,
    name: str,
    decay: float = 0.02,
) -> None:
    """AdamW with a one-cycle schedule over `steps` calls of batch_loss(step); leaves the modules in evaluation mode."""
    parameters = [parameter for module in modules for parameter in module.train().parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
    average = None
    for step in (bar := tqdm(range(steps), desc=name, mininterval=2)):
        loss = batch_loss(step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        schedule.step()
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        bar.set_postfix(loss=f"{average:.3f}", refresh=False)
    for module in modules:
        module.eval()


def write_onnx(network: nn.Module, folder: Path) -> None:
    """Write detector.onnx, recogniser.onnx or genderage.onnx; the batch size is free except for the detector, whose
    image size is."""
    network = network.eval().cpu()
    if isinstance(network, Detector):
        name, example, inputs = "detector", torch.zeros(1, 3, 160, 160), "input.1"
        outputs = [f"{kind}_{stride}" for kind in ("score", "box", "landmarks") for stride in STRIDES]
        network, axes = (
            _ScrfdOutputs(network).eval(),
            {inputs: {2: "height", 3: "width"}} | {output: {0: "anchors"} for output in outputs},
        )
    else:
        name, side = ("recogniser", 112) if isinstance(network, Recogniser) else ("genderage", 96)
        example, inputs, outputs = torch.zeros(1, 3, side, side), "data", ["output"]
        axes = {"data": {0: "batch"}, "output": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package announces its successor
        torch.onnx.export(
            network,
            (example,),
            str(folder / f"{name}.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=[inputs],
            output_names=outputs,
            dynamic_axes=axes,
        )
