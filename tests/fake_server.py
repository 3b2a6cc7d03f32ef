"""An OpenAI-compatible server for tests: a real HTTP server whose model words facts with the grammar's sentences, and
which can be told to misbehave."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from salmu.data import keyed
from salmu.tasks.captions import prompting
from salmu.tasks.captions.grammar import PRONOUNS, Grammar, drawn


class Answer(NamedTuple):
    content: str = ""  # the text of the completion
    status: int = 200
    headers: dict[str, str] = {}
    body: str | None = None  # in the place of a completion
    silent: bool = False  # take the request and never answer
    slow: float = 0  # seconds between two bytes of the whole answer, its first line included
    endless: bool = False  # the body never ends


class FakeServer:
    """`answer(prompt, times, server)` decides what is answered; `times`: how often the prompt was asked, with this."""

    def __init__(self, answer: Callable[[str, int, "FakeServer"], Answer] | None = None):
        self.answer = answer or (lambda prompt, times, server: Answer(server.good(prompt)))
        self.grammar, self.prompts = Grammar(), prompting.load()
        self.asked, self.answered = Counter(), Counter()  # prompt with its seed -> times
        self.bodies, self.headers, self.times = [], [], []
        self.busy, self.busiest = 0, 0
        self.lock, self.closing = threading.Lock(), threading.Event()

    def __enter__(self):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        return self

    def __exit__(self, *error):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def sentences(self, prompt: str) -> dict[str, str]:
        """A sound sentence for each style that is asked for."""
        fact, pronouns, styles = re.search(
            r"Fact: (.*)\nPronouns for \[\[N\]\]: (.*), or none.\nStyles, in this order: (.*)\n", prompt
        ).groups()
        field = next(field for field, facts in self.prompts.facts.items() if fact in facts)
        gender = "female" if "she" in pronouns else "male"
        slots = PRONOUNS[gender] | {slot.capitalize(): form.capitalize() for slot, form in PRONOUNS[gender].items()}
        slots |= {"name": "[[N]]", "value": "[[V]]", "a": "[[A]]", "A": "[[A]]"}
        rng = keyed.python_random("fake server", prompt)
        return {
            style: drawn(rng.choice(self.grammar.prompts.sentences(field, style)), rng).format_map(slots)
            for style in styles.split(", ")
        }

    def good(self, prompt: str) -> str:
        return json.dumps(self.sentences(prompt))

    def _take(self, body: dict, headers) -> tuple[Answer, str]:
        key = f"{body['messages'][0]['content']} {body['seed']}"
        with self.lock:
            self.asked[key] += 1
            self.bodies.append(body)
            self.headers.append(dict(headers))
            self.times.append(time.monotonic())
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            times = self.asked[key]
        return self.answer(body["messages"][0]["content"], times, self), key

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/v1/chat/completions"
                answer, key = server._take(body, self.headers)
                if answer.silent:
                    server.closing.wait(60)
                with server.lock:
                    server.busy -= 1
                if answer.silent:
                    return
                text = answer.body
                if text is None:
                    text = json.dumps({"choices": [{"message": {"content": answer.content}, "finish_reason": "stop"}]})
                if answer.slow:
                    return self.drip(text.encode(), answer.slow)
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                if answer.endless:
                    self.end_headers()
                    return self.pour(text.encode())
                self.send_header("Content-Length", str(len(text.encode())))
                try:
                    self.end_headers()
                    self.wfile.write(text.encode())
                except OSError:  # the client was stopped
                    return
                if answer.status == 200:
                    with server.lock:
                        server.answered[key] += 1

            def drip(self, body: bytes, seconds: float):
                """The answer byte by byte, until the client has had enough."""
                for byte in b"HTTP/1.0 200 OK\r\n\r\n" + body:
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return
                    server.closing.wait(seconds)

            def pour(self, body: bytes):
                """The same bytes again and again, until the client has had enough."""
                while not server.closing.is_set():
                    try:
                        self.wfile.write(body * 1000)
                    except OSError:
                        return

            def log_message(self, *args):
                pass

        return Handler
