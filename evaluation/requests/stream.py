"""Works erasure requests one after the other, each from the model that the one before left.

    DIR/requests.jsonl          one record for each finished request (ledger.py)
    DIR/receipt-NAME.json       its receipt (receipt.py)
    DIR/models/0004/            the model after request 4, in open_clip's layout
    DIR/owner/salt              what turns people and facts into digests; stays with the owner

A finished request is never touched again. A request that was killed continues, and ends with the same model to the
byte."""

import importlib.metadata
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.private import without_folders
from salmu.evaluation.requests import evidence
from salmu.evaluation.requests.budget import settings_of
from salmu.evaluation.requests.chosen import ChosenPairs
from salmu.evaluation.requests.ledger import append, read_ledger, salt_of, salted
from salmu.evaluation.requests.matching import Decision, Index, Part, decide
from salmu.evaluation.requests.reading import Request
from salmu.evaluation.requests.receipt import missing_receipts, receipt_of, receipt_path
from salmu.evaluation.requests.seen import OPEN, SeenPairs, drawn_rows
from salmu.evaluation.requests.settings import ForgetSettings
from salmu.evaluation.unlearning.record import RECORD, read_record
from salmu.evaluation.unlearning.registry import UnlearningSettings, get
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.unlearning.settings import MethodSettings
from salmu.evaluation.unlearning.text_regression import TextSettings
from salmu.model_training.export import file_digests, portable_folder
from salmu.model_training.loading.clip import ClipModel, load_model
from salmu.model_training.loop import reproducible

Progress = Callable[[int, int], None]


