"""A server of this process that speaks what the Hugging Face Hub speaks for uploads to a dataset repository."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

APART = (".parquet", ".tar")  # stored as LFS objects, like the hub's default


class Hub(ThreadingHTTPServer):
    """`files`: what the one repository holds; `commits`: the paths of each commit; `settings`: what was set."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.exists, self.private, self.settings = False, None, {}
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.commits: list[list[str]] = []
        self.refuse_after: int | None = None  # commits


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, document, status: int = 200, **headers):
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
        ).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        if not self.path.startswith("/api/datasets/salmu/tiny/tree/main?") or not self.server.exists:
            return self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        self.answer([described(name, content) for name, content in sorted(self.server.files.items())])

    def do_PUT(self):
        if self.path.endswith("/settings"):
            self.server.settings |= json.loads(self.body())
            return self.answer({})
        self.server.objects[self.path.rpartition("/")[2]] = self.body()
        self.answer({})

    def do_POST(self):
        body = self.body()
        if self.path == "/api/repos/create":
            if self.server.exists:
                return self.answer(
                    {"error": "You already created this dataset repo", "url": f"{self.server.url}/datasets/salmu/tiny"},
                    409,
                )
            asked = json.loads(body)
            self.server.exists, self.server.private = True, asked.get("private") or asked.get("visibility") == "private"
            assert (asked["organization"], asked["name"], asked["type"]) == ("salmu", "tiny", "dataset")
            return self.answer({"url": f"{self.server.url}/datasets/salmu/tiny"})
        if self.path == "/api/datasets/salmu/tiny/preupload/main":
            modes = {True: "lfs", False: "regular"}
            names = [file["path"] for file in json.loads(body)["files"]]
            return self.answer(
                {
                    "files": [
                        {"path": name, "uploadMode": modes[name.endswith(APART)], "shouldIgnore": False}
                        for name in names
                    ]
                }
            )
        if self.path == "/datasets/salmu/tiny.git/info/lfs/objects/batch":
            return self.answer({"objects": [self.wanted(file) for file in json.loads(body)["objects"]]})
        if self.path == "/api/validate-yaml":
            assert yaml.safe_load(json.loads(body)["content"].split("---")[1])["configs"]
            return self.answer({"errors": [], "warnings": []})
        assert self.path == "/api/datasets/salmu/tiny/commit/main", self.path
        self.commit([json.loads(line) for line in body.splitlines()])

    def wanted(self, file: dict) -> dict:
        href = f"{self.server.url}/objects/{file['oid']}"
        there = file["oid"] in self.server.objects
        return file | ({} if there else {"actions": {"upload": {"href": href, "header": {}}}})

    def commit(self, lines: list[dict]):
        if self.server.refuse_after == len(self.server.commits):
            return self.answer({"error": "You have exceeded your quota"}, 403)
        paths = []
        for line in lines[1:]:
            value = line["value"]
            paths.append(value["path"])
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.objects[value["oid"]]
            else:
                assert line["key"] == "deletedFile"
                del self.server.files[value["path"]]
        self.server.commits.append(paths)
        self.answer({"commitUrl": f"{self.server.url}/datasets/salmu/tiny/commit/{'a' * 40}", "commitOid": "a" * 40})


def described(name: str, content: bytes) -> dict:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry = {"type": "file", "path": name, "size": len(content), "oid": blob}
    if name.endswith(APART):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


@pytest.fixture
def hub_server(monkeypatch) -> Hub:
    """A running hub without any repository, which this process's client uses."""
    from huggingface_hub import constants

    server = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # LFS objects by plain HTTP
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
