"""A headless Chromium driven through the DevTools protocol: enough to open a page, act on it, and measure it."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-extensions --hide-scrollbars --remote-debugging-port=0"
).split()


class Chromium:
    """One page of a browser of its own. A context manager. `problems`: what the console or the page complained of;
    `peak`: the most of what `memory` said, four times a second."""

    def __enter__(self) -> "Chromium":
        path = next(filter(None, map(shutil.which, NAMES)), None)
        if not path:
            raise SystemExit("no chromium on this machine; install one and run again")
        self._profile = tempfile.mkdtemp(prefix="salmu-chromium-")
        command = [path, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = Path(self._profile) / "DevToolsActivePort"
        while not port_file.exists() or not port_file.read_text().strip():
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        pages = []
        while not pages:
            with urlopen(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
        self._socket = connect(pages[0]["webSocketDebuggerUrl"], max_size=None)
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        self.peak = (0, 0)
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._socket.close()
        processes = [self._process, *psutil.Process(self._process.pid).children(recursive=True)]
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def send(self, method: str, **parameters) -> dict:
        """A command's answer. Raises RuntimeError for a refused one."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._note(message)

    def evaluate(self, script: str):
        """The value of an expression in the page; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 20) -> float:
        """Seconds until an expression is true. Raises TimeoutError."""
        start = time.perf_counter()
        while not self.evaluate(f"!!({script})"):
            if time.perf_counter() - start > seconds:
                raise TimeoutError(f"not true after {seconds} s: {script}; {self.problems}")
            time.sleep(0.01)
        return time.perf_counter() - start

    def open(self, page: Path, hash_: str = "") -> None:
        self.send("Page.navigate", url=page.resolve().as_uri() + hash_)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """Of the window, in CSS pixels, and which colours the system prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)

    def key(self, name: str, text: str = "") -> None:
        codes = {"Enter": 13, "Escape": 27, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowLeft": 37}
        codes |= {"ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
        code = {"key": name, "windowsVirtualKeyCode": codes.get(name, ord(name[0]))}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **code)
        self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def memory(self) -> tuple[int, int]:
        """Megabytes of the page's process, and of all processes of the browser together, the page's among them; of
        memory that processes share each has its part (proportional set size)."""
        sizes, pages = [0], [0]
        for process in [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]:
            try:
                sizes.append(process.memory_full_info().pss // 10**6)
                if "--type=renderer" in process.cmdline():
                    pages.append(sizes[-1])
            except psutil.Error:
                pass
        return max(pages), sum(sizes)

    def _watch(self) -> None:
        while not self._stopped.wait(0.25):
            try:
                self.peak = tuple(map(max, self.peak, self.memory()))
            except psutil.Error:
                return

    def _note(self, message: dict) -> None:
        parameters = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif message["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.problems.append(str([argument.get("value") for argument in parameters["args"]]))
        elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(parameters["entry"]["text"])
