"""How varied a set of captions is: distinct-n, self-BLEU, lengths."""

import re
from collections import Counter
from statistics import fmean

from salmu.tasks.charts import Panel, bar_charts

SELF_BLEU_SAMPLE = 120


def measures(texts: list[str]) -> dict[str, float]:
    """Of captions in random order: different ones; distinct-1, -2 and -3 (share of n-grams that are different; Li et
    al. 2016); self-BLEU-4 of the first 120, copies included (Zhu et al. 2018; 1: every caption's 4-grams stand in
    another one); mean words. All but the last depend on how many captions there are: compare sets of one size."""
    tokens = [re.findall(r"[\w']+", text.lower()) for text in texts]
    return {
        "different": len(set(texts)),
        "distinct-1": round(_distinct(tokens, 1), 3),
        "distinct-2": round(_distinct(tokens, 2), 3),
        "distinct-3": round(_distinct(tokens, 3), 3),
        "self-BLEU-4": round(_self_bleu(tokens[:SELF_BLEU_SAMPLE]), 3),
        "mean words": round(fmean(map(len, tokens)), 1),
    }


def length_histogram(lengths: Counter) -> bytes:
    """PNG of the number of captions by their number of words."""
    words = range(min(lengths), max(lengths) + 1)
    labels = [str(number) if number % 5 == 0 else "" for number in words]
    return bar_charts(
        [Panel("", {"captions": [lengths[number] for number in words]}, labels)], "words", "captions", size=(480, 240)
    )


def _grams(tokens: list[str], size: int) -> Counter:
    return Counter(zip(*(tokens[start:] for start in range(size))))


def _distinct(texts: list[list[str]], size: int) -> float:
    grams = set()
    for tokens in texts:
        grams.update(zip(*(tokens[start:] for start in range(size))))
    return len(grams) / max(1, sum(max(0, len(tokens) - size + 1) for tokens in texts))


def _self_bleu(sample: list[list[str]]) -> float:
    """Mean BLEU-4 of each text against all others, with add-one smoothing and no brevity penalty."""
    scores = [1.0] * len(sample)
    for size in (1, 2, 3, 4):
        every = [_grams(tokens, size) for tokens in sample]
        most, next_most = Counter(), Counter()  # how often an n-gram stands in one text, and in the one after that
        for grams in every:
            for gram, count in grams.items():
                next_most[gram] = max(next_most[gram], min(count, most[gram]))
                most[gram] = max(most[gram], count)
        for place, grams in enumerate(every):
            found = sum(
                min(count, most[gram] if count < most[gram] else next_most[gram]) for gram, count in grams.items()
            )
            scores[place] *= (found + 1) / (grams.total() + 1)
    return fmean(score**0.25 for score in scores)
