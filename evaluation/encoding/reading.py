"""What a model's tokenizer keeps of the captions: a value that it drops can be neither leaked nor forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MORE = "more"  # a word that shows, at either end of a text, whether there is room for it
BATCH = 4096  # texts


def read_captions(tokenizer: Callable[[list[str]], torch.Tensor], texts: Iterable[str]) -> dict[str, int]:
    """Of the distinct texts: `cut` are as long as the model's context, or longer, so that an end of theirs may be
    missing; `alike` are the same to the model as another one, because of the cut, or because the tokenizer drops what
    tells them apart (those of SigLIP drop punctuation, also within e-mail addresses and numbers)."""
    distinct = list(dict.fromkeys(texts))
    cut = 0
    times: dict[bytes, int] = {}
    for start in range(0, len(distinct), BATCH):
        some = distinct[start : start + BATCH]
        rows = tokenizer(some)
        for row in rows:
            key = row.numpy().tobytes()
            times[key] = times.get(key, 0) + 1
        cut += int(_full(tokenizer, some, rows).sum())
    return {"distinct": len(distinct), "cut": cut, "alike": sum(count for count in times.values() if count > 1)}


def _full(tokenizer: Callable, texts: list[str], rows: torch.Tensor) -> torch.Tensor:
    """Whether a word more, behind or before, changes nothing; asked only where the last place, or the first, holds no
    padding."""
    import torch

    short, full = tokenizer([MORE])[0], torch.zeros(len(texts), dtype=torch.bool)
    for place, pattern in ((-1, "{} " + MORE), (0, MORE + " {}")):
        asked = (rows[:, place] != short[place]).nonzero().flatten()
        if len(asked):
            longer = tokenizer([pattern.format(texts[number]) for number in asked.tolist()])
            full[asked] |= (longer == rows[asked]).all(dim=1)
    return full


def remarks(found: dict[str, Any]) -> list[str]:
    """What a user should know of it; nothing where every caption is read whole and is unlike all others."""
    told = {
        "cut": "are as long as the model's context or longer; it may not see how they end",
        "alike": "are the same to its tokenizer as another one; the model cannot tell them apart",
    }
    return [f"{found[key]:,} of {found['distinct']:,} captions {what}" for key, what in told.items() if found.get(key)]
