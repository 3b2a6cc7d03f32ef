"""Engine `openai`: a language model behind an OpenAI-compatible server (`vllm serve`, llama.cpp's server, others).

The server is not trusted: a reply has a bounded size and a bounded time, from the first byte sent to the last byte
received, and anything but a chat completion is an error of one line."""

import asyncio
import email.utils
import json
import os
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
from salmu.data.settings import NOT_IN_FINGERPRINT, Settings
from salmu.tasks.captions.prompting import Request

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
            known = url.scheme in ("http", "https") and url.hostname and (url.port or True) and not url.fragment
            httpx.URL(address)
        except (ValueError, httpx.InvalidURL):
            known = False
        if not known:
            raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
        return address.rstrip("/")


class _Passing(Exception):
    """A try that failed by something that may pass. `wait`: seconds that the server asks for, or None."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class _TimedOut(_Passing):
    """A try that the server did not answer in time."""


class Gate:
    """Lets requests through, `most` at once: half as many after a time-out, and one more after as many answers as it
    lets through."""

    def __init__(self, most: int):
        self.most, self.limit, self.busy = most, float(most), 0
        self.changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.busy < int(self.limit))
            self.busy += 1

    async def __aexit__(self, kind, error, trace) -> None:
        async with self.changed:
            self.busy -= 1
            if isinstance(error, _TimedOut):
                self.limit = max(1.0, self.limit / 2)
            elif error is None:
                self.limit = min(self.most, self.limit + 1 / self.limit)
            self.changed.notify_all()


class _Reply:
    """Status, headers and body of an answer."""

    def __init__(self, status: int, headers: httpx.Headers, body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The beginning of the body, for messages."""
        return self.body[:200].decode("utf-8", "replace")


class OpenAiModel:
    """The server's model; replies are free JSON where the server knows no JSON schema."""

    name, group = "openai", 1

    def __init__(self, settings: OpenAiSettings, temperature: float, top_p: float):
        """Raises UserError for a key that no server can be sent."""
        self.settings, self.sampling = settings, {"temperature": temperature, "top_p": top_p}
        self.identity = [settings.model, self.sampling]
        self.schemas_taken, self.schemas_refused = 0, 0
        self.stopped = False
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="captions", daemon=True).start()
        self.client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **_authorization(settings.api_key_variable)},
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=settings.concurrency),
        )
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
                    except _Passing as passing:
                        await self._wait(request, attempt, passing)
            except UserError:
                self.stopped = True
                raise
        raise AssertionError("the last try returns or raises")

    async def _wait(self, request: Request, attempt: int, passing: _Passing) -> None:
        """Before the next try: as long as the server asks, else longer after each try."""
        if attempt == self.settings.tries:
            patience = (
                f", lower captions.openai.concurrency (now {self.settings.concurrency}) or raise "
                f"captions.openai.timeout (now {self.settings.timeout:g})"
                if isinstance(passing, _TimedOut)
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
            raise _Passing(f"answers {reply.status}", _retry_after(reply.headers))
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
        return content(reply.body)

    async def _post(self, request: Request, with_schema: bool) -> _Reply:
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
            raise _TimedOut(f"no answer within {self.settings.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise _Passing(f"cannot be reached ({error})") from None

    async def _read(self, body: dict[str, Any]) -> _Reply:
        """The answer, as far as LONGEST_REPLY allows; compressed ones were not asked for and are not unpacked."""
        async with self.client.stream("POST", f"{self.settings.base_url}/chat/completions", json=body) as response:
            if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
                raise _Passing("answers with a compressed body, which was not asked for")
            received = bytearray()
            async for part in response.aiter_raw():
                received += part
                if len(received) > LONGEST_REPLY:
                    raise _Passing(f"answers with more than {LONGEST_REPLY:,} bytes")
            return _Reply(response.status_code, response.headers, bytes(received))


def content(body: bytes) -> str:
    """The text of a chat completion; empty where the model said nothing. Text that comes in parts is joined."""
    try:
        answer = json.loads(body)
        if isinstance(answer, dict) and answer.get("error"):
            error = answer["error"]
            told = error.get("message", error) if isinstance(error, dict) else error
            raise _Passing(f"answers with an error: {str(told)[:200]}")
        text = answer["choices"][0]["message"]["content"]
        if isinstance(text, list):
            text = "".join(part["text"] for part in text if part.get("type", "text") == "text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        text = body  # no text at all
    if not isinstance(text, str | None):
        raise _Passing("answers something that is no chat completion")
    return (text or "").encode("utf-8", "replace").decode()  # JSON may hold halves of characters


def _authorization(variable: str) -> dict[str, str]:
    """The header with the key that an environment variable holds, if it holds one."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(
            f"captions: the environment variable {variable} holds no API key: it must be one printable word"
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that the header Retry-After asks for: a number or a date."""
    header = headers.get("Retry-After", "")
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
