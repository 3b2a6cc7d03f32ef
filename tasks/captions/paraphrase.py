"""Captions from a language model: it words each fact with placeholders, and what it writes is checked before and after
the person's name and value are filled in. A refused sentence is asked for again with the rule that it broke; where the
model keeps failing, the grammar fills in."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.store import ShardResult, Work, chunks
from salmu.tasks.captions import prompting, statement
from salmu.tasks.captions.grammar import STYLES, Caption, Grammar
from salmu.tasks.captions.prompting import NO_REPLY, A, N, Refusal, Request, V, request
from salmu.tasks.captions.validate import Fact, article, broken_rules, too_close, words_of

SHOWN = 200  # characters of a refused sentence that the model is shown again


Progress = Callable[[int, int], None]  # (done, total)


def _counted(progress: Progress, before: int, total: int, done: int) -> None:
    if total:
        progress(before + done, total)


class Model(Protocol):
    """What asks a language model: see vllm_batch.py and openai_server.py."""

    name: str  # generator of its captions
    identity: list  # what decides its replies beside the request: model, revision, sampling
    group: int  # requests that are asked, and kept, together

    def ask(self, groups: list[list[Request]]) -> Iterator[tuple[int, list[str]]]:
        """The replies to each group, with the group's place, as they come."""


class Paraphraser:
    """The engine: a language model, what it is told, and the grammar that fills in."""

    def __init__(self, model: Model, grammar: Grammar, prompts: str = "paraphrase"):
        self.model, self.grammar, self.name = model, grammar, model.name
        self.prompts, self.vocabularies = prompting.load(prompts), vocabularies(grammar)

    def captions(
        self,
        facts: list[Fact],
        seed: int,
        draws: int,
        retries: int,
        work: Work,
        progress: Progress = lambda done, total: None,
    ) -> list[list[Caption]]:
        """One validated caption in each style, for each fact. `retries`: times that a refused sentence is asked for
        again; `draws`: attempts of the grammar where it fills in. Replies are kept in `work` as they come, and counted
        by `progress`; their total grows with what is asked for again."""
        before = 0
        done: list[dict[str, Caption]] = [{} for _ in facts]
        refused: list[dict[str, list[Refusal]]] = [{style: [] for style in STYLES} for _ in facts]
        for attempt in range(1, retries + 2):
            waiting = [place for place, captions in enumerate(done) if len(captions) < len(STYLES)]
            requests = [
                request(
                    self.prompts, facts[place], _open(refused[place], done[place]), seed, attempt, self.model.identity
                )
                for place in waiting
            ]
            counted = partial(_counted, progress, before, before + len(requests))
            replies = self._replies(requests, work, counted)
            for place, asked, reply in zip(waiting, requests, replies, strict=True):
                self._judge(facts[place], asked, reply, done[place], refused[place], attempt)
            before += len(requests)
        for fact, captions, refusals in zip(facts, done, refused, strict=True):
            for style in STYLES:
                if style not in captions:
                    others = [caption.text for caption in captions.values()]
                    caption = self.grammar.caption(fact, style, seed, draws, others)
                    captions[style] = caption._replace(
                        attempts=retries + 1 + caption.attempts,
                        broken=_rules(refusals[style]) + caption.broken,
                        refused=refusals[style][-1].sentence,
                    )
        return [[captions[style] for style in STYLES] for captions in done]

    def _replies(self, requests: list[Request], work: Work, counted: Callable[[int], None]) -> list[str]:
        """A reply to each request: what is kept, and the model's to the rest. `counted` is told how many came."""
        groups = chunks(requests, self.model.group)
        keys = [keyed.digest([request.digest for request in group]) for group in groups]
        kept = {place: work.get_of_any_settings(key) for place, key in enumerate(keys)}
        replies = {place: [row["text"] for row in found.rows] for place, found in kept.items() if found}
        missing = [place for place in range(len(groups)) if place not in replies]
        counted(sum(map(len, replies.values())))
        for at, texts in self.model.ask([list(groups[place]) for place in missing]):
            rows = [
                {"caption_id": request.digest, "text": text}
                for request, text in zip(groups[missing[at]], texts, strict=True)
            ]
            if any(spoken(text) for text in texts):  # a server out of order is asked again, not remembered
                work.put(keys[missing[at]], ShardResult(rows))
            replies[missing[at]] = texts
            counted(sum(map(len, replies.values())))
        return [text for place in range(len(groups)) for text in replies[place]]

    def _judge(
        self,
        fact: Fact,
        asked: Request,
        reply: str,
        done: dict[str, Caption],
        refused: dict[str, list[Refusal]],
        attempt: int,
    ) -> None:
        """Take the sentences of a reply that keep the rules, with placeholders and filled in; note what the others
        broke."""
        sentences = parsed(reply)
        for style in STYLES:
            if style in done:
                continue
            skeleton = sentences.get(style)
            if not isinstance(skeleton, str):
                refused[style].append(Refusal("", (NO_REPLY,)))
                continue
            copied = skeleton in asked.prompt
            skeleton = self.prompts.placeholders.restored(skeleton)
            rules = skeleton_rules(skeleton, style, fact, self.vocabularies[fact.field])
            if copied and not rules:
                rules.append("copy")
            text = filled(skeleton, fact)
            rules = rules or broken_rules(text, fact, self.vocabularies[fact.field])
            if not rules and too_close(text, fact, [caption.text for caption in done.values()]):
                rules = ["too close to another style"]
            if rules:
                shown = " ".join(skeleton.split())[:SHOWN].encode("ascii", "replace").decode()
                refused[style].append(Refusal(shown, tuple(rules)))
            else:
                done[style] = Caption(style, text, self.name, attempt, _rules(refused[style]))


