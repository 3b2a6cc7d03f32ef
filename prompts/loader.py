"""Reads the texts that people edit, prompts/<name>.yaml, and checks them."""

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from salmu.data.documents import read_yaml
from salmu.data.errors import UserError
from salmu.data.settings import validate

FOLDER = Path(__file__).parent
Model = TypeVar("Model", bound=BaseModel)


def load(name: str, model: type[Model], base: str | None = None) -> Model:
    """The file prompts/<name>.yaml as a model; keys that it does not have come from prompts/<base>.yaml. Raises
    UserError of one line that names the file, the key and what is wrong."""
    path = FOLDER / f"{name}.yaml"
    content = read_yaml(path)
    if base not in (None, name) and isinstance(content, dict):
        content = read_yaml(FOLDER / f"{base}.yaml") | content
    return validate(model, content, str(path))


def digest(name: str) -> str:
    """Digest of the file's bytes. Raises UserError if it is missing."""
    path = FOLDER / f"{name}.yaml"
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
