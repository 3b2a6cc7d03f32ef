"""Engine `openai`: a language model behind an OpenAI-compatible server (`vllm serve`, llama.cpp's server, others)."""

import email.utils
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
from pydantic import Field

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.settings import NOT_IN_FINGERPRINT, Settings
from salmu.tasks.captions.prompting import Request

MAY_PASS = {408, 409, 425, 429}  # and all from 500 on: the same request may succeed later
LONGEST_WAIT = 300.0  # seconds between two tries, whatever the server asks for
SCHEMA_REFUSED = {400, 404, 415, 422}  # what servers answer that know no json_schema


class OpenAiSettings(Settings):
    """Which server is asked, and how patiently."""

    base_url: str = Field(
        "http://127.0.0.1:8000/v1",
        pattern=r"^https?://",
        description="Address of the API, up to /v1.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    model: str = Field("google/gemma-3-12b-it", description="Name of the model at the server.")
    api_key_variable: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; a key never stands in the settings.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    concurrency: int = Field(
        16, ge=1, description="Requests under way at once, for each worker.", json_schema_extra=NOT_IN_FINGERPRINT
    )
    timeout: float = Field(
        60,
        gt=0,
        description="Seconds without an answer after which a try is given up.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    tries: int = Field(
        6, ge=1, description="Tries of a request before the run stops.", json_schema_extra=NOT_IN_FINGERPRINT
    )


class _Passing(Exception):
    """A try that failed by something that may pass. `wait`: seconds that the server asks for, or None."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class OpenAiModel:
    """The server's model; replies are free JSON where the server knows no JSON schema."""

    name, group = "openai", 1

    def __init__(self, settings: OpenAiSettings, temperature: float, top_p: float):
        self.settings, self.sampling = settings, {"temperature": temperature, "top_p": top_p}
        self.identity = [settings.model, self.sampling]
        self.with_schema = True
        self.stopped = threading.Event()
        key = os.environ.get(settings.api_key_variable)
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=settings.concurrency),
        )

    def ask(self, groups: list[list[Request]]) -> Iterator[tuple[int, list[str]]]:
        """Raises UserError if the server stays silent, keeps failing or refuses; what came before is handed out."""
        self.stopped.clear()
        failure = None
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            places = {pool.submit(self._reply_or_stop, request): place for place, (request,) in enumerate(groups)}
            try:
                for future in as_completed(places):
                    if future.exception() is None:
                        yield places[future], [future.result()]
                    else:
                        failure = failure or future.exception()
            finally:  # also where nobody wants the rest
                self.stopped.set()
        if failure is not None:
            raise failure

    def _reply_or_stop(self, request: Request) -> str:
        """A failure stops the others before this thread can take its next request."""
        try:
            return self._reply(request)
        except Exception:
            self.stopped.set()
            raise

    def _reply(self, request: Request) -> str:
        attempt = 0
        while not self.stopped.is_set():
            attempt += 1
            try:
                return self._try(request)
            except _Passing as passing:
                if attempt == self.settings.tries:
                    raise UserError(
                        f"captions: {self.settings.base_url}: {passing}, {attempt} times; is the server well? Run "
                        "again when it is (the replies that came are kept)"
                    ) from None
                rng = keyed.python_random("backoff", request.digest, attempt)
                wait = passing.wait if passing.wait is not None else 2 ** (attempt - 1) * rng.uniform(0.5, 1)
                self.stopped.wait(min(wait, LONGEST_WAIT))
        raise _Passing("another request failed")

    def _try(self, request: Request) -> str:
        with_schema = self.with_schema
        response = self._post(request, with_schema)
        if with_schema and response.status_code in SCHEMA_REFUSED:
            plain = self._post(request, with_schema=False)
            if plain.is_success:
                self.with_schema = False
            response = plain
        if response.status_code in MAY_PASS or response.status_code >= 500:
            raise _Passing(f"answers {response.status_code}", _retry_after(response))
        if response.status_code in (401, 403):
            raise UserError(
                f"captions: {self.settings.base_url} refuses access ({response.status_code}): put its key into the "
                f"environment variable {self.settings.api_key_variable}"
            )
        if not response.is_success:
            raise UserError(
                f"captions: {self.settings.base_url} refuses the request for model {self.settings.model!r} "
                f"({response.status_code}): {response.text[:200]}; correct captions.openai"
            )
        return _content(response)

    def _post(self, request: Request, with_schema: bool) -> httpx.Response:
        body = {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "seed": request.seed,
            "max_tokens": request.max_tokens,
            **self.sampling,
        }
        if with_schema:
            schema = {"name": "captions", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        try:
            return self.client.post(f"{self.settings.base_url.rstrip('/')}/chat/completions", json=body)
        except httpx.TimeoutException:
            raise _Passing(f"no answer within {self.settings.timeout:g} s") from None
        except httpx.TransportError as error:
            raise _Passing(f"cannot be reached ({error})") from None


def _content(response: httpx.Response) -> str:
    """The text of a chat completion; empty where the model said nothing."""
    try:
        text = response.json()["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        text = response  # no text at all
    if not isinstance(text, str | None):
        raise _Passing("answers something that is no chat completion")
    return (text or "").encode("utf-8", "replace").decode()  # JSON may hold halves of characters


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the header Retry-After asks for: a number or a date."""
    header = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
