"""The pages of a folder of erasure requests: a receipt each, and one page with all of them: what became of every
request after every later one."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salmu.data.documents import read_json
from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.evaluation.report.rendering import page
from salmu.evaluation.requests.ledger import read_ledger
from salmu.evaluation.requests.receipt import receipt_path

PAGE = "requests.html"


def write_pages(folder: Path, facts: Mapping[str, str] | None = None) -> None:
    """Write requests.html and the HTML of each receipt that has none yet, from the records and the receipts.

    `facts`: salted digest -> the fact, for the owner: the receipts that show them lie in owner/."""
    records = read_ledger(folder)
    for record in records:
        path = receipt_path(folder, record)
        html = path.with_suffix(".html")
        if not html.is_file():
            write_atomic(html, receipt_page(read_json(path)))
        if facts and any(fact["digest"] in facts for fact in record["evidence"]["facts"]):
            target = folder / "owner" / html.name
            write_atomic(target, receipt_page(read_json(path), facts))
            target.chmod(0o600)
    if records:
        write_atomic(folder / PAGE, page("requests.html", name=folder.name, records=records, table=triangle(records)))


def receipt_page(receipt: dict[str, Any], facts: Mapping[str, str] | None = None) -> bytes:
    """A receipt as a page that opens offline."""
    return page("receipt.html", receipt=receipt, facts=facts or {})


def triangle(records: Sequence[dict[str, Any]]) -> list[list[dict[str, Any] | None]]:
    """Row j, column k: mean reciprocal rank of the captions of request j after request k, None for k < j. Column 0 is
    before request j. `share`: of what it was before, for the shade of the cell."""
    rows = []
    for record in records:
        change = record["evidence"]["request"]
        first, chance = change["before"]["caption"]["value"], change["chance"]
        cells: list[dict[str, Any] | None] = [{"value": first, "share": 1.0, "state": "before"}]
        for later in records:
            if later["number"] < record["number"]:
                cells.append(None)
                continue
            found, state = change["after"], record["evidence"]["state"]
            if later["number"] not in record["batch"]:
                one = next(each for each in later["evidence"]["earlier"] if each["number"] == record["number"])
                found, state = one["found"], one["state"]
            if found is None:  # its pairs were not in the data any more
                cells.append(None)
                continue
            value = found["caption"]["value"]
            share = (value - chance) / (first - chance) if first > chance else 0.0
            cells.append({"value": value, "share": min(max(share, 0.0), 1.0), "state": state})
        rows.append(cells)
    return rows


def check_page(path: Path) -> str:
    """How the HTML beside a receipt stands: it follows from the receipt. Raises UserError if it was changed."""
    html = path.with_suffix(".html")
    if not html.is_file():
        return f"not checked: no {html.name} beside the receipt"
    document = read_json(path)
    if document["version"] != importlib.metadata.version("salmu"):
        return f"not checked: written by salmu {document['version']}, which may lay it out in another way"
    if html.read_bytes() != receipt_page(document):
        raise UserError(f"{html}: changed after it was written; remove it, and salmu forget writes it again")
    return "intact"
