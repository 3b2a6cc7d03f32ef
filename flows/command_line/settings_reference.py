"""Every setting with its type, default and description, read from the settings models: `salmu settings`, and the page
docs/settings.md."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from salmu.evaluation.unlearning.settings import MethodSettings
from salmu.flows.settings import RunSettings, build

METHODS = "unlearning.methods"
LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "multipleOf": "a multiple of",
}
PAGE = """# Every setting

This page is written by `salmu settings --markdown`. `salmu settings PREFIX` prints the same in the terminal, and
`--json` prints it for scripts. Change a setting of a run with `--set KEY=VALUE`, in a profile (a YAML file), or in the
form of a deployment. Defaults are those of the settings themselves; the profiles in `flows/profiles/` change some.
"""


def setting_rows(prefix: str = "") -> list[dict[str, Any]]:
    """One row a setting whose key starts with `prefix`: key, type, default (as JSON) and description."""
    defaults = build({}, None, "defaults").model_dump(mode="json")
    rows = list(_rows(RunSettings, defaults, ""))
    if METHODS.startswith(prefix) or prefix.startswith(METHODS):  # they bring torch
        rows += _method_rows()
    return [row for row in rows if row["key"].startswith(prefix)]


def as_page() -> str:
    """The page docs/settings.md: a table for each section."""
    sections: dict[str, list[dict]] = {}
    for row in setting_rows():
        first, _, rest = row["key"].partition(".")
        method = row["key"].removeprefix(f"{METHODS}.").partition(".")[0] if row["key"] != METHODS else ""
        title = f"{METHODS}.{method}" if row["key"].startswith(f"{METHODS}.") else first if rest else "The run"
        sections.setdefault(title, []).append(row)
    text = [PAGE]
    for title, rows in sections.items():
        text.append(f"\n## {title}\n\n| key | type | default | description |\n|---|---|---|---|\n")
        text += ["| " + " | ".join(_cell(row, name) for name in row) + " |\n" for row in rows]
    return "".join(text)


def _cell(row: dict[str, Any], name: str) -> str:
    text = row[name].replace("|", "\\|")
    return f"`{text}`" if name in ("key", "default") and text else text.replace("<", "&lt;")


def _rows(model: type[BaseModel], values: dict[str, Any], path: str) -> Iterator[dict[str, Any]]:
    """The settings of a model in order; `values` are its defaults as JSON."""
    schema = model.model_json_schema()
    yield from _properties(schema, schema.get("$defs", {}), values, path)


def _properties(schema: dict, known: dict, values: Any, path: str) -> Iterator[dict[str, Any]]:
    for name, field in schema["properties"].items():
        parts = [_resolved(part, known) for part in field.get("anyOf", [field])]
        group = next((part for part in parts if "properties" in part), None)
        value = values.get(name, ...) if isinstance(values, dict) else ...
        if group is None or len(parts) > 1:
            yield {
                "key": path + name,
                "type": " or ".join(_type(part, known) for part in parts),
                "default": "" if value is ... else json.dumps(value, ensure_ascii=False),
                "description": field.get("description", ""),
            }
        if group is not None:
            inner = (
                value
                if isinstance(value, dict)
                else {key: one.get("default", ...) for key, one in group["properties"].items()}
            )
            yield from _properties(group, known, inner, f"{path}{name}.")


def _resolved(schema: dict, known: dict) -> dict:
    return known[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def _type(schema: dict, known: dict) -> str:
    """A JSON schema in words: 'integer, 1 to 999'."""
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "array":
        return f"list of {_type(_resolved(schema['items'], known), known)}"
    if "oneOf" in schema:
        return " or ".join(_resolved(part, known)["properties"]["kind"]["const"] for part in schema["oneOf"])
    if "properties" in schema:
        return "section"
    name = {"string": "text", "object": "mapping", "boolean": "true or false"}.get(schema["type"], schema["type"])
    name = schema.get("format", name)
    return ", ".join([name, *(f"{word} {schema[key]:,}" for key, word in LIMITS.items() if key in schema)])


def _method_rows() -> Iterator[dict[str, Any]]:
    """What all methods have, once; then what each has of its own, or with another default."""
    from salmu.evaluation.unlearning.held import PREFIX, HeldSettings, own_fields
    from salmu.evaluation.unlearning.registry import methods

    common = {row["key"]: row for row in _rows(MethodSettings, _defaults(MethodSettings), "")}
    yield from (row | {"key": f"{METHODS}.METHOD.{key}"} for key, row in common.items())
    held = {row["key"]: row for row in _rows(HeldSettings, HeldSettings(learning_rate=1).model_dump(mode="json"), "")}
    yield from (held[key] | {"key": f"{METHODS}.{PREFIX}METHOD.{key}"} for key in own_fields())
    for name, method in sorted(methods().items()):
        for row in _rows(method.settings, _defaults(method.settings), ""):
            if row != common.get(row["key"]):
                yield row | {"key": f"{METHODS}.{name}.{row['key']}"}


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return model().model_dump(mode="json")
