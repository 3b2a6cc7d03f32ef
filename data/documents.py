"""JSON and YAML documents that others wrote: bounded in size and depth, refused in one line. JSON is checked by a
pydantic model here; settings, which are YAML, by data/settings.py."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel

from salmu.data.errors import UserError
from salmu.data.files import reaching, read_bytes, size
from salmu.data.private import without_credentials
from salmu.data.settings import validate

if TYPE_CHECKING:
    from upath import UPath

MIB = 2**20
LONGEST_YAML = MIB  # the longest of this project's has 50,000 bytes
DEEPEST_YAML = 50  # levels of nesting
SURROGATE = re.compile(rb"\\u[dD][89abAB]")  # half of a character that JSON writes as two
Document = TypeVar("Document", bound=BaseModel)


def loaded(path: "Path | UPath", model: type[Document], limit: int = 64 * MIB) -> Document:
    """The JSON document in a file, as `model`.

    Raises UserError of one line if there is no such file, if it has more than `limit` bytes, is not JSON (NaN, nesting
    without end and halves of characters included), or is not what `model` says."""
    return validate(model, read_json(path, limit), str(path))


def read_checked(path: "Path | UPath", model: type[BaseModel], limit: int = 64 * MIB) -> dict[str, Any]:
    """As `loaded`, but the document as it stands there, every number as it was written: a digest of it holds."""
    document = read_json(path, limit)
    validate(model, document, str(path))
    return document


def read_json(path: "Path | UPath", limit: int = 64 * MIB) -> Any:
    """The JSON document in a file, bounded but not checked. Raises UserError as `loaded` does."""
    return parse_json(read_bounded(path, limit), str(path))


def read_lines(path: "Path | UPath", model: type[BaseModel], limit: int = 64 * MIB) -> list[dict[str, Any]]:
    """The objects in a file that holds one a line, each checked by `model` and given as it stands there. Raises
    UserError of one line, which names the number of the line, as `loaded` does."""
    rows = []
    for number, line in enumerate(read_bounded(path, limit).splitlines(), 1):
        where = f"{path}, line {number}"
        rows.append(parse_json(line, where))
        validate(model, rows[-1], where)
    return rows


def read_yaml(path: "Path | UPath") -> Any:
    """The YAML document in a file. Raises UserError if it is missing, too long or not YAML."""
    return parse_yaml(read_bounded(path, LONGEST_YAML), str(path))


def read_table(path: "Path | UPath") -> dict[Any, Any]:
    """The YAML table in a file, empty if the file is. Raises UserError as `read_yaml` does, and if it is no table."""
    table = read_yaml(path)
    if not isinstance(table, dict | None):
        raise UserError(f"{path}: a table of settings (name: value) is expected, not {type(table).__name__}")
    return table or {}


def read_bounded(path: "Path | UPath", limit: int) -> bytes:
    """The bytes of a file. Raises UserError if it is missing, cannot be read, or has more than `limit` bytes."""
    bytes_there = size(path)
    if bytes_there is None:
        raise UserError(f"{path}: no such file")
    if bytes_there > limit:
        raise UserError(f"{path}: {bytes_there:,} bytes are more than such a file has (at most {limit:,})")
    try:
        with reaching(path):
            return read_bytes(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_json(content: bytes, where: str) -> Any:
    """The document in bytes of JSON. Raises UserError, beginning with `where`, if it is none."""
    try:
        return parsed(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
        raise UserError(f"{where}: damaged, or not JSON: {reason}") from None


def parsed(content: bytes, constants: bool = False) -> Any:
    """The document in bytes of JSON; `constants`: NaN and Infinity too. Raises ValueError, and RecursionError where it
    is nested without end."""
    document = json.loads(content.decode("utf-8-sig"), parse_constant=None if constants else _no_constant)
    if SURROGATE.search(content):
        json.dumps(document, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return document


def _no_constant(name: str):
    raise ValueError(f"{name} is not a number that JSON has")


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, which can make a small file endless, without tags, whose values may be anything, and
    without keys that stand twice."""

    depth = 0

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here; write the value out")
        if getattr(self.peek_event(), "tag", None) is not None:
            raise yaml.YAMLError("tags (!name, !!name) are not read here; write the value without one")
        self.depth += 1
        if self.depth > DEEPEST_YAML:
            raise yaml.YAMLError(f"nested more than {DEEPEST_YAML} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"key {key.value!r} appears twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(content: bytes | str, where: str) -> Any:
    """The one document in some YAML. Raises UserError, beginning with `where`, if it is none."""
    if len(content) > LONGEST_YAML:
        raise UserError(f"{where}: longer than {LONGEST_YAML:,} bytes, which no settings are")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return yaml.load(text, _PlainLoader)  # noqa: S506  a SafeLoader
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text; save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, ArithmeticError) as error:  # dates that do not exist
        raise UserError(f"{where}: not valid YAML: {_yaml_problem(error)}") from None


def _yaml_problem(error: Exception) -> str:
    """What is wrong and where, without the line itself: it may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    told = error.problem or error.context if mark else str(error)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return " ".join(without_credentials(str(told)).split())[:200] + place
