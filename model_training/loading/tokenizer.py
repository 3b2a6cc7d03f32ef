"""A tokenizer from the data of a folder: tokenizer.json by the library `tokenizers`, or CLIP's own vocabulary."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from tokenizers import Tokenizer

from salmu.data.documents import MIB, loaded, parsed
from salmu.data.errors import UserError
from salmu.model_training.loading.configuration import Text

TOKENIZER, ABOUT, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
LIMIT = 128 * MIB  # the largest in use have 35


class Token(BaseModel):
    content: str = Field(max_length=1000)


class About(BaseModel):
    """What is used of tokenizer_config.json and special_tokens_map.json; the rest concerns other libraries."""

    pad_token: str | Token | None = None
    sep_token: str | Token | None = None
    padding_side: Literal["left", "right"] = "right"
    truncation_side: Literal["left", "right"] = "right"


def read_tokenizer(folder: Path, text: Text) -> Callable[[list[str]], torch.Tensor]:
    """A function from texts to token ids [n, context], as open_clip's tokenizer of that folder gives them.

    tokenizer.json is used where the configuration names a tokenizer, and where one lies there that is not CLIP's own
    vocabulary. Raises UserError if it is missing or damaged, or gives ids that the network has no embeddings for."""
    from open_clip.tokenizer import SimpleTokenizer

    path = folder / TOKENIZER
    inner = _read(path) if path.is_file() else None
    if inner is None and text.hf_tokenizer_name:
        raise UserError(
            f"{folder}: its configuration names a tokenizer, but there is no {TOKENIZER}; put the file there "
            "(save_pretrained of a fast tokenizer writes it)"
        )
    arguments = text.tokenizer_kwargs.model_dump(exclude_unset=True) if text.tokenizer_kwargs else {}
    if inner is None or not text.hf_tokenizer_name and _is_clips(inner):
        arguments.pop("strip_sep_token", None)
        plain = SimpleTokenizer(context_length=text.context_length, **arguments)
        _require_rows(plain.vocab_size - 1, text, folder, "CLIP's own vocabulary, as there is no tokenizer.json,")
        return plain
    _require_rows(max(inner.get_vocab().values(), default=0), text, path, "its vocabulary")
    return _bounded(inner, text, folder, **arguments)


def _read(path: Path) -> Tokenizer:
    """Raises UserError for a file that is too large, that `tokenizers` does not take, or that gives random ids."""
    if path.stat().st_size > LIMIT:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes are more than a tokenizer has (at most {LIMIT:,})")
    content = path.read_bytes()
    try:
        document = parsed(content)
        inner = Tokenizer.from_str(content.decode("utf-8-sig"))
    except (Exception, RecursionError) as error:  # tokenizers raises plain Exceptions
        raise UserError(f"{path}: not a tokenizer: {str(error)[:150] or type(error).__name__}") from None
    if document["model"].get("dropout"):
        raise UserError(f"{path}: model.dropout is set, so that equal texts get random ids; set it to null")
    return inner


def _is_clips(inner: Tokenizer) -> bool:
    """Whether it has CLIP's vocabulary, but for the names of the two special tokens. Repositories of CLIP models hold
    it for transformers, and open_clip uses its own copy, which cleans texts a little differently."""
    from open_clip.tokenizer import SimpleTokenizer

    own, special = SimpleTokenizer().encoder, 49406
    if inner.get_vocab_size() != len(own):
        return False
    theirs = inner.get_vocab()
    return all(theirs.get(token) == number for token, number in own.items() if number < special)


def _require_rows(largest: int, text: Text, where: Path, what: str) -> None:
    if largest >= text.vocab_size:
        raise UserError(
            f"{where}: {what} has ids up to {largest}, but the network has embeddings for {text.vocab_size}; the "
            "tokenizer is another model's"
        )


def _bounded(inner: Tokenizer, text: Text, folder: Path, clean: str | None = None, strip_sep_token: bool = False):
    """The tokenizer with open_clip's cleaning, cut and padded to the context."""
    from open_clip.tokenizer import get_clean_fn

    about = _about(folder)
    padding = _name(about.pad_token) or (inner.padding or {}).get("pad_token")
    pad = inner.token_to_id(padding) if padding is not None else None
    if pad is None:
        raise UserError(f"{folder}: the tokenizer has no padding token; name one of its tokens as pad_token in {ABOUT}")
    separator = inner.token_to_id(_name(about.sep_token) or "") if strip_sep_token else None
    if inner.num_special_tokens_to_add(False) >= text.context_length:
        raise UserError(
            f"{folder}: a context of {text.context_length} tokens has no room for more than the special tokens"
        )
    inner.no_padding()
    inner.enable_truncation(text.context_length, direction=about.truncation_side)
    inner.enable_padding(length=text.context_length, pad_id=pad, pad_token=padding, direction=about.padding_side)
    return partial(_tokenise, inner, get_clean_fn(clean or "whitespace"), separator)


def _tokenise(
    inner: Tokenizer, clean: Callable[[str], str], separator: int | None, texts: str | list[str]
) -> torch.Tensor:
    """Ids of each text [n, context]; those of the separator become 0 where open_clip strips it."""
    texts = [texts] if isinstance(texts, str) else texts
    ids = torch.tensor([line.ids for line in inner.encode_batch([clean(text) for text in texts])], dtype=torch.long)
    return ids if separator is None else ids.masked_fill(ids == separator, 0)


def _about(folder: Path) -> About:
    """tokenizer_config.json, with what it does not say from special_tokens_map.json."""
    found: dict[str, Any] = {}
    for path in (folder / SPECIAL, folder / ABOUT):
        if path.is_file():
            found |= loaded(path, About, 4 * MIB).model_dump(exclude_unset=True, exclude_none=True)
    return About.model_validate(found)


def _name(token: str | Token | None) -> str | None:
    return token.content if isinstance(token, Token) else token