def vocabularies(grammar: Grammar) -> dict[str, frozenset[str]]:
    """Data field -> the words that a model may use: those of the grammar and the approved ones."""
    approved = prompting.load().vocabulary
    return {
        field: words | inflected(words_of(approved["all"]) | words_of(approved[field]))
        for field, words in grammar.vocabularies.items()
    }


def inflected(words: set[str]) -> set[str]:
    """The words with their regular endings: list, lists, listed, listing. Forms that nobody writes do no harm."""
    found = set(words)
    for word in words:
        stem = word[:-1] if word.endswith("e") else word
        found |= {f"{word}s", f"{stem}ed", f"{stem}ing", f"{word}es"}
        if re.search(r"[^aeiou]y$", word):
            found |= {f"{word[:-1]}ies", f"{word[:-1]}ied"}
    return found


def skeleton_rules(skeleton: str, style: str, fact: Fact, vocabulary: frozenset[str]) -> list[str]:
    """The rules that a sentence with placeholders breaks."""
    masked = fact._replace(name=N, value=V, others=())
    rules = broken_rules(filled(skeleton, masked), masked, vocabulary)
    bare = skeleton.replace(f"{A} {V}", f"a {V}").replace(N, statement.N).replace(V, statement.V)
    known = statement.statements(fact.field)
    if not known.in_style(bare, style):
        rules.append("style")
    if not rules and not known.stated(bare):
        rules.append("fact")
    return rules


def parsed(reply: str) -> dict:
    """The JSON object in a reply, whatever stands around it; empty where there is none."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        found = json.loads(reply[start : end + 1], strict=False)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def spoken(reply: str) -> bool:
    """Whether a reply holds a sentence at all: not empty, not cut off, no refusal in free text."""
    return any(isinstance(sentence, str) and sentence.strip() for sentence in parsed(reply).values())


def filled(skeleton: str, fact: Fact) -> str:
    """The sentence with the fact in place of its placeholders."""
    word = article(fact.value)
    begun = re.sub(rf"(^|[.?] ){re.escape(f'{A} {V}')}", lambda found: f"{found[1]}{word.capitalize()} {V}", skeleton)
    return begun.replace(f"{A} {V}", f"{word} {V}").replace(N, fact.name).replace(V, fact.value)


def refuse_fallbacks(
    total: int, failed: int, rules: Counter, settings, where: str, refused: Iterable[str] = ()
) -> None:
    """Stop when the model failed too often: `failed` of `total` captions were filled in by the grammar; `rules`: in how
    many of these each rule was broken; `refused`: sentences of the model, of which three are shown.

    Raises UserError when the share of the failed is above settings.max_fallback_share, or that of a rule above
    settings.max_rule_share; it names all of them."""
    often = [(rule, count) for rule, count in rules.most_common() if count > settings.max_rule_share * total]
    broken = {"max_fallback_share": failed > settings.max_fallback_share * total, "max_rule_share": bool(often)}
    if not any(broken.values()):
        return
    most = often or rules.most_common(3)
    limits = [f"captions.{limit} ({getattr(settings, limit):.0%})" for limit, over in broken.items() if over]
    shown = [repr(sentence) for sentence in dict.fromkeys(refused) if sentence][:3]
    raise UserError(
        f"captions: {where}: {settings.engine} failed for {failed} of {total} captions ({failed / total:.0%}), by "
        "rule: "
        + ", ".join(f"{rule!r} {count} ({count / total:.0%})" for rule, count in most)
        + (f"; refused: {'; '.join(shown)}" if shown else "")
        + f"; correct prompts/{settings.prompts}.yaml, use another model, or raise {' and '.join(limits)} "
        "(the replies are kept)"
    )


def _open(refused: dict[str, list[Refusal]], done: dict[str, Caption]) -> dict[str, list[Refusal]]:
    return {style: refusals for style, refusals in refused.items() if style not in done}


def _rules(refusals: list[Refusal]) -> tuple[str, ...]:
    return tuple(rule for refusal in refusals for rule in refusal.rules)
