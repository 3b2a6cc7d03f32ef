"""A CLIP model as open_clip's trainer calls it: takes uint8 pictures, and encodes texts without their padding."""

import numpy as np
import torch
import torch.nn.functional as F

CONTEXT_BUCKET = 8  # on a CPU, texts are encoded in groups of equal length, rounded up to this many tokens


class Trainable(torch.nn.Module):
    """`clip`, an open_clip model, behind the call of open_clip's training loop.

    forward(images uint8 [n, size, size, 3], tokens int64 [n, up to context]) gives the dictionary that open_clip's
    losses take. Normalising on the device moves a quarter of the bytes; channels-last is the order they come in."""

    def __init__(self, clip: torch.nn.Module):
        super().__init__()
        self.clip = clip
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in channels(clip))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @property
    def logit_scale(self) -> torch.nn.Parameter:
        return self.clip.logit_scale

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        pictures = (images.permute(0, 3, 1, 2) - self.mean) / self.std
        output = {
            "image_features": self.clip.encode_image(pictures, normalize=True),
            "text_features": encode_text(self.clip, tokens),
            "logit_scale": self.clip.logit_scale.exp(),
        }
        if self.clip.logit_bias is not None:
            output["logit_bias"] = self.clip.logit_bias
        return output


def channels(clip: torch.nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel that the model expects, for values in [0, 1]."""
    return clip.visual.image_mean, clip.visual.image_std


def input_side(clip: torch.nn.Module) -> int:
    """The longer side of the images that the model takes, in pixels."""
    size = clip.visual.image_size
    return size if isinstance(size, int) else max(size)


def shortened(tokens: torch.Tensor, clip: torch.nn.Module) -> torch.Tensor:
    """Token ids cut after the longest text, rounded up to a multiple of CONTEXT_BUCKET; uncut where the model's text
    tower looks at padding."""
    if not causal(clip):
        return tokens
    longest = int(last_token(clip, tokens).max()) + 1
    return tokens[:, : -(-longest // CONTEXT_BUCKET) * CONTEXT_BUCKET]


def causal(clip: torch.nn.Module) -> bool:
    """Whether a text's embedding cannot depend on what follows its last token: open_clip's CLIP with a causal mask,
    pooled at the end token."""
    return getattr(clip, "text_pool_type", None) in ("eos", "argmax") and clip.attn_mask is not None


def last_token(clip: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Place of the end token of each text [n]."""
    if clip.text_pool_type == "eos":
        return (tokens == clip.text_eos_id).int().argmax(dim=1)
    return tokens.argmax(dim=1)


def encode_text(clip: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """`clip.encode_text(tokens, normalize=True)` without the work on padding, and without the last block's work on all
    tokens but the end token, which are thrown away.

    On a CPU, texts of like length go together; on a GPU all at once, as short as `shortened` made them."""
    if not causal(clip):
        return clip.encode_text(tokens, normalize=True)
    last = last_token(clip, tokens)
    if tokens.device.type != "cpu":
        return F.normalize(_encoded(clip, tokens, last), dim=-1)
    buckets = last // CONTEXT_BUCKET + 1
    features, order = [], []
    for bucket in buckets.unique().tolist():
        rows = (buckets == bucket).nonzero().squeeze(1)
        features.append(_encoded(clip, tokens[rows, : bucket * CONTEXT_BUCKET], last[rows]))
        order.append(rows)
    return F.normalize(torch.cat(features)[torch.cat(order).argsort()], dim=-1)


def _encoded(clip: torch.nn.Module, tokens: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """As in open_clip's CLIP.encode_text, for fewer tokens than the context."""
    length, kind = tokens.shape[1], clip.transformer.get_cast_dtype()
    x = clip.token_embedding(tokens).to(kind) + clip.positional_embedding[:length].to(kind)
    mask, rows = clip.attn_mask[:length, :length], torch.arange(len(x), device=x.device)
    if _plain(clip.transformer):
        *blocks, final = clip.transformer.resblocks
        for block in blocks:
            x = block(x, attn_mask=mask)
        x = _at_the_end(final, x, rows, last)
    else:
        x = clip.transformer(x, attn_mask=mask)[rows, last]
    x = clip.ln_final(x)
    if isinstance(clip.text_projection, torch.nn.Linear):
        return clip.text_projection(x)
    return x if clip.text_projection is None else x @ clip.text_projection


def _plain(transformer: torch.nn.Module) -> bool:
    """Whether the last block can be computed at one place alone: one of open_clip's own, whose output nobody else waits
    for."""
    from open_clip.transformer import ResidualAttentionBlock

    if transformer.grad_checkpointing or not transformer.batch_first:
        return False
    block = transformer.resblocks[-1]
    return type(block) is ResidualAttentionBlock and not (block._forward_hooks or block._forward_pre_hooks)


def _at_the_end(block: torch.nn.Module, x: torch.Tensor, rows: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """What the block puts out at the end token of each text [n, width]: as in its forward, which does the same for all
    tokens."""
    seen, behind = block.ln_1(x), torch.arange(x.shape[1], device=x.device) > last[:, None]
    asking = seen[rows, last][:, None]
    found = block.attn(asking, seen, seen, key_padding_mask=behind, need_weights=False)[0][:, 0]
    x = x[rows, last] + block.ls_1(found)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def as_tensor(images: list[np.ndarray] | np.ndarray) -> torch.Tensor:
    """Pictures as uint8 [n, size, size, 3]."""
    return torch.from_numpy(images if isinstance(images, np.ndarray) else np.stack(images))
