"""The pairs that a method may see: decoded and tokenised once, encoded when asked, dealt out until the budget is
spent."""

import math
from collections.abc import Hashable, Iterable, Iterator
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.pictures import decode_files
from salmu.data.readers import Dataset
from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.unlearning.neighbours import Person
from salmu.evaluation.unlearning.settings import SPLITS
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.loading.pixels import normalised, sized
from salmu.model_training.network import encode_text, input_side
from salmu.model_training.retain import Pairs as Scenes

KEPT_IMAGES = 2**30  # bytes of decoded images that are kept for the next pass; others are decoded again
CHUNK = 256  # pairs that the start model encodes at once
Captions = Literal["own", "generic", "shuffled"]


class Pool:
    """The pairs of one kind, `forget` or `retain`: those of its split, then procedural scenes."""

    def __init__(
        self,
        clip: ClipModel,
        dataset: Dataset,
        part: str,
        rows: np.ndarray | None = None,
        scenes: Scenes | None = None,
        scenes_from: str | None = None,
    ):
        """`rows`: which rows of the split; all by default. `scenes_from`: what decided the scenes, for the record.
        Raises UserError if there are no rows."""
        self.split, self._clip, self._dataset = SPLITS[part], clip, dataset
        table = dataset.table(self.split, ["file_name", "image", "text"])
        self._rows = np.arange(len(table)) if rows is None else np.asarray(rows)
        if not len(self._rows):
            raise UserError(f"{dataset.folder}: split {self.split} has no rows")
        self.file_names = [table.column("file_name")[row].as_py() for row in self._rows.tolist()]
        self._files = table.column("image")
        self.scenes, self.scenes_from = scenes.images if scenes else [], scenes_from
        texts = [table.column("text")[row].as_py() for row in self._rows.tolist()]
        self.texts = texts  # of the split's rows
        self.tokens = clip.tokenizer(texts + (scenes.texts if scenes else []))
        self._kept: dict[int, Tensor] = {}
        self._before: tuple[np.ndarray, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def generic_tokens(self) -> Tensor:
        """Token ids of the captions without personal data. Raises UserError where an image has none."""
        captions = self._dataset.generic_captions
        missing = [name for name in self.file_names if name not in captions]
        if missing:
            raise UserError(
                f"{self._dataset.folder}: sensitive_set_generic_captions.json has no caption for {missing[0]}"
            )
        return self._clip.tokenizer([captions[name] for name in self.file_names])

    @cached_property
    def facts(self) -> Tensor:
        """A number for each pair, equal for pairs about the same attribute of the same person, int64 [n]."""
        columns = ["identity_id", "data_field"] if self.split == "forget" else ["file_name"]
        table = self._dataset.table(self.split, columns).take(self._rows)
        known = list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
        return numbered([*known, *range(len(self.scenes))])

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """Of the forget split: identity_id, data_field and value of each of its rows."""
        names = ["identity_id", "data_field", "value"]
        table = self._dataset.table(self.split, names).take(self._rows)
        return {name: table.column(name).to_pylist() for name in names}

    @cached_property
    def people(self) -> dict[str, Person]:
        """The people of the forget rows, by identity id, with the facts that these rows hold."""
        facts: dict[str, dict[str, set[str]]] = {}
        for who, field, value in zip(*self.columns.values(), strict=True):
            facts.setdefault(who, {}).setdefault(field, set()).add(value)
        known = self._dataset.identities
        return {
            who: Person(
                known[who]["name"],
                known[who].get("country_code"),
                {field: frozenset(values) for field, values in fields.items()},
            )
            for who, fields in facts.items()
        }

    def seen_by(self, clip: ClipModel) -> "Pool":
        """The same rows, without scenes, as another model takes them."""
        return Pool(clip, self._dataset, "forget" if self.split == "forget" else "retain", self._rows)

    def pixels(self, indices: np.ndarray) -> Tensor:
        """Preprocessed images, float32 [b, 3, side, side]."""
        return torch.stack([self._image(index) for index in indices.tolist()])

    @property
    def side(self) -> int:
        """The longer side of the images that the model takes, in pixels."""
        return input_side(self._clip.network)

    def preprocessed(self, images: Iterable[np.ndarray]) -> Tensor:
        """Drawn images uint8 [h, w, 3] as the model takes them, float32 [n, 3, side, side]."""
        parts = [sized(self._clip.preprocess, Image.fromarray(image)) for image in images]
        return normalised(self._clip.preprocess, parts) if parts else torch.empty(0)

    def before(self, teacher: torch.nn.Module, rows: np.ndarray, encode) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings by the start model: place of each row [len(self)] (-1 where not among `rows`), images and texts
        [len(rows), width]. `rows` are ascending, and encoded once, in chunks that depend on them alone."""
        if self._before is None or not np.array_equal(self._before[0], rows):
            with torch.no_grad():
                parts = [
                    encode(teacher, self.pixels(chunk), self.tokens[chunk])
                    for chunk in np.array_split(rows, math.ceil(len(rows) / CHUNK))
                ]
            self._before = (rows, *(torch.cat(kind) for kind in zip(*parts, strict=True)))
        place = torch.full((len(self),), -1)
        place[rows] = torch.arange(len(rows))
        return place, *self._before[1:]

    def _image(self, index: int) -> Tensor:
        if index in self._kept:
            return self._kept[index]
        if index < len(self.file_names):
            content = self._files[self._rows[index].item()].as_py()["bytes"]
            (image,) = decode_files([(self.file_names[index], content)])
        else:
            image = Image.fromarray(self.scenes[index - len(self.file_names)])
        tensor = self._clip.preprocess(image)
        if len(self._kept) * tensor.nbytes < KEPT_IMAGES:
            self._kept[index] = tensor
        return tensor


def numbered(facts: Iterable[Hashable]) -> Tensor:
    """A number for each, equal for equal ones, in order of their first place, int64 [n]."""
    number: dict[Hashable, int] = {}
    return torch.tensor([number.setdefault(fact, len(number)) for fact in facts])


class Stream:
    """The pairs of a pool in the order in which a method sees them: `count` of them, pass after pass over all, each
    pass in an order of its own, drawn by `key`. Nothing more comes when they are spent."""

    def __init__(self, pool: Pool, count: int, work, *key):
        self.pool, self.place, self.count, self._work = pool, 0, count, work
        passes = range(math.ceil(count / len(pool)))
        self.passes = np.concatenate([generator(*key, number).permutation(len(pool)) for number in passes])
        self._partners = np.concatenate([derangement(len(pool), *key, "captions", number) for number in passes])

    @property
    def order(self) -> np.ndarray:
        """Numbers of the pairs within the pool, in the order in which they are seen [count]."""
        return self.passes[: self.count]

    @property
    def left(self) -> int:
        return self.count - self.place

    def take(self, number: int, captions: Captions = "own") -> "Encoded":
        """The next pairs: `number` of them, or what is left, and never one of them twice."""
        number = min(number, self.left, len(self.pool))
        chosen = np.arange(self.place, self.place + number)
        self._keep_apart(self.place + number)
        self.place += number
        own = self.passes[chosen]
        partners = self._partners[chosen // len(self.pool) * len(self.pool) + own]
        return Encoded(self, own, partners if captions == "shuffled" else own, captions == "generic")

    def batches(self, number: int, size: int, captions: Captions = "own") -> "Iterator[Encoded]":
        """The next `number` pairs, or what is left, in batches of equal size, at most `size` and at most the pool."""
        for part in shares(min(number, self.left), min(size, len(self.pool))):
            yield self.take(part, captions)

    def _keep_apart(self, end: int) -> None:
        """Where the next batch, up to place `end`, reaches into another pass: what it holds already of this pass comes
        after it in that one."""
        border = (self.place // len(self.pool) + 1) * len(self.pool)
        if end <= border:
            return
        following = self.passes[border : border + len(self.pool)]
        fresh = following[~np.isin(following, self.passes[self.place : border])][: end - border]
        self.passes[border : border + len(self.pool)] = [*fresh, *following[~np.isin(following, fresh)]]

    @property
    def before(self) -> tuple[Tensor, Tensor, Tensor]:
        """All pairs of the stream as the start model saw them, each once: images and texts [n, width], facts [n]."""
        place, images, texts = self._start
        return images, texts, self.pool.facts[place >= 0].to(images.device)

    @cached_property
    def _start(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.pool.before(self._work.teacher, np.unique(self.order), self._work.encode)

    def encode(self, network: torch.nn.Module, indices: np.ndarray, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self._work.encode(network, self.pool.pixels(indices), tokens)


class Encoded:
    """A batch of b pairs. Embeddings are computed when first asked for; all are float32 [b, width], of length 1."""

    def __init__(self, stream: Stream, images: np.ndarray, captions: np.ndarray, generic: bool):
        self._stream, self.indices, self._captions, self._generic = stream, images, captions, generic

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def _now(self) -> tuple[Tensor, Tensor]:
        return self.through(self._stream._work.network)

    @property
    def images(self) -> Tensor:
        """As the model that is being changed sees them."""
        return self._now[0]

    @property
    def texts(self) -> Tensor:
        return self._now[1]

    @property
    def images_before(self) -> Tensor:
        """As the start model saw them; kept from the first use on, no gradient."""
        place, images, _ = self._stream._start
        return images[place[self.indices]]

    @property
    def texts_before(self) -> Tensor:
        """Of their own captions, whatever captions the batch has."""
        place, _, texts = self._stream._start
        return texts[place[self.indices]]

    @property
    def facts(self) -> Tensor:
        """Equal for pairs about the same attribute of the same person, int64 [b]."""
        return self._stream.pool.facts[self.indices].to(self.images.device)

    @property
    def own_cosine(self) -> float | None:
        """Mean cosine of image and own caption, if the batch has that and was encoded."""
        if "_now" not in self.__dict__ or self._generic or self._captions is not self.indices:
            return None
        return torch.einsum("bd,bd->b", *self._now).mean().item()

    def through(self, network: torch.nn.Module) -> tuple[Tensor, Tensor]:
        """Embeddings of images and captions by a network."""
        pool = self._stream.pool
        tokens = pool.generic_tokens if self._generic else pool.tokens
        return self._stream.encode(network, self.indices, tokens[self._captions])


def embeddings(network: torch.nn.Module, pixels: Tensor, tokens: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Both towers' embeddings, float32, of length 1."""
    device = next(network.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        images = network.encode_image(pixels.to(device))
        texts = encode_text(network, tokens.to(device))
    return F.normalize(images.float(), dim=-1), F.normalize(texts.float(), dim=-1)


def shares(number: int, size: int) -> list[int]:
    """`number` split evenly into parts of at most `size`, sizes differing by one at most."""
    return [len(part) for part in np.array_split(np.arange(number), math.ceil(number / size))] if number else []
