"""What the stage captions shows of itself."""

from collections import Counter
from typing import Any

from salmu.data.keyed import digest
from salmu.data.schemas import DATA_FIELDS
from salmu.data.store import StageView
from salmu.data.summary import Summary
from salmu.tasks.captions import diversity
from salmu.tasks.captions.paraphrase import refuse_fallbacks
from salmu.tasks.captions.validate import masked

MEASURED = 2000  # captions of a generator and field whose variety is measured, by lot
SHOWN = 20


class _Lot:
    """Of all that is put in, the `size` that rank first, in that order; a rank is the digest of a key."""

    def __init__(self, size: int):
        self.size, self.drawn = size, []

    def put(self, rank: str, item: Any) -> None:
        self.drawn.append((rank, item))
        if len(self.drawn) >= 2 * self.size + 100:
            self._cut()

    def items(self) -> list:
        self._cut()
        return [item for _, item in self.drawn]

    def _cut(self) -> None:
        self.drawn = sorted(self.drawn, key=lambda entry: entry[0])[: self.size]


def summarise(settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """Raises UserError when the language model failed too often over all shards."""
    names = {row["identity_id"]: row["name"] for row in upstream["personas"].rows(["identity_id", "name"])}
    kinds, lengths, tried, broken, failed_by = Counter(), Counter(), Counter(), Counter(), Counter()
    frames: dict[tuple[str, str], _Lot] = {}
    whole: dict[str, _Lot] = {}
    stated, generic = _Lot(SHOWN), _Lot(SHOWN // 2)
    for row in view.rows():  # a shard at a time: there may be millions
        field, generator, text = row["data_field"], row["generator"], row["text"]
        rank = digest("lot", row["caption_id"])
        kinds[(generator, field, row["style"])] += 1
        lengths[len(text.split())] += 1
        if field in DATA_FIELDS:
            rules = row["broken_rules"] or []
            tried[(generator, row["attempts"])] += 1
            broken.update((generator, rule) for rule in rules)
            if generator != settings.engine:
                failed_by.update(set(rules))
            stated.put(rank, {"field": field, "style": row["style"], "text": text})
            text = masked(text, names[row["identity_id"]], row["value"])
            whole.setdefault(generator, _Lot(MEASURED)).put(rank, text)
        else:
            generic.put(rank, {"text": text})
        frames.setdefault((generator, field), _Lot(MEASURED)).put(rank, text)
    facts = tried.total()
    filled_in = sum(count for (generator, _), count in tried.items() if generator != settings.engine)
    if settings.engine != "grammar" and facts:
        refuse_fallbacks(facts, filled_in, failed_by, settings, "the whole run")
    again = sum(count for (_, attempts), count in tried.items() if attempts > 1)
    text = (
        f"{facts} captions of {len(names)} personas and {kinds.total() - facts} without personal data, all valid; "
        f"{again} took more than one attempt"
        + (f", {filled_in} of them were filled in by the grammar." if settings.engine != "grammar" else ".")
    )
    return Summary(
        text,
        {
            "Captions by generator, field and style": [
                {"generator": generator, "field": field, "style": style, "captions": count}
                for (generator, field, style), count in sorted(kinds.items())
            ],
            "Attempts": [
                {"generator": generator, "attempts": attempts, "captions": count}
                for (generator, attempts), count in sorted(tried.items())
            ],
            "Rules that refused sentences broke": [
                {"generator of the caption": generator, "rule": rule, "times": count}
                for (generator, rule), count in broken.most_common()
            ],
            f"Variety (name and value masked; of up to {MEASURED} captions by lot)": [
                {"generator": generator, "field": field, "captions": len(texts), **diversity.measures(texts)}
                for (generator, field), texts in (
                    *(((generator, "all fields"), lot.items()) for generator, lot in sorted(whole.items())),
                    *((key, lot.items()) for key, lot in sorted(frames.items())),
                )
            ],
            "Sample captions": stated.items(),
            "Sample generic captions": generic.items(),
        },
        {"Caption length in words": diversity.length_histogram(lengths)} if lengths else {},
    )
