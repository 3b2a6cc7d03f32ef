"""Engine `vllm`: a language model in this process, on this machine's GPUs, asked in batches."""

import os
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from salmu.data.errors import UserError
from salmu.data.settings import NOT_IN_FINGERPRINT, Settings
from salmu.tasks.captions.prompting import Request
from salmu.tasks.sources import Source, source


class VllmSettings(Settings):
    """Which model vLLM loads, and how."""

    model: str = Field("google/gemma-3-12b-it", description="Folder or hub id of a chat model.")
    revision: str | None = Field(None, description="Branch or commit of the hub's repository.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Number format of the weights."
    )
    max_model_len: int = Field(3072, ge=1024, description="Tokens that a prompt and its reply may have together.")
    tensor_parallel_size: int = Field(
        1,
        ge=1,
        description="GPUs that share one model. With 1 each GPU has a model of its own.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    gpu_memory_share: float = Field(
        0.9, gt=0, le=1, description="Share of a GPU's memory that vLLM may take.", json_schema_extra=NOT_IN_FINGERPRINT
    )
    batch: int = Field(
        512,
        ge=1,
        description="Prompts that are sent and kept together; a killed run repeats at most this many.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    eager: bool = Field(
        False,
        description="Start at once, without compiling the model; slower for many prompts.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )


class VllmModel:
    """The loaded model. Raises UserError if vLLM is not installed or cannot load it."""

    name = "vllm"

    def __init__(self, settings: VllmSettings, temperature: float, top_p: float):
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # a run tells nobody that it runs
        try:
            import vllm
        except ImportError as error:
            raise UserError(
                f"captions.engine is 'vllm', but vLLM cannot be imported ({error}): install it with: "
                "pip install 'salmu[vllm]', or choose the engine grammar or openai"
            ) from None
        on_gpu = _check_gpus(settings)
        files = weights(settings)
        self.group, self.sampling = settings.batch, {"temperature": temperature, "top_p": top_p}
        self.identity = [files.revision(), settings.dtype, settings.max_model_len, self.sampling]
        try:
            self.llm = vllm.LLM(
                model=files.name,
                revision=files.commit,
                dtype=settings.dtype,
                max_model_len=settings.max_model_len,
                tensor_parallel_size=settings.tensor_parallel_size,
                gpu_memory_utilization=settings.gpu_memory_share,
                enforce_eager=settings.eager,
                enable_prefix_caching=True,  # the instructions in front are computed once
                limit_mm_per_prompt={"image": 0},
                structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
                seed=0,  # each request has its own
                # on a CPU, vLLM fails where a prompt with a seed is split between two steps
                **({} if on_gpu else {"enable_chunked_prefill": False}),
            )
        except Exception as error:  # vLLM's errors share no base
            raise files.unusable(error) from None

    def ask(self, groups: list[list[Request]]) -> Iterator[tuple[int, list[str]]]:
        """Raises UserError if vLLM refuses a request."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        for place, requests in enumerate(groups):
            answers = self.llm.chat(
                [[{"role": "user", "content": request.prompt}] for request in requests],
                [
                    SamplingParams(
                        **self.sampling,
                        seed=request.seed,
                        max_tokens=request.max_tokens,
                        structured_outputs=StructuredOutputsParams(json=request.schema),
                    )
                    for request in requests
                ],
                use_tqdm=False,
            )
            replies = [answer.outputs[0] for answer in answers]
            if any(reply.finish_reason == "error" for reply in replies):
                raise UserError("captions: vLLM could not answer a request; its messages above say why")
            yield place, [reply.text for reply in replies]


def weights(settings: VllmSettings) -> Source:
    """Where the model's files come from. Raises UserError for what is neither a folder nor a hub id."""
    return source("captions.vllm.model", settings.model, settings.revision)


def _check_gpus(settings: VllmSettings) -> bool:
    """Whether there are GPUs. Raises UserError if there are fewer than the model is to share."""
    import torch

    seen = torch.cuda.device_count()
    if seen and seen < settings.tensor_parallel_size:
        raise UserError(
            f"captions.vllm.tensor_parallel_size is {settings.tensor_parallel_size}, but this process sees {seen} GPU"
            f"{'s' if seen > 1 else ''}: set it to {seen} at most"
        )
    return seen > 0
