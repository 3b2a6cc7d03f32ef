"""Encode images and texts with a model, once: every metric is array work on the result."""

import hashlib
import io
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.loading.pixels import normalised, sized
from salmu.model_training.network import encode_text

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
CHECKSUM = 16  # bytes at the end of a file of the cache
PROBE = "Aa Zz, 0-9: Łé@+."  # its token ids tell tokenizers apart in the key of the cache


class Encoder:
    """Encodes with one model, and keeps the results under `cache/<model>/<dataset>/` for another evaluation.

    Embeddings are float32 [n, width] with rows of length 1, computed in `precision` (fp32, or bf16 and fp16 by
    autocast). `tick` is told the number of images after each batch."""

    def __init__(
        self,
        model: ClipModel,
        batch_size: int,
        dataset_digest: str,
        cache: Path | None = None,
        tick: Callable[[int], None] = lambda images: None,
        precision: str = "fp32",
    ):
        self.model, self.batch_size, self.tick, self.precision = model, batch_size, tick, precision
        self.weights_digest = model.weights_digest
        self.encoded = {"images": 0, "texts": 0}  # not those found in the cache
        about = (str(model.preprocess), model.tokenizer([PROBE]).tolist(), batch_size, torch.get_num_threads())
        pipeline = digest(*about, precision, torch.device(model.device).type)
        self.cache = cache / f"{self.weights_digest[:16]}-{pipeline[:8]}" / dataset_digest[:16] if cache else None

    def images(self, name: str, images: Iterable[Image.Image], count: int) -> np.ndarray:
        """Embeddings of `count` images, which `name` identifies within the dataset; read one batch at a time."""
        name = f"images-{name}"
        kept = self._kept(name, count)
        if kept is not None:
            self.tick(count)
            return kept
        batches, images = [], iter(images)
        while batch := [sized(self.model.preprocess, image) for image in islice(images, self.batch_size)]:
            batches.append(self._encoded(self._image_tower, normalised(self.model.preprocess, batch)))
            self.tick(len(batch))
        self.encoded["images"] += count
        return self._keep(name, batches)

    def texts(self, texts: Iterable[str]) -> np.ndarray:
        """Embeddings of texts, one a row; equal texts are encoded once."""
        texts = list(texts)
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        distinct = list(place)
        name = f"texts-{digest(distinct)}"
        embeddings = self._kept(name, len(distinct))
        if embeddings is None:
            self.encoded["texts"] += len(distinct)
            embeddings = self._keep(
                name,
                [
                    self._encoded(self._text_tower, self.model.tokenizer(distinct[start : start + self.batch_size]))
                    for start in range(0, len(distinct), self.batch_size)
                ],
            )
        return embeddings[[place[text] for text in texts]]

    @torch.inference_mode()
    def _encoded(self, tower: Callable, batch: torch.Tensor) -> np.ndarray:
        kind = AUTOCAST.get(self.precision)
        with torch.autocast(torch.device(self.model.device).type, kind, enabled=kind is not None):
            features = tower(batch.to(self.model.device))
        if not torch.isfinite(features).all():
            raise UserError(f"model {self.model.name}: an embedding is not finite (NaN or infinite); it is broken")
        return torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()

    def _image_tower(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.network.encode_image(pixels)

    def _text_tower(self, tokens: torch.Tensor) -> torch.Tensor:
        return encode_text(self.model.network, tokens)

    def _kept(self, name: str, count: int) -> np.ndarray | None:
        """What the cache holds under this name, if it is whole: bytes that differ from their checksum, which stands at
        the end of the file, are encoded again."""
        try:
            content = (self.cache / f"{name}.npy").read_bytes() if self.cache else b""
        except OSError:
            return None
        array, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
        if not array or _checksum(array) != checksum:
            return None
        embeddings = np.load(io.BytesIO(array), allow_pickle=False)
        return embeddings if len(embeddings) == count else None

    def _keep(self, name: str, batches: list[np.ndarray]) -> np.ndarray:
        embeddings = np.concatenate(batches) if batches else np.zeros((0, 1), np.float32)
        if self.cache:
            content = io.BytesIO()
            np.save(content, embeddings, allow_pickle=False)
            array = content.getvalue()
            write_atomic(self.cache / f"{name}.npy", array + _checksum(array))
        return embeddings


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECKSUM).digest()
