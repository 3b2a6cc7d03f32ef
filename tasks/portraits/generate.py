"""Makes portraits with a diffusion pipeline, batch by batch: one size and up to batch_size portraits a batch, of any
identities. While a batch is drawn, a thread writes the JPEG files of the one before.

Which portraits make a batch follows from the shard's items and batch_size alone, and each portrait's noise comes from a
generator on the CPU with its own seed. On one machine with the same packages the bytes repeat; a portrait that is made
again alone, so in another batch, differs by floating point only."""

import io
import json
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from salmu.data.store import Reject, ShardResult, Work
from salmu.tasks.devices import in_parts_that_fit
from salmu.tasks.faces import aligned_crop
from salmu.tasks.labels import one_thread
from salmu.tasks.pictures import jpeg_file
from salmu.tasks.portraits.faceid import FaceIDSettings
from salmu.tasks.portraits.pipeline import Engine
from salmu.tasks.portraits.procedural import JPEG_QUALITY
from salmu.tasks.portraits.prompts import PortraitPrompts, Wish

CROP = 224  # side in pixels of the aligned face that CLIP sees
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
UNWRITTEN = 2  # batches drawn and not yet written: bounds memory when writing is slower


class Order(NamedTuple):
    """A portrait to be made."""

    file_name: str
    identity_id: str
    number: int
    seed: int
    width: int
    height: int
    wish: Wish


class Face(NamedTuple):
    """What an identity gives to the pipeline, on its device."""

    identity: torch.Tensor  # [1, 512]
    structure: torch.Tensor | None  # [patches + 1, width]: CLIP's last but one hidden states of the aligned face


class Drawn(NamedTuple):
    """Portraits made at once: their orders, pictures (uint8 [n, h, w, 3]), the event after which these are there, and
    the safety checker's flags."""

    batch: list[Order]
    pixels: torch.Tensor
    copied: Any
    flags: list[bool]


def batches(orders: list[Order], batch_size: int) -> list[list[Order]]:
    """Orders of one size together, in order of their first appearance, in groups of at most batch_size."""
    buckets: dict[tuple[int, int], list[Order]] = {}
    for order in orders:
        buckets.setdefault((order.width, order.height), []).append(order)
    return [
        bucket[start : start + batch_size] for bucket in buckets.values() for start in range(0, len(bucket), batch_size)
    ]


def make(
    engine: Engine,
    settings: FaceIDSettings,
    prompts: PortraitPrompts,
    orders: list[Order],
    anchors: dict[str, dict[str, Any]],
    work: Work | None,
) -> ShardResult:
    """The portraits' rows in the order of the orders, and what the safety checker flagged as rejects.

    `anchors`: identity -> image, landmarks, face_embedding. A batch that `work` holds is not made again, a finished one
    is put there. A batch that the memory is too small for is made in parts. Raises UserError if one portrait is too
    much."""
    groups = {f"batch-{number:05}": batch for number, batch in enumerate(batches(orders, settings.batch_size))}
    finished = {key: held for key in groups if work is not None and (held := work.get(key)) is not None}
    missing = {key: batch for key, batch in groups.items() if key not in finished}
    wanted = {order.identity_id for batch in missing.values() for order in batch}
    with torch.inference_mode(), one_thread() if engine.device.type == "cpu" else nullcontext():
        faces = {identity_id: face(engine, anchors[identity_id]) for identity_id in sorted(wanted)}
        blank = None if engine.encoder is None else structure(engine, None)
        with ThreadPoolExecutor(1, "write-portraits") as writer:
            under_way: deque[tuple[str, Future]] = deque()
            for key, batch in missing.items():
                parts = in_parts_that_fit(
                    lambda some: Drawn(some, *draw(engine, settings, prompts, some, faces, blank)),
                    batch,
                    "portraits.faceid.batch_size",
                )
                under_way.append((key, writer.submit(_write, key, parts, work)))
                while len(under_way) > UNWRITTEN:
                    done, future = under_way.popleft()
                    finished[done] = future.result()
            finished |= {key: future.result() for key, future in under_way}
    rows = {row["file_name"]: row for result in finished.values() for row in result.rows}
    rejects = {reject.item: reject for result in finished.values() for reject in result.rejects}
    names = [order.file_name for order in orders]
    return ShardResult(
        [rows[name] for name in names if name in rows], [rejects[name] for name in names if name in rejects]
    )


