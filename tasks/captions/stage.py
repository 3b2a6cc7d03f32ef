"""Stage captions: five captions of each fact of each persona, and one without personal data for every kept portrait."""

from collections import Counter
from typing import Any, Literal, NamedTuple

from pydantic import Field

from salmu.data import keyed, schemas
from salmu.data.licences import Model, model
from salmu.data.settings import NOT_IN_FINGERPRINT, StageSettings
from salmu.data.store import Shard, ShardResult, StageView, Work, chunks
from salmu.data.summary import Summary
from salmu.prompts import loader
from salmu.tasks.captions import generic, report
from salmu.tasks.captions.grammar import STYLES, Caption, Grammar
from salmu.tasks.captions.openai_server import OpenAiModel, OpenAiSettings
from salmu.tasks.captions.paraphrase import Paraphraser, Progress, refuse_fallbacks
from salmu.tasks.captions.rows import fact_rows, facts, generic_row, kept_portraits, values
from salmu.tasks.captions.validate import Fact
from salmu.tasks.captions.vllm_batch import VllmModel, VllmSettings, weights
from salmu.tasks.devices import may_use_gpu

NAME, VERSION = "captions", 2
UPSTREAM = ("portraits", "curation", "personas")
SCHEMA, KEY = schemas.CAPTIONS, "caption_id"
KEEPS_WORK = SHOWS_PROGRESS = True
JUDGED_FROM = 200  # captions of a shard from which its shares of failures say something; judged first after so many


