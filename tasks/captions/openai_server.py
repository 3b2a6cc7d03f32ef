"""Engine `openai`: a language model behind an OpenAI-compatible server (`vllm serve`, llama.cpp's server, others).

The server is not trusted: a reply has a bounded size and a bounded time, from the first byte sent to the last byte
received, and anything but a chat completion is an error of one line."""

import asyncio
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, as_completed
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import Field, field_validator

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.settings import NOT_IN_FINGERPRINT, Hidden, Settings
from salmu.tasks.captions.prompting import Request
from salmu.tasks.captions.server_answers import (
    Gate,
    Passing,
    Reply,
    TimedOut,
    authorization,
    content,
    retry_after,
    without_key,
)

MAY_PASS = {408, 409, 425, 429}  # and all from 500 on: the same request may succeed later
LONGEST_WAIT = 300.0  # seconds between two tries, whatever the server asks for
LONGEST_REPLY = 1_000_000  # bytes; five captions are a few hundred
SCHEMA_REFUSED = {400, 404, 415, 422}  # what servers answer that know no json_schema
REFUSALS = 3  # refused schemas without one that is taken, after which none is sent any more


class OpenAiSettings(Settings):
    """Which server is asked, and how patiently."""

    base_url: str = Field(
        "http://127.0.0.1:8000/v1", description="Address of the API, up to /v1.", json_schema_extra=NOT_IN_FINGERPRINT
    )
    model: str = Field("google/gemma-3-12b-it", description="Name of the model at the server.")
    api_key_variable: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; the key is never part of the settings.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens",
        description="What the server calls the limit of a reply's length; newer servers take max_completion_tokens.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    concurrency: int = Field(
        16,
        ge=1,
        description="Most requests under way at once, for each worker; fewer while the server answers too late.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )
    timeout: float = Field(
        60, gt=0, description="Seconds that one try may take as a whole.", json_schema_extra=NOT_IN_FINGERPRINT
    )
    tries: int = Field(
        6, ge=1, description="Tries of a request before the run stops.", json_schema_extra=NOT_IN_FINGERPRINT
    )

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, address: str) -> str:
        try:
            url = urlsplit(address)
            known = url.scheme in ("http", "https") and url.hostname and (url.port or True)
            known = known and not re.search(r"[@?#\\\s]", address) and httpx.URL(address).host
        except (ValueError, httpx.InvalidURL):  # also a name that IDNA does not know
            known = False
        if not known:
            raise Hidden("must be an address such as http://127.0.0.1:8000/v1, without user, query and fragment")
        return address.rstrip("/")

    @field_validator("api_key_variable")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise Hidden("must be the name of an environment variable (letters, digits and _), never the key itself")
        return name


