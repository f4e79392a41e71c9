"""A stand-in for the Hugging Face Hub on this machine, asked through the real client.

It holds models and datasets in memory, lists them, serves ranges of their files, and fails as the
Hub and the way to it do, where a test asks for that.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from conftest import ROOT


def commit_of(repo: str, revision: str) -> str:
    return hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """`server.repos`: "owner/name" or "datasets/owner/name" -> revision -> {path: bytes}."""

    protocol_version = "HTTP/1.1"

    def do_GET(self, body: bool = True) -> None:
        url = urlsplit(self.path)
        # What follows the repository: revision, tree and paths-info of the API, or resolve.
        found = re.fullmatch(r"/(?:api/)?((?:datasets/|models/)?[^/]+/[^/]+)(?:/(.*))?", url.path)
        repo, rest = found[1].removeprefix("models/"), found[2] or "revision/main"
        action, _, rest = rest.partition("/")
        revisions = self.server.repos.get(repo)
        if revisions is None:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        names = {quoted: name for name in revisions
                 for quoted in (name, name.replace("/", "%2F"), commit_of(repo, name))}  # fmt: skip
        asked = max((n for n in names if f"{rest}/".startswith(f"{n}/")), key=len, default=None)
        if asked is None:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        files, commit = revisions[names[asked]], commit_of(repo, names[asked])
        path = unquote(rest[len(asked) :].strip("/"))
        if action == "resolve":
            return self.send_file(files, path, commit, body)
        if action == "tree":
            deep = parse_qs(url.query).get("recursive", ["false"])[0].lower() == "true"
            listed = list(entries(files, path, deep))
        elif action == "paths-info":
            paths = parse_qs(self.read_body().decode()).get("paths", [])
            everything = {entry["path"]: entry for entry in entries(files, "", True)}
            listed = [everything[name] for name in paths if name in everything]
        else:
            listed = {"id": repo.removeprefix("datasets/"), "sha": commit,
                      "siblings": [{"rfilename": name} for name in files]}  # fmt: skip
        return self.answer(200, json.dumps(listed).encode(), {}, body)

    do_POST = do_GET

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send_file(self, files: dict, path: str, commit: str, body: bool) -> None:
        if path not in files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        data, status = files[path], 200
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(asked[1]), int(asked[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data, status = data[start : end + 1], 206
        failure = self.server.failures.pop(0) if body and self.server.failures else None
        if failure == "drop":  # half of what was promised, and the line is dead
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return None
        if failure:
            return self.answer(failure, b"", {}, body)
        self.server.sent += len(data) if body else 0
        return self.answer(status, data, headers, body)

    def answer(self, status: int, data: bytes, headers: dict, body: bool) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_) -> None:
        pass


def entries(files: dict[str, bytes], folder: str, deep: bool):
    """What the tree API lists in a folder."""
    seen = set()
    for name, data in files.items():
        if folder and not name.startswith(f"{folder}/"):
            continue
        parts = name.removeprefix(f"{folder}/" if folder else "").split("/")
        for depth in range(1, len(parts) if deep else min(2, len(parts))):
            path = "/".join(filter(None, (folder, *parts[:depth])))
            if path not in seen:
                seen.add(path)
                yield {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
        if deep or len(parts) == 1:
            oid = hashlib.sha1(data).hexdigest()
            yield {"type": "file", "path": name, "size": len(data), "oid": oid}


@contextmanager
def stand_in_hub(repos: dict, home: Path):
    """The server, with `run(code)`: Python code as its client, in a fresh process.

    `failures` are what becomes of the next downloads: a status, or "drop"; `sent` counts the bytes
    of files that were served.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.repos, server.failures, server.sent = repos, [], 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip

    def run(code: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT,
                              capture_output=True, text=True)  # fmt: skip

    server.run, server.environment = run, environment
    yield server
    server.shutdown()