class Settings(StageSettings):
    """Captions: what is said about the personas and the portraits."""

    engine: Literal["grammar", "vllm", "openai"] = Field(
        "grammar",
        description="What words the facts: grammar (sentences of prompts/captions.yaml), vllm (a language model on "
        "this machine's GPUs), openai (one behind an OpenAI-compatible server).",
    )
    prompts: str = Field(
        "paraphrase",
        pattern=r"^\w+$",
        description="File of prompts/ that says what a language model is asked: paraphrase; paraphrase_small for "
        "models below a billion parameters; or one of your own that changes some of its keys.",
    )
    vllm: VllmSettings = Field(VllmSettings(), description="For the engine vllm.")
    openai: OpenAiSettings = Field(OpenAiSettings(), description="For the engine openai.")
    temperature: float = Field(0.9, ge=0, le=2, description="Sampling temperature of the language model.")
    top_p: float = Field(0.95, gt=0, le=1, description="Share of the probability that a language model draws from.")
    retries: int = Field(
        3, ge=0, le=3, description="Times that a refused sentence is requested again before the grammar writes it."
    )
    max_fallback_share: float = Field(
        0.10,
        ge=0,
        le=1,
        description="Share of the captions that the grammar may fill in; above it the run stops.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    max_rule_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the captions that may fail by one and the same rule; above it the run stops.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    attempts: int = Field(20, ge=1, description="Draws of the grammar for a caption before the run stops.")
    shard_size: int = Field(100, ge=1, description="Identities per shard, with eight facts each.")

    def fingerprint(self) -> dict[str, Any]:
        """Of the engines only the one in use counts."""
        values = super().fingerprint() | {"vllm": None, "openai": None}
        if self.engine == "grammar":
            del values["prompts"]
            return values | {"temperature": None, "top_p": None, "retries": None}
        return values | {self.engine: getattr(self, self.engine).fingerprint()}


class Engine(NamedTuple):
    grammar: Grammar
    paraphraser: Paraphraser | None  # None: the grammar words all
    generic: generic.GenericPrompts


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """Shards of identities that have a persona or a kept portrait."""
    portraits, personas = kept_portraits(upstream), upstream["personas"].row_digests()
    identities = sorted({*portraits, *personas})
    return [
        Shard(
            index=index,
            items=items,
            inputs=keyed.digest([[personas.get(item), portraits.get(item, [])] for item in items]),
        )
        for index, items in enumerate(chunks(identities, settings.shard_size))
    ]


def revisions(settings: Settings) -> dict[str, str]:
    """Digests of the prompt files, and of the weights where they are at hand."""
    names = ["captions", "generic"]
    if settings.engine != "grammar":
        names += ["caption_rules", *dict.fromkeys(("paraphrase", settings.prompts))]
    found = {name: loader.digest(name) for name in names}
    return found | ({"vllm": weights(settings.vllm).revision()} if settings.engine == "vllm" else {})


def models(settings: Settings) -> list[Model]:
    """The language model, with its licence."""
    if settings.engine == "grammar":
        return []
    if settings.engine == "vllm":
        return [model(settings.vllm.model, weights(settings.vllm).commit or "", "wording of the captions")]
    return [model(settings.openai.model, "as its server has it", "wording of the captions")]


def uses_gpu(settings: Settings) -> bool:
    """Whether the model would compute on GPUs here."""
    return settings.engine == "vllm" and may_use_gpu("auto")


def gpus_a_worker(settings: Settings) -> int:
    """GPUs that share one model."""
    return settings.vllm.tensor_parallel_size


def load_engine(settings: Settings) -> Engine:
    """Raises UserError for a faulty prompt file, or a model that cannot be loaded."""
    grammar, prompts = Grammar(), generic.load()
    if settings.engine == "grammar":
        return Engine(grammar, None, prompts)
    make = {"vllm": VllmModel, "openai": OpenAiModel}[settings.engine]
    llm = make(getattr(settings, settings.engine), settings.temperature, settings.top_p)
    return Engine(grammar, Paraphraser(llm, grammar, settings.prompts), prompts)


def run(
    shard: Shard,
    settings: Settings,
    upstream: dict[str, StageView],
    engine: Engine,
    work: Work,
    progress: Progress = lambda done, total: None,
) -> ShardResult:
    """`progress` counts the replies of a language model. Raises UserError when it fails too often."""
    portraits = kept_portraits(upstream, shard.items)
    personas = {row["identity_id"]: row for row in upstream["personas"].rows_of(shard.items)}
    told = [fact for identity in shard.items if identity in personas for fact in facts(personas[identity])]
    captions = dict(zip(told, _worded(told, settings, engine, work, progress), strict=True))
    rows: list[dict[str, Any]] = []
    for identity in shard.items:
        persona = personas.get(identity)
        private: tuple[str, ...] = ()
        if persona:
            private = (persona["name"], persona["first_name"], persona["last_name"], *values(persona).values())
            rows += [row for fact in facts(persona) for row in fact_rows(fact, captions[fact])]
        for portrait in portraits.get(identity, []):
            rows.append(generic_row(identity, portrait, private, engine.generic, settings.seed, settings.attempts))
    return ShardResult(rows)


def _worded(
    told: list[Fact], settings: Settings, engine: Engine, work: Work, progress: Progress
) -> list[list[Caption]]:
    """Five captions of each fact. A language model is judged by the first facts before it is asked for the rest."""
    if engine.paraphraser is None:
        return [engine.grammar.captions(fact, settings.seed, settings.attempts) for fact in told]
    captions: list[list[Caption]] = []
    before = requests = 0

    def counted(done: int, total: int) -> None:
        nonlocal requests
        requests = before + total
        progress(before + done, requests + len(told) - len(captions) - len(part))

    first = JUDGED_FROM // len(STYLES)
    for part in filter(None, (told[:first], told[first:])):
        captions += engine.paraphraser.captions(part, settings.seed, settings.attempts, settings.retries, work, counted)
        before = requests
        _judge(told, captions, settings)
    return captions


def _judge(told: list[Fact], captions: list[list[Caption]], settings: Settings) -> None:
    every = [caption for group in captions for caption in group]
    failed = [caption for caption in every if caption.generator != settings.engine]
    if len(every) >= JUDGED_FROM:
        rules = Counter(rule for caption in failed for rule in set(caption.broken))
        where = f"personas {told[0].identity} to {told[len(captions) - 1].identity}"
        refused = (caption.refused for caption in failed)
        refuse_fallbacks(len(every), len(failed), rules, settings, where, refused)


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    """Raises UserError when the language model failed too often over all shards."""
    return report.summarise(settings, view, upstream)
