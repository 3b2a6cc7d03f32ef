"""What a command prints: text for people, or JSON for scripts (--json)."""

import json
from typing import Any


def show(options, document: Any, text: str) -> None:
    """Print the result of a command: with --json the document, else the text."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str) if options.json else text)


def text_table(rows: list[dict]) -> str:
    """Rows of equal keys as aligned text."""
    if not rows:
        return ""
    columns = {key: [str(key), *(str(row[key]) for row in rows)] for key in rows[0]}
    widths = {key: max(map(len, cells)) for key, cells in columns.items()}
    numeric = {key: all(isinstance(row[key], (int, float)) or row[key] == "" for row in rows) for key in columns}
    return "\n".join(
        "  ".join(
            columns[key][line].rjust(widths[key]) if numeric[key] else columns[key][line].ljust(widths[key])
            for key in columns
        ).rstrip()
        for line in range(len(rows) + 1)
    )
