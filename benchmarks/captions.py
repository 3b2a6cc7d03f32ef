"""Are the captions right, does a corrupted one slip through, and how varied are they?

    python benchmarks/captions.py [--run runs/paper | --people 774] [--mutations 1500] [--published FOLDER]

The captions are those of a finished run, whoever worded them, or the grammar's for made-up people. Each is checked
against all rules; captions corrupted in each way of tests/mutations.py are checked against the rules of the language
models, the widest. Variety is measured on captions with name and value masked; with --published (the folder with the
JSON files of the published dataset) that dataset's captions are measured in the same way. Prints Markdown."""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from salmu.data.keyed import ranked
from salmu.data.schemas import DATA_FIELDS
from salmu.data.store import Store
from salmu.tasks.captions import diversity
from salmu.tasks.captions.grammar import STYLES, Grammar
from salmu.tasks.captions.paraphrase import vocabularies
from salmu.tasks.captions.stage import facts
from salmu.tasks.captions.validate import JACCARD, Fact, broken_rules, clip_tokenizer, masked, too_close

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mutations import MUTATIONS, corrupted, person  # noqa: E402

Captions = dict[Fact, list[tuple[str, str, str]]]  # fact -> style, generator, text
SHOWN = 5  # captions to read of each field, one a style, of different people


def of_people(number: int, grammar: Grammar) -> Captions:
    told = [fact for index in range(number) for fact in facts(person(index))]
    return {fact: [(one.style, one.generator, one.text) for one in grammar.captions(fact, 0, 20)] for fact in told}


def of_run(folder: Path) -> Captions:
    store, said = Store(folder), defaultdict(list)
    for row in store.view("captions", "caption_id").rows():
        said[(row["identity_id"], row["data_field"])].append((row["style"], row["generator"], row["text"]))
    people = store.view("personas", "identity_id").rows()
    return {fact: said[(fact.identity, fact.field)] for one in people for fact in facts(one)}


def violations(captions: Captions, words: dict[str, dict[str, frozenset]]) -> Counter:
    """Rule -> captions that break it; `words`: generator -> field -> words."""
    found: Counter = Counter()
    for fact, said in captions.items():
        texts = [text for _, _, text in said]
        for place, (_, generator, text) in enumerate(said):
            found.update(broken_rules(text, fact, words[generator][fact.field]))
            found["too close to another style"] += too_close(text, fact, texts[:place])
        found["not five styles"] += [style for style, _, _ in said] != [*STYLES]
    every = [text.casefold() for said in captions.values() for _, _, text in said]
    found["not unique in the dataset"] += len(every) - len(set(every))
    return +found


def published(folder: Path) -> Iterator[tuple[str, str]]:
    """Field and masked caption of the published dataset's pairs."""
    people = json.loads((folder / "identities_metadata.json").read_text(encoding="utf-8"))
    said = json.loads((folder / "sensitive_set_captions_metadata.json").read_text(encoding="utf-8"))
    for file_name, about in said.items():
        one, field = people[file_name.split("_")[0]], about["data_field"]
        value = one[field][0] if isinstance(one[field], list) else one[field]
        yield field, masked(about["caption"], one["name"], value)


def variety(title: str, texts: dict[str, list[str]]) -> None:
    print(
        f"\n{title}\n\n| field | captions | different | distinct-1 | -2 | -3 | self-BLEU-4 | mean words |\n|---|"
        + "--:|" * 7
    )
    for field, told in ({"all fields": [text for one in texts.values() for text in one]} | texts).items():
        shuffled = [told[place] for place in ranked(range(len(told)), "self-BLEU")]
        print(f"| {field} | {len(told):,} | " + " | ".join(map(str, diversity.measures(shuffled).values())) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--people", type=int, default=774)
    parser.add_argument("--mutations", type=int, default=1500)
    parser.add_argument("--published", type=Path)
    arguments = parser.parse_args()
    grammar = Grammar()
    wide = vocabularies(grammar)
    start = time.perf_counter()
    captions = of_run(arguments.run) if arguments.run else of_people(arguments.people, grammar)
    seconds = time.perf_counter() - start
    total = sum(map(len, captions.values()))
    clip = clip_tokenizer()
    longest = max(len(clip.encode(text)) for said in captions.values() for _, _, text in said)
    print(f"{total:,} captions of {len(captions):,} facts in {seconds:.1f} s")
    start = time.perf_counter()
    broken = violations(captions, {"grammar": grammar.vocabularies, "vllm": wide, "openai": wide})
    print(f"rules broken (five of a fact with Jaccard <= {JACCARD}, all unique casefolded): {dict(broken) or 'none'}")
    print(f"checked in {time.perf_counter() - start:.1f} s; most CLIP tokens in a caption: {longest} of 75")

    print("\n| corruption | tried | caught |\n|---|--:|--:|")
    texts = {fact: [text for _, _, text in said] for fact, said in captions.items()}
    for kind in MUTATIONS:
        tried = list(corrupted(kind, texts, arguments.mutations))
        caught = sum(bool(broken_rules(text, fact, wide[fact.field])) for fact, text in tried)
        print(f"| {kind} | {len(tried):,} | {caught / max(1, len(tried)):.2%} |")

    frames: dict[str, list[str]] = {field: [] for field in DATA_FIELDS}
    for fact, said in captions.items():
        frames[fact.field] += [masked(text, fact.name, fact.value) for _, _, text in said]
    variety("Variety, name and value masked", frames)
    if arguments.published:
        theirs = defaultdict(list)
        for field, text in published(arguments.published):
            theirs[field].append(text)
        size = {field: ranked(range(len(frames[field])), "cut")[: len(told)] for field, told in theirs.items()}
        variety("The published dataset", theirs)
        variety("Ours, cut to as many", {field: [frames[field][at] for at in places] for field, places in size.items()})
    lengths = Counter(len(text.split()) for said in captions.values() for _, _, text in said)
    print("\n| words | captions |\n|--:|--:|")
    for words, count in sorted(lengths.items()):
        print(f"| {words} | {count:,} |")
    print()
    for field in DATA_FIELDS:
        told = {fact.identity: said for fact, said in captions.items() if fact.field == field}
        for place, identity in enumerate(ranked(told, field)[:SHOWN]):
            style, _, text = told[identity][place]
            print(f"- {field}, {style}: {text}")


if __name__ == "__main__":
    main()
