"""What an OpenAI-compatible server answers: chat completions, or failures that may pass; and how many requests it is
sent at once."""

import asyncio
import email.utils
import json
import os
import time

import httpx

from salmu.data.errors import UserError


class Passing(Exception):
    """A try that failed by something that may pass. `wait`: seconds that the server asks for, or None."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class TimedOut(Passing):
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
            if isinstance(error, TimedOut):
                self.limit = max(1.0, self.limit / 2)
            elif error is None:
                self.limit = min(self.most, self.limit + 1 / self.limit)
            self.changed.notify_all()


class Reply:
    """Status, headers and body of an answer to a request with a key."""

    def __init__(self, status: int, headers: httpx.Headers, body: bytes, key: str = ""):
        self.status, self.headers, self.body, self.key = status, headers, body, key

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The beginning of the body, for messages."""
        return without_key(self.body.decode("utf-8", "replace"), self.key)[:200]


def without_key(text: str, key: str) -> str:
    """What a server says, without the API key that it may repeat; words of up to three letters are no key."""
    for form in (key, key.replace("/", "\\/")) if len(key) > 3 else ():  # JSON may write a slash as \\/
        text = text.replace(form, "[API key]")
    return text


def content(body: bytes, key: str = "") -> str:
    """The text of a chat completion; empty where the model said nothing. Text that comes in parts is joined. `key`:
    that of the request, left out where an error repeats it."""
    try:
        answer = json.loads(body)
        if isinstance(answer, dict) and answer.get("error"):
            error = answer["error"]
            told = error.get("message", error) if isinstance(error, dict) else error
            raise Passing(f"answers with an error: {without_key(str(told), key)[:200]}")
        text = answer["choices"][0]["message"]["content"]
        if isinstance(text, list):
            text = "".join(part["text"] for part in text if part.get("type", "text") == "text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        text = body  # no text at all
    if not isinstance(text, str | None):
        raise Passing("answers something that is no chat completion")
    return (text or "").encode("utf-8", "replace").decode()  # JSON may hold halves of characters


def authorization(variable: str) -> dict[str, str]:
    """The header with the key that an environment variable holds, if it holds one."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(
            f"captions: the environment variable {variable} holds no API key: it must be one printable word"
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


def retry_after(headers: httpx.Headers) -> float | None:
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
