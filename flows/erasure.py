"""Erasure requests from the files that a person names to the pages that show what became of them. The command, the
Python interface and the deployment forget/requests share this."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.settings import validate
from salmu.evaluation.report.receipts import write_pages
from salmu.evaluation.requests.evidence import fact_of
from salmu.evaluation.requests.ledger import salted
from salmu.evaluation.requests.matching import Decision
from salmu.evaluation.requests.reading import read_requests
from salmu.evaluation.requests.seen import open_pairs
from salmu.evaluation.requests.settings import ForgetSettings
from salmu.evaluation.requests.stream import Stream
from salmu.flows.settings import load_profile

REFUSED = "refused.jsonl"


def open_stream(
    requests: str | Path,
    model: str | Path,
    pairs: str | Path,
    out: str | Path,
    settings: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
) -> Stream:
    """The requests of a file, decided and ready to be worked. `settings`: those of ForgetSettings. `overrides`: of the
    section unlearning, {"unlearning.methods.METHOD.key": value}.

    Raises UserError of one line for anything that cannot be used; nothing was changed then."""
    chosen = validate(ForgetSettings, dict(settings), "forget")
    overrides = dict(overrides or {})
    unlearning = load_profile("tiny", overrides).unlearning
    key = f"unlearning.methods.{chosen.method}"
    own = dict(unlearning.methods.get(chosen.method, {}))
    if f"{key}.retain_scenes" not in overrides and "retain_scenes" not in (overrides.get(key) or {}):
        own.pop("retain_scenes", None)
    unlearning = unlearning.model_copy(update={"methods": {chosen.method: own}})
    found = read_requests(requests, chosen.most)
    return Stream(found, model, open_pairs(pairs), Path(out), chosen, unlearning)


def work_all(stream: Stream, show: Callable[[str, int, int], None] = lambda name, done, total: None) -> list[str]:
    """Work every new request, and write the pages; returns one line for each that failed. The others do not wait for
    it: the next one starts from the last model that was finished."""
    failed = []
    for group in stream.groups:
        name = names_of(group)
        try:
            stream.work(group, lambda done, total, name=name: show(name, done, total))
            write_pages(stream.folder)
        except UserError as error:
            failed.append(f"{name}: {error}")
    finish(stream)
    return failed


def finish(stream: Stream, facts: bool = False) -> None:
    """Write what a person reads: the pages, and the requests that were refused, with reasons. `facts`: also receipts
    that show the facts, into owner/."""
    refused = [{"request": one.name, "reason": one.reason} for one in stream.decisions if one.state == "refused"]
    if refused:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in refused)
        write_atomic(stream.folder / "owner" / REFUSED, lines.encode())  # names people as the request did
    write_pages(stream.folder, facts_of(stream) if facts else None)


def facts_of(stream: Stream) -> dict[str, str]:
    """Salted digest -> what it stands for, of every fact in the data."""
    rows = stream.seen.table.to_pylist()
    words = {}
    for row in rows:
        told = [row["identity_id"], row["data_field"], row["value"]] if row["data_field"] else [row["text"]]
        words[fact_of(row)] = ", ".join(word for word in told if word)
    return {salted(stream.salt, "fact", fact): told for fact, told in words.items()}


def names_of(group: list[Decision]) -> str:
    return ", ".join(decision.name for decision in group)


def rows_of(stream: Stream, failed: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What became of each request: one row each, with the reason where it was refused, failed or done before."""
    records = {record["request_digest"]: record for record in stream.records}
    rows = []
    for decision in stream.decisions:
        record = records.get(decision.digest)
        row = {"request": decision.name, "pairs": decision.pairs, "before": "", "after": "", "seconds": ""}
        reason, state = decision.reason, decision.state
        if state == "refused" or record is None:
            lost = [line for line in failed if decision.name in line.partition(":")[0].split(", ")]
            reason = reason or "".join(lost)
            state = "refused" if state == "refused" else "failed" if lost else "to be worked"
        else:
            change = record["evidence"]["request"]
            seconds = round(record["method_seconds"] + record["evidence_seconds"], 1)
            row |= {"pairs": record["asked"]["pairs"], "seconds": seconds}
            row |= {when: round(change[when]["caption"]["value"], 3) for when in ("before", "after")}
            state = record["evidence"]["state"] + (" (done before)" if state == "done" else "")
        rows.append(row | {"state": state, "reason": reason})
    return rows
