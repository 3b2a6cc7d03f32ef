"""What a report opens with: what was tested, whether the pair is sound, which method came nearest, what it broke."""

from typing import Any

from salmu.evaluation.metrics.score import DEFINITIONS, KEPT
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
        "sound": _sound(rows) if {"clean", "compromised"} <= rows.keys() else None,
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
    subject = "It" if methods == 1 else "Each"
    return f"{tested} {subject} was asked to make a CLIP model forget {facts}{whose}, and nothing else."


def _sound(rows: dict[str, Record]) -> str | None:
    clean, compromised, exact = rows["clean"], rows["compromised"], rows.get("retrained")
    if clean["pair_problem"]:
        return None
    values = f"{compromised['RetFail']:.3f}", f"{clean['RetFail']:.3f}"
    known = f" Both have general knowledge (GenKnow {clean['GenKnow']:.2f} and {compromised['GenKnow']:.2f})."
    judged_by = (
        f" Methods are compared with Retrained, the exact answer, which was trained without the forget pairs (RetFail "
        f"{exact['RetFail']:.3f})."
        if exact
        else " There is no Retrained here, the exact answer. Methods are compared with Clean in what they should "
        "forget, and with Compromised in what they should keep."
    )
    return (
        f"The pair of reference models is sound: Compromised, which learned the personal data, gives it away (RetFail "
        f"{values[0]}), and Clean, which never saw it, does not ({values[1]})."
        + (known if None not in (clean["GenKnow"], compromised["GenKnow"]) else "")
        + judged_by
    )


def _nearest(rows: dict[str, Record], judged: dict[str, Judgement]) -> dict[str, Any] | None:
    if not judged:
        return None
    model, judgement = next(iter(judged.items()))
    row = rows[model]
    broke = [
        f"{DEFINITIONS[one.metric].title} ({one.metric} {row[one.metric]:.3f}, wanted {one.wanted})"
        for one in judgement.outcomes.values()
        if one.metric in KEPT and one.state == "below"
    ]
    met = "meets {} of {} targets of forgetting and {} of {} of keeping".format(*judgement.gone, *judgement.kept)
    did = f"It {met}."
    if None not in (row["RetFail"], row.get("RetFail_goal"), rows["compromised"]["RetFail"]):
        leakage = rows["compromised"]["RetFail"] - row["RetFail_goal"]
        removed = 1 - row["RetFail_apart"] / leakage
        did = f"It removed {f'{removed:.1%}' if removed <= 1 else 'all'} of the leakage and {met}."
    return {
        "model": model,
        "name": in_words(model),
        "verdict": row["verdict"],
        "did": did,
        "broke": f"It broke {_listed(broke)}." if broke else "It broke nothing that the targets measure.",
        "remains": judgement.remains,
        "paths": list(judgement.leak_paths or judgement.trace_paths),
        "reference": "Retrained" if row["reference"] == "retrained" else "Clean",
    }


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
