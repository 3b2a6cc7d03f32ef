"""What a report opens with: what was tested, whether the pair is sound, which method came nearest, what it broke."""

from typing import Any

from salmu.evaluation.metrics.score import DEFINITIONS, target
from salmu.evaluation.report.judgements import Judgement
from salmu.evaluation.verdicts.leaderboard import in_words, reference_of
from salmu.evaluation.verdicts.soundness import warning

Record = dict[str, Any]


def opening(records: list[Record], results: dict[str, dict], judged: dict[str, Judgement]) -> dict[str, Any]:
    """`tested`: one sentence. `warning`: the line of a worthless pair, or None. `sound`: one sentence, or None where a
    reference model is missing. `nearest`: the record of the nearest method, with `did`, `broke` and `remains`, or None.

    `results`: the result file of each model."""
    rows = {row["model"]: row for row in records}
    return {
        "tested": _tested(records, results),
        "warning": warning(records),
        "sound": _sound(rows["clean"], rows["compromised"]) if {"clean", "compromised"} <= rows.keys() else None,
        "nearest": _nearest(rows, judged),
    }


def _tested(records: list[Record], results: dict[str, dict]) -> str:
    unlearned = [row for row in records if reference_of(row["model"]) is None]
    methods = len({row["method"] or row["model"] for row in unlearned})
    extended = next((part for file in results.values() if "rows" in (part := file.get("extended", {}))), {})
    facts = f"{extended['rows']['forget']:,} pairs of portrait and caption" if extended else "personal data"
    people = len(extended.get("clusters", {}).get("RetFail", {}).get("rows", []))
    whose = f" of {people:,} fictitious people" if people else " of fictitious people"
    if not unlearned:
        return f"No unlearning method was run yet; the models were measured on {facts}{whose}."
    models = "" if len(unlearned) == methods else f", which gave {len(unlearned)} models"
    tested = f"Tested: {methods} unlearning method{'s' * (methods > 1)}{models}."
    return f"{tested} Each was asked to make a CLIP model forget {facts}{whose}, and nothing else."


def _sound(clean: Record, compromised: Record) -> str | None:
    if clean["pair_problem"]:
        return None
    known = f" Both have general knowledge (GenKnow {clean['GenKnow']:.2f} and {compromised['GenKnow']:.2f})."
    return (
        f"The pair of reference models is sound: Compromised, which learned the personal data, gives it away (RetFail "
        f"{compromised['RetFail']:.3f}), and Clean, which never saw it, does not ({clean['RetFail']:.3f})."
        + (known if None not in (clean["GenKnow"], compromised["GenKnow"]) else "")
    )


def _nearest(rows: dict[str, Record], judged: dict[str, Judgement]) -> dict[str, Any] | None:
    if not judged:
        return None
    model, judgement = next(iter(judged.items()))
    row, clean, compromised = rows[model], rows["clean"], rows["compromised"]
    missed = [one for one in judgement.outcomes.values() if not one.met]
    broke = [
        f"{DEFINITIONS[one.metric].title} ({one.metric} {row[one.metric]:.3f}, wanted {one.wanted})"
        for one in missed
        if target(one.metric) == "compromised"
    ]
    met = f"meets {judgement.met} of {len(judgement.outcomes)} targets"
    did = f"It {met}."
    if None not in (row["RetFail"], clean["RetFail"], compromised["RetFail"]):
        removed = (compromised["RetFail"] - row["RetFail"]) / (compromised["RetFail"] - clean["RetFail"])
        did = f"It removed {removed:.1%} of the leakage and {met}."
    return {
        "model": model,
        "name": in_words(model),
        "verdict": row["verdict"],
        "did": did,
        "broke": f"It broke {_listed(broke)}." if broke else "It broke nothing that the targets measure.",
        "remains": judgement.remains,
        "leak_paths": list(judgement.leak_paths),
    }


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