def face(engine: Engine, anchor: dict[str, Any]) -> Face:
    """An anchor's conditioning: its embedding and, where the engine has an image encoder, its face's structure."""
    identity = torch.tensor(anchor["face_embedding"])[None].to(engine.device, engine.dtype)
    if engine.encoder is None:
        return Face(identity, None)
    image = np.asarray(Image.open(io.BytesIO(anchor["image"])).convert("RGB"))
    landmarks = np.asarray(anchor["landmarks"], np.float32).reshape(5, 2)
    return Face(identity, structure(engine, aligned_crop(image, landmarks, CROP)))


def structure(engine: Engine, crop: np.ndarray | None) -> torch.Tensor:
    """CLIP's last but one hidden states [patches + 1, width] of a face crop (RGB, uint8 [h, w, 3]); for None, of an
    all-zero input, which is what classifier-free guidance sets against it."""
    side = engine.encoder.config.image_size
    if crop is None:
        pixels = torch.zeros(3, side, side)
    else:
        shown = Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC)
        values = np.asarray(shown, np.float32) / 255
        pixels = torch.from_numpy((values - np.float32(CLIP_MEAN)) / np.float32(CLIP_DEVIATION)).permute(2, 0, 1)
    pixels = pixels[None].to(engine.device, engine.dtype)
    return engine.encoder(pixels, output_hidden_states=True).hidden_states[-2][0]


def draw(
    engine: Engine,
    settings: FaceIDSettings,
    prompts: PortraitPrompts,
    batch: list[Order],
    faces: dict[str, Face],
    blank: torch.Tensor | None,
) -> tuple[torch.Tensor, Any, list[bool]]:
    """The pictures of a batch (uint8 [n, h, w, 3], on the CPU), the event after which they are there (None: at once),
    and for each whether the safety checker flags it.

    `blank`: structure(engine, None)."""
    identity = torch.stack([faces[order.identity_id].identity for order in batch])
    if blank is not None:
        shown = torch.stack([faces[order.identity_id].structure for order in batch])
        layer = engine.pipe.unet.encoder_hid_proj.image_projection_layers[0]
        layer.clip_embeds = torch.cat([blank.expand_as(shown), shown])[:, None]
        layer.shortcut, layer.shortcut_scale = True, settings.structure_scale  # with the shortcut Plus is Plus v2
    width, height = batch[0].width, batch[0].height
    images = engine.pipe(
        prompt=[order.wish.prompt for order in batch],
        negative_prompt=[prompts.negative[engine.negative]] * len(batch),
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(identity), identity])],
        generator=[torch.Generator("cpu").manual_seed(order.seed) for order in batch],
        width=width,
        height=height,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        output_type="pt",
    ).images
    pixels = (images.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    flags = [False] * len(batch) if engine.checker is None else _flags(engine, pixels.cpu().numpy())
    return *_to_host(pixels), flags


def _to_host(pixels: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """A copy on the CPU, and the event after which it is whole; nobody waits for the GPU here."""
    if pixels.device.type != "cuda":
        return pixels, None
    host = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
    host.copy_(pixels, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return host, copied


def _flags(engine: Engine, pictures: np.ndarray) -> list[bool]:
    checker, processor = engine.checker
    inputs = processor(images=list(pictures), return_tensors="pt").pixel_values.to(engine.device, engine.dtype)
    _, flags = checker(clip_input=inputs, images=[np.zeros(1) for _ in pictures])
    return [bool(flag) for flag in flags]


def _write(key: str, parts: list[Drawn], work: Work | None) -> ShardResult:
    """The rows of a batch with their JPEG files; kept in `work`."""
    rows, rejects = [], []
    for part in parts:
        if part.copied is not None:
            part.copied.synchronize()
        for order, image, unsafe in zip(part.batch, part.pixels.numpy(), part.flags, strict=True):
            if unsafe:
                rejects.append(Reject(order.file_name, "unsafe", "flagged by the safety checker"))
            else:
                rows.append(_row(order, image))
    result = ShardResult(rows, rejects)
    if work is not None:
        work.put(key, result)
    return result


def _row(order: Order, image: np.ndarray) -> dict[str, Any]:
    return {
        "file_name": order.file_name,
        "identity_id": order.identity_id,
        "portrait_index": order.number,
        "prompt": order.wish.prompt,
        "scene": json.dumps(order.wish.scene),
        "seed": order.seed,
        "width": order.width,
        "height": order.height,
        "image": jpeg_file(image, JPEG_QUALITY),
        "fault": None,
    }
