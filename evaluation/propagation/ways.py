"""The ways from a model into a generator: what of a caption, or of a portrait, the generator is told.

portraits: trained on the image tower's embeddings of portraits, and asked with captions' embeddings. It never reads a
    caption in training, so who is drawn for a caption is what the two towers know.
pooled, tokens: trained and asked with the text tower's embeddings of captions, or its states of their tokens. Such a
    generator learns the captions' people by itself; the question is whether an exchanged tower still leads there."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from salmu.data.errors import UserError
from salmu.evaluation.propagation.heads import Heads
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.network import CONTEXT_BUCKET, causal, encode_text, last_token

BATCH = 128


def trained_on(way: str, clip: ClipModel, heads: Heads) -> torch.Tensor:
    """What the generator of a way is told of each portrait in training: float32 [n, tokens, width]."""
    return portrait_states(clip, heads.pictures) if way == "portraits" else caption_states(way, clip, heads.text)


@torch.no_grad()
def caption_states(way: str, clip: ClipModel, texts: Sequence[str], length: int | None = None) -> torch.Tensor:
    """What the generator of a way is told of each caption: float32 [n, tokens, width]; one token but for `tokens`,
    where there are `length`, or as many as the longest caption needs.

    Raises UserError where the text tower has no states of tokens that could be read."""
    texts = list(texts)
    if way == "tokens":
        return _token_states(clip, texts, length)
    return _unit(clip, [encode_text(clip.network, tokens) for tokens in _tokens(clip, texts)])


@torch.no_grad()
def portrait_states(clip: ClipModel, pictures: np.ndarray) -> torch.Tensor:
    """The image tower's embeddings of pictures, uint8 [n, side, side, 3]: float32 [n, 1, width]."""
    prepared = [clip.preprocess(Image.fromarray(picture)) for picture in pictures]
    batches = [torch.stack(prepared[start : start + BATCH]) for start in range(0, len(prepared), BATCH)]
    return _unit(clip, [clip.network.encode_image(batch.to(clip.device)) for batch in batches])


def _unit(clip: ClipModel, batches: list[torch.Tensor]) -> torch.Tensor:
    """Embeddings as one token each; of values of about 1, as networks like them."""
    found = normalize(torch.cat(batches).float(), dim=-1).cpu()
    return (found * sqrt(found.shape[1]))[:, None]


def _tokens(clip: ClipModel, texts: list[str]) -> list[torch.Tensor]:
    return [clip.tokenizer(texts[start : start + BATCH]).to(clip.device) for start in range(0, len(texts), BATCH)]


def _token_states(clip: ClipModel, texts: list[str], length: int | None) -> torch.Tensor:
    tower, kept = getattr(clip.network, "text", clip.network), []
    if not isinstance(getattr(tower, "ln_final", None), torch.nn.Module):
        raise UserError(
            f"model {clip.name}: its text tower has no ln_final, whose output are the states of its tokens; leave "
            "tokens out of evaluation.propagation.ways"
        )
    hook = tower.ln_final.register_forward_hook(lambda module, given, states: kept.append(states.float().cpu()))
    try:
        batches, longest = _tokens(clip, texts), 1
        for tokens in batches:
            clip.network.encode_text(tokens)
            if causal(clip.network):  # behind the end token there is nothing but padding
                last = last_token(clip.network, tokens).cpu()
                kept[-1][torch.arange(tokens.shape[1]) > last[:, None]] = 0
                longest = max(longest, int(last.max()) + 1)
            else:
                longest = tokens.shape[1]
    finally:
        hook.remove()
    length = length or min(-(-longest // CONTEXT_BUCKET) * CONTEXT_BUCKET, kept[0].shape[1])
    return torch.cat(kept)[:, :length]