class OpenAiModel:
    """The server's model; replies are free JSON where the server knows no JSON schema."""

    name, group = "openai", 1

    def __init__(self, settings: OpenAiSettings, temperature: float, top_p: float):
        """Raises UserError for a key that no server can be sent, and for a proxy or certificates of the environment
        that cannot be used."""
        self.settings, self.sampling = settings, {"temperature": temperature, "top_p": top_p}
        self.identity = [settings.model, self.sampling]
        self.schemas_taken, self.schemas_refused = 0, 0
        self.stopped = False
        access = authorization(settings.api_key_variable)
        self.key = access.get("Authorization", "").removeprefix("Bearer ")
        try:
            self.client = httpx.AsyncClient(
                headers={"Accept-Encoding": "identity", **access},
                timeout=settings.timeout,
                limits=httpx.Limits(max_connections=settings.concurrency),
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            raise UserError(
                f"captions: no connection can be made with the proxy or the certificates of the environment ({error}); "
                "correct or unset HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            ) from None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="captions", daemon=True).start()
        self.free, self.gate = asyncio.Semaphore(settings.concurrency), Gate(settings.concurrency)

    def ask(self, groups: list[list[Request]]) -> Iterator[tuple[int, list[str]]]:
        """Raises UserError if the server stays silent, keeps failing or refuses; what came before is handed out."""
        self.stopped, failure = False, None
        places = {
            asyncio.run_coroutine_threadsafe(self._reply(request), self.loop): place
            for place, (request,) in enumerate(groups)
        }
        try:
            for future in as_completed(places):
                try:
                    yield places[future], [future.result()]
                except CancelledError:
                    pass  # another request failed
                except UserError as error:
                    failure = failure or error
                    self._stop(places)
        finally:  # also where nobody wants the rest
            self._stop(places)
        if failure is not None:
            raise failure

    def _stop(self, futures: Iterable[Future]) -> None:
        self.stopped = True
        for future in futures:
            future.cancel()

    async def _reply(self, request: Request) -> str:
        """A failure stops the others before another one is sent."""
        async with self.free:
            try:
                for attempt in range(1, self.settings.tries + 1):
                    if self.stopped:
                        raise asyncio.CancelledError
                    try:
                        async with self.gate:
                            return await self._try(request)
                    except Passing as passing:
                        await self._wait(request, attempt, passing)
            except UserError:
                self.stopped = True
                raise
        raise AssertionError("the last try returns or raises")

    async def _wait(self, request: Request, attempt: int, passing: Passing) -> None:
        """Before the next try: as long as the server asks, else longer after each try."""
        if attempt == self.settings.tries:
            patience = (
                f", lower captions.openai.concurrency (now {self.settings.concurrency}) or raise "
                f"captions.openai.timeout (now {self.settings.timeout:g})"
                if isinstance(passing, TimedOut)
                else ""
            )
            raise UserError(
                f"captions: {self.settings.base_url}: {passing}, {attempt} times; check the server{patience}, then run "
                "again (received replies are kept)"
            )
        rng = keyed.python_random("backoff", request.digest, attempt)
        wait = passing.wait if passing.wait is not None else 2 ** (attempt - 1) * rng.uniform(0.5, 1)
        until = time.monotonic() + min(wait, LONGEST_WAIT)
        while not self.stopped and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))

    async def _try(self, request: Request) -> str:
        with_schema = self.schemas_taken > 0 or self.schemas_refused < REFUSALS
        reply = await self._post(request, with_schema)
        if with_schema and reply.ok:
            self.schemas_taken += 1
        elif with_schema and reply.status in SCHEMA_REFUSED:
            reply = await self._post(request, with_schema=False)
            self.schemas_refused += reply.ok
        if reply.status in MAY_PASS or reply.status >= 500:
            raise Passing(f"answers {reply.status}", retry_after(reply.headers))
        if reply.status in (401, 403):
            raise UserError(
                f"captions: {self.settings.base_url} refuses access ({reply.status}): put its key into the environment "
                f"variable {self.settings.api_key_variable}"
            )
        if not reply.ok:
            raise UserError(
                f"captions: {self.settings.base_url} refuses the request for model {self.settings.model!r} "
                f"({reply.status}): {reply.text}; correct captions.openai"
                + (" (max_tokens_field?)" if "max_completion_tokens" in reply.text else "")
            )
        return content(reply.body, self.key)

    async def _post(self, request: Request, with_schema: bool) -> Reply:
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "seed": request.seed,
            self.settings.max_tokens_field: request.max_tokens,
            **self.sampling,
        }
        if with_schema:
            schema = {"name": "captions", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await self._read(body)
        except (TimeoutError, httpx.TimeoutException):
            raise TimedOut(f"no answer within {self.settings.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Passing(f"cannot be reached ({without_key(str(error), self.key)})") from None
        except (OSError, ValueError, httpx.InvalidURL) as error:  # a host or a proxy that is no name
            raise UserError(
                f"captions: {self.settings.base_url} cannot be asked ({without_key(str(error), self.key)}); correct "
                "captions.openai.base_url, or the proxy of the environment"
            ) from None

    async def _read(self, body: dict[str, Any]) -> Reply:
        """The answer, as far as LONGEST_REPLY allows; compressed ones were not asked for and are not unpacked."""
        async with self.client.stream("POST", f"{self.settings.base_url}/chat/completions", json=body) as response:
            if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
                raise Passing("answers with a compressed body, which was not asked for")
            received = bytearray()
            async for part in response.aiter_raw():
                received += part
                if len(received) > LONGEST_REPLY:
                    raise Passing(f"answers with more than {LONGEST_REPLY:,} bytes")
            return Reply(response.status_code, response.headers, bytes(received), self.key)