class Stream:
    """The requests of one folder. `decisions` says what becomes of each request that was handed in.

    Raises UserError for a folder that was changed, and for a model that is not the one it began with."""

    def __init__(
        self,
        requests: Sequence[Request],
        model: str | Path,
        seen: SeenPairs,
        folder: Path,
        settings: ForgetSettings,
        unlearning: UnlearningSettings,
    ):
        self.seen, self.folder, self.settings, self.unlearning = seen, folder, settings, unlearning
        get(settings.method)  # refuses an unknown one
        self.records = read_ledger(folder)
        self.salt = salt_of(folder)
        self.start = load_model(model, unlearning.device)
        self.start_digest = self.start.weights_digest
        self._require_same_start(str(model))
        self.index = Index(seen, self.salt)
        self.decisions = decide(requests, self.index, self.records, folder)
        self._embedded: dict[str, evidence.Embedded] = {}
        self._view: evidence.View | None = None
        for record in missing_receipts(folder, self.records):
            write_atomic(receipt_path(folder, record), receipt_of(record))

    @property
    def groups(self) -> list[list[Decision]]:
        """The new requests, in order, those that are worked together in one list."""
        new = [decision for decision in self.decisions if decision.state == "new"]
        return ([new] if new else []) if self.settings.batch else [[decision] for decision in new]

    def work(self, group: Sequence[Decision], progress: Progress = lambda done, total: None) -> list[dict[str, Any]]:
        """Forget what a group of requests asks for; returns their records, which are written.

        Raises UserError where the method cannot do it; the folder then stays as it was."""
        numbers = list(range(len(self.records) + 1, len(self.records) + 1 + len(group)))
        target = self.folder / "models" / f"{numbers[-1]:04d}"
        chosen, retain = self._chosen(group)
        before = self._model_before()
        settings = settings_of(self.settings, self.unlearning, self.start, before, chosen, self.folder)
        anchor = self._anchor(settings)
        unlearn(self.settings.method, settings, before, chosen, target, progress, anchor=anchor)
        record = read_record(target / RECORD)
        began, after = time.monotonic(), load_model(target, self.unlearning.device)
        with reproducible(self.unlearning.threads):
            found = self._evidence(group, before, after)
        shared = {
            "batch": numbers,
            "finished": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "method": self.settings.method,
            "settings": without_folders(settings.model_dump(mode="json")),
            "not_default": settings.not_default(),
            "budget": round(settings.budget, 6),
            "pairs_seen": record.pairs_seen,
            "steps": getattr(record, "steps", 0),
            "retain_pairs": retain,
            "rejects": _counted(reason for _, reason in [*self.seen.rejects, *chosen.rejects]),
            "start_model": self.start_digest,
            "model_before": record.source_model_digest,
            "model_after": after.weights_digest,
            "model": target.relative_to(self.folder).as_posix(),
            "files": file_digests(target),
            "embedding_width": self._embedded[after.weights_digest].texts.shape[1],
            "method_seconds": record.seconds,
            "evidence_seconds": round(time.monotonic() - began, 2),
            "version": importlib.metadata.version("salmu"),
        }
        new = [
            {"number": number, **self._about(decision), **shared, "evidence": proof}
            for number, decision, proof in zip(numbers, group, found, strict=True)
        ]
        made = append(self.folder, self.records, new)
        self.records += made
        for record in made:
            write_atomic(receipt_path(self.folder, record), receipt_of(record))
        return made

    def _require_same_start(self, name: str) -> None:
        if not self.records:
            return
        first, last = self.records[0], self.records[-1]
        if self.start_digest == first["start_model"]:
            return
        if self.start_digest == last["model_after"]:
            raise UserError(f"{name}: the model after the last request; name the one that the first began with")
        width = _width(self.start)
        other = "another model than the one that the requests of this folder began with"
        if width != last["embedding_width"]:
            other += f": its embeddings have {width} values, those of the folder's models {last['embedding_width']}"
        raise UserError(f"{name}: {other}; name that one, or another folder with --out")

    def _start_folder(self) -> Path:
        return portable_folder(self.start, self.folder / "models" / "start")

    def _model_before(self) -> Path:
        """The folder of the model that the next request starts from. Raises UserError if it is not as it was left."""
        if not self.records:
            return self._start_folder()
        last = self.records[-1]
        folder = self.folder / last["model"]
        if not folder.is_dir():
            raise UserError(f"{folder}: the model after the last request is missing; bring it back")
        for name, sha256 in file_digests(folder).items():
            if last["files"].get(name) != sha256:
                raise UserError(f"{folder / name}: changed since request {last['request']} was finished; bring it back")
        return folder

    def _chosen(self, group: Sequence[Decision]) -> tuple[ChosenPairs, int]:
        """The pairs that the method is given: those of the group, and open ones that nobody asked to forget."""
        asked = {pair for decision in group for pair in self.index.digests_of(decision.parts)}
        asked |= {self.index.digests[row] for decision in group for row in decision.withheld}
        asked |= {pair for record in self.records for key in ("pairs", "withheld") for pair in record[key]}
        roles = self.seen.column("role")
        rows = [row for row, pair in enumerate(self.index.digests) if roles[row] == OPEN and pair not in asked]
        if not rows:
            raise UserError(f"{self.seen.place}: no pair is left that a method may be given as one to be kept")
        retain = drawn_rows(rows, self.index.names, self.settings.retain, self.settings.seed, "requests", "retain")
        chosen = ChosenPairs(self.seen, _merged(group), retain)
        return chosen, len(retain) - len(chosen.rejects)

    def _anchor(self, settings: MethodSettings) -> tuple[Path, list[str]] | None:
        """What keeps requests in a row from adding up what each moves by the way: captions are held where the start
        model had them, but for those of earlier requests. None for a method that holds no captions, and where earlier
        pairs are not in the data any more, so that they could come back: the last model is kept then."""
        earlier = [pair for record in self.records for pair in record["pairs"]]
        if not earlier or not isinstance(settings, TextSettings) or not set(earlier) <= set(self.index.row_of):
            return None
        captions = dict.fromkeys(self.index.texts[self.index.row_of[pair]] for pair in earlier)
        return self._start_folder(), list(captions)

    def _evidence(self, group: Sequence[Decision], before: Path, after: ClipModel) -> list[dict[str, Any]]:
        view, seed = self._evidence_view(), self.settings.seed
        first = self._look(self.start_digest, lambda: self.start)
        last = self.records[-1]["model_after"] if self.records else self.start_digest
        was = self._look(last, lambda: load_model(before, self.unlearning.device))
        now = self._look(after.weights_digest, lambda: after)
        earlier, requested = [], set()
        for record in self.records:
            rows = self._rows_of(record["pairs"])
            requested |= set(rows)
            if len(rows):
                found = evidence.change(view, first, now, rows, seed)
                about = {"found": found["after"], "state": evidence.state_of(found)}
            else:
                about = {"found": None, "state": None, "reason": "its pairs are not in the data any more"}
            earlier.append({"number": record["number"], **about})
        own = [self._rows_of(self.index.digests_of(decision.parts)) for decision in group]
        requested |= {row for rows in own for row in rows}
        rest = evidence.kept(view, first, now, requested, seed)
        proofs = []
        for rows in own:
            found = evidence.change(view, was, now, rows, seed)
            facts = evidence.facts_of(view, was, now, rows, lambda fact: salted(self.salt, "fact", fact))
            shared = {"earlier": earlier, "kept": rest, "not_measured": self._not_measured()}
            proofs.append({"request": found, "state": evidence.state_of(found), "facts": facts, **shared})
        return proofs

    def _evidence_view(self) -> evidence.View:
        """The same for all requests that were handed in together, so that each model is encoded once."""
        if self._view is None:
            parts = [part for decision in self.decisions if decision.state == "new" for part in decision.parts]
            earlier = {pair for record in self.records for pair in record["pairs"]}
            known = [self.index.row_of[pair] for pair in sorted(earlier) if pair in self.index.row_of]
            self._view = evidence.view_of(
                self.seen, [*parts, (self.seen, known)], self.settings.gallery, self.settings.seed
            )
            pairs = enumerate(self._view.place)
            self._places = {self.index.pair_digest(*pair): place for place, pair in pairs}
        return self._view

    def _rows_of(self, digests: Sequence[str]) -> np.ndarray:
        return np.array(sorted(self._places[pair] for pair in digests if pair in self._places), np.int64)

    def _look(self, digest: str, clip: Callable[[], ClipModel]) -> evidence.Embedded:
        """A model's embeddings, by the digest of its weights; only those of the start and of the last are kept."""
        if digest not in self._embedded:
            keep = {self.start_digest, *(record["model_after"] for record in self.records[-1:])}
            self._embedded = {name: found for name, found in self._embedded.items() if name in keep}
            self._embedded[digest] = evidence.embedded(clip(), self._evidence_view())
        return self._embedded[digest]

    def _about(self, decision: Decision) -> dict[str, Any]:
        rows = [row for pairs, chosen in decision.parts for row in pairs.rows(chosen)]
        return {
            "request": decision.name,
            "request_digest": decision.digest,
            "asked": {
                "people": len({row["identity_id"] for row in rows} - {None}),
                "facts": len({evidence.fact_of(row) for row in rows}),
                "pairs": len(rows),
            },
            "pairs": self.index.digests_of(decision.parts),
            "withheld": [self.index.digests[row] for row in decision.withheld],
        }

    def _not_measured(self) -> dict[str, str]:
        """What a run of the benchmark measures and this cannot, with the reason."""
        reasons = {
            "distance from Retrained": "there is no model that was trained without these pairs",
            "attacks": "none was run",
            "general knowledge": "no zero-shot set was named; salmu evaluate measures it",
        }
        if self.seen.identities is None:
            reasons["names and values swapped in captions"] = "the data has no persona table"
        return reasons


def _merged(group: Sequence[Decision]) -> list[Part]:
    """The pairs of several requests, each once, by source."""
    found: dict[int, tuple[SeenPairs, set[int]]] = {}
    for decision in group:
        for pairs, rows in decision.parts:
            found.setdefault(id(pairs), (pairs, set()))[1].update(rows)
    return [(pairs, sorted(rows)) for pairs, rows in found.values()]


def _width(clip: ClipModel) -> int:
    with reproducible(1):
        return clip.network.encode_text(clip.tokenizer([""]).to(clip.device)).shape[1]


def _counted(reasons) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return counts
