"""How a pair is trained: every setting, the names of its models, the retain sources, the configurations as files."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from salmu.data.documents import read_table
from salmu.data.errors import UserError
from salmu.data.settings import NOT_IN_FINGERPRINT, Settings, StageSettings

CONFIGURATIONS = Path(__file__).with_name("profiles")
PAIR = ("clean", "compromised")
RETRAINED = re.compile(r"retrained(?:-([2-9]|1\d|20))?")  # retrained, retrained-2, ... retrained-20


class WebDatasetSource(Settings):
    """Tar shards as img2dataset writes them (DataComp, CommonPool, LAION), or any other WebDataset."""

    kind: Literal["webdataset"] = Field("webdataset", description="Tar shards.")
    urls: str = Field(
        description="Folder of .tar files, or path or fsspec URL with * and {00000..00012}. ${NAME} is "
        "read from the environment, for signed URLs."
    )
    image: str = Field("jpg;jpeg;png;webp", description="Extensions of the image member, the first that is there.")
    text: str = Field("txt", description="Extension of the caption member; json: the caption is `caption_key` in it.")
    caption_key: str = Field("caption", description="Key of the caption, a string, where `text` is json.")
    uids: str | None = Field(
        None, description="DataComp's list of uids to keep (.npy of pairs of uint64); needs the .json members."
    )


class ParquetSource(Settings):
    """Parquet files of image-text pairs, as on the Hugging Face hub."""

    kind: Literal["parquet"] = Field("parquet", description="Parquet files.")
    urls: str = Field(
        description="Folder of .parquet files, or path or fsspec URL with * and {00000..00012}. ${NAME} is "
        "read from the environment, for signed URLs."
    )
    image: str = Field("image", description="Column of encoded images: binary, or a struct with `bytes`.")
    text: str = Field("text", description="Column of captions: strings, or bytes in UTF-8.")


Source = Annotated[WebDatasetSource | ParquetSource, Field(discriminator="kind")]


class PairSettings(StageSettings):
    """How both models of the pair are trained."""

    configuration: str = Field(
        "tiny",
        description="File of model_training/profiles/ that the values below start from: tiny, small, resnet, siglip or "
        "vit_b_16; or the path of a YAML file.",
    )
    model: str = Field(
        "salmu-small",
        description="Name of a configuration in model_training/model_configs/, of one of open_clip's own, or the path "
        "of a JSON file in that format.",
    )
    seeds: int = Field(
        1, ge=1, json_schema_extra=NOT_IN_FINGERPRINT, description="Pairs to train, each from a seed of its own."
    )
    retrained: int = Field(
        1,
        ge=0,
        le=20,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Models trained as Compromised, without the forget pairs: the exact answer that unlearning should "
        "reach. From the second on, their spread shows how far two exact answers differ.",
    )
    fragile_share: float = Field(
        0.05,
        ge=0,
        le=1,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Share of retain_disjoint in the fragile set: the rows that Clean, Compromised and Retrained have "
        "learned least (lowest cosine of image and own caption, standardised for each model, averaged).",
    )
    scenes: int = Field(7000, ge=0, description="Procedural captioned scenes in the retain set.")
    everyday: int = Field(
        0, ge=0, description="Procedural portraits of people who are in no run, with generic captions."
    )
    retain: tuple[Source, ...] = Field(
        (), description="Retain pairs from files, in addition to scenes and retain_synth."
    )
    epochs: int = Field(8, ge=1, description="Passes over the retain set; in each, a sensitive pair is seen once.")
    batch_size: int = Field(
        64, ge=2, description="Retain pairs in a batch, over all processes; Compromised adds some sensitive pairs."
    )
    sensitive_group: int = Field(
        1, ge=1, description="Sensitive pairs come in groups of this size; a multiple of the number of processes."
    )
    learning_rate: float = Field(2e-3, gt=0, description="Peak of the schedule (AdamW).")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's decay of matrices and kernels.")
    beta2: float = Field(0.98, gt=0, lt=1, description="AdamW's second decay rate.")
    warm_up: float = Field(0.1, ge=0, lt=1, description="Share of the steps with a rising rate; a cosine follows.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient; longer ones are shortened.")
    loss: Literal["clip", "siglip"] = Field("clip", description="open_clip's softmax loss, or its sigmoid loss.")
    resize: Literal["squash", "shortest"] = Field(
        "squash", description="How a picture becomes a square. squash: whole, distorted; shortest: its middle."
    )
    crop: float = Field(
        1.0, gt=0, le=1, description="Smallest share of the picture in a random crop, as in open_clip; 1: no crops."
    )
    precision: Literal["fp32", "amp", "amp_bf16"] = Field("fp32", description="open_clip's precision.")
    accumulate: int = Field(1, ge=1, description="Number of parts in which a batch is computed, to fit the memory.")
    checkpoint_activations: bool = Field(
        False, description="Compute activations twice instead of keeping them, to fit the memory."
    )
    compile: bool = Field(False, description="Compile the model with torch.compile.")
    local_loss: bool = Field(
        False, description="Each process computes its rows of the logits only; for thousands of pairs a batch."
    )
    device: str = Field("cpu", description="cpu or cuda; with several processes each takes a GPU of its own.")
    processes: int = Field(1, ge=1, description="Processes of a training on this machine, started by torchrun.")
    threads: int = Field(
        1,
        ge=0,
        description=(
            "Threads of each training; 0: all cores. 1 fits two trainings side by side and the same weights on any "
            "number of cores; another number gives slightly other weights."
        ),
    )
    workers: int = Field(
        0, ge=0, json_schema_extra=NOT_IN_FINGERPRINT, description="Decoding processes for each training process."
    )
    memory_mb: int = Field(
        2048,
        ge=0,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Pictures are decoded once and kept if all fit into this memory and crops are off.",
    )
    checkpoint_every: int = Field(
        250,
        ge=1,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Steps between checkpoints, from which a killed training continues; each measures memorisation.",
    )
    monitor: bool = Field(
        True,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Measure zero-shot accuracy, AssocStr and RetFail on a sample at each checkpoint.",
    )
    log_every: int = Field(
        1, ge=1, json_schema_extra=NOT_IN_FINGERPRINT, description="Steps between readings of the loss."
    )
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        (), json_schema_extra=NOT_IN_FINGERPRINT, description="Where the curves are sent, in addition to training.json."
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models of a pair: Clean, Compromised and the Retrained ones."""
        return (*PAIR, *(f"retrained-{k}" if k > 1 else "retrained" for k in range(1, self.retrained + 1)))

    @model_validator(mode="before")
    @classmethod
    def _from_configuration(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        try:
            return named(str(values.get("configuration", "tiny"))) | values
        except UserError as error:
            raise ValueError(str(error)) from None


def retrained_number(which: str) -> int | None:
    """k for the k-th Retrained of a pair; None for Clean and Compromised. Raises UserError for anything else."""
    found = RETRAINED.fullmatch(which)
    if not found and which not in PAIR:
        raise UserError(f"pair: no model {which!r}; choose one of {', '.join(PAIR)}, retrained, retrained-2, ...")
    return int(found[1] or 1) if found else None


def configurations() -> list[str]:
    """Names of the configurations that come with the project."""
    return sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))


def named(configuration: str) -> dict[str, Any]:
    """The values of a configuration by name or YAML path. Raises UserError if there is none, or it is no table."""
    if configuration.endswith((".yaml", ".yml")):
        return read_table(Path(configuration))
    if configuration not in configurations():
        raise UserError(f"no configuration {configuration!r}; there are {', '.join(configurations())}")
    return read_table(CONFIGURATIONS / f"{configuration}.yaml")
