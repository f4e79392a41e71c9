"""A stand-in for the Hugging Face Hub on this machine, asked through the real client.

It holds models, datasets and Spaces in memory, lists them, serves ranges of their files, takes new
ones (create, preupload, Git LFS, commit), and fails as the Hub and the way to it do, where a test
asks for that.
"""

import base64
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

LARGE = (".safetensors", ".png", ".wav")  # what the Hub keeps in Git LFS


def commit_of(repo: str, revision: str, number: int = 0) -> str:
    return hashlib.sha1(f"{repo}@{revision}@{number}".encode()).hexdigest()


def git_oid(path: str, data: bytes) -> str:
    """What identifies a file's content on the Hub: Git's checksum of it, or that of LFS."""
    if path.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """`server.repos`: "owner/name" or "datasets/owner/name" -> revision -> {path: bytes}.

    `server.tokens`: token -> "write" or "read". Only writing asks for one.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self, body: bool = True) -> None:
        url = urlsplit(self.path)
        # What follows the repository: revision, tree and paths-info of the API, or resolve.
        kinds = "(?:datasets/|spaces/|models/)?"
        found = re.fullmatch(rf"/(?:api/)?({kinds}[^/]+/[^/]+)(?:/(.*))?", url.path)
        repo, rest = found[1].removeprefix("models/"), found[2] or "revision/main"
        action, _, rest = rest.partition("/")
        revisions = self.server.repos.get(repo)
        if revisions is None:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        names = {
            quoted: name for name in revisions
            for quoted in (name, name.replace("/", "%2F"), self.commit(repo, name))
        }  # fmt: skip
        asked = max((n for n in names if f"{rest}/".startswith(f"{n}/")), key=len, default=None)
        if asked is None:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        files, commit = revisions[names[asked]], self.commit(repo, names[asked])
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
            listed = {"id": re.sub("^(datasets|spaces)/", "", repo), "sha": commit,
                      "private": repo in self.server.private,
                      "siblings": [{"rfilename": name} for name in files]}  # fmt: skip
        return self.answer(200, json.dumps(listed).encode(), {}, body)

    def commit(self, repo: str, revision: str) -> str:
        return commit_of(repo, revision, self.server.commits.count(repo))

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        if url.path.rpartition("/")[0].endswith("paths-info"):  # it only reads
            return self.do_GET()
        length = int(self.headers.get("Content-Length", 0))
        request = self.rfile.read(length)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if url.path == "/api/validate-yaml":
            return self.answer_json({"errors": [], "warnings": []})
        if token not in self.server.tokens:
            return self.answer(401, b"", {"X-Error-Message": "Invalid credentials"}, True)
        if self.server.tokens[token] != "write":
            return self.answer(403, b"", {"X-Error-Message": "Forbidden"}, True)
        if url.path == "/api/repos/create":
            return self.create(json.loads(request))
        found = re.fullmatch(
            r"/(?:api/)?(?:models/)?((?:spaces/)?[^/]+/[^/]+?)"
            r"(?:\.git/info/lfs/objects/(batch)|/(preupload|commit)/main)", url.path,
        )  # fmt: skip
        action = found[2] or found[3]
        return getattr(self, f"post_{action}")(found[1], request)

    def create(self, wanted: dict) -> None:
        kind, name = wanted.get("type", "model"), f"{wanted['organization']}/{wanted['name']}"
        repo = name if kind == "model" else f"{kind}s/{name}"
        url = {"url": f"{self.server.url}/{repo}"}
        if repo in self.server.repos:
            return self.answer_json(url, 409)
        self.server.repos[repo] = {"main": {}}
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.server.private.add(repo)
        return self.answer_json(url)

    def post_preupload(self, repo: str, request: bytes) -> None:
        files = self.server.repos[repo]["main"]
        return self.answer_json({"files": [
            {"path": f["path"], "shouldIgnore": False,
             "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
             "oid": git_oid(f["path"], files[f["path"]]) if f["path"] in files else None}
            for f in json.loads(request)["files"]
        ]})  # fmt: skip

    def post_batch(self, repo: str, request: bytes) -> None:
        return self.answer_json({"transfer": "basic", "objects": [
            wanted if wanted["oid"] in self.server.large else wanted | {"actions": {
                "upload": {"href": f"{self.server.url}/large/{wanted['oid']}"}}}
            for wanted in json.loads(request)["objects"]
        ]})  # fmt: skip

    def do_PUT(self) -> None:
        """A large file arrives; where `failures` says "cut", half of it."""
        length, oid = int(self.headers["Content-Length"]), self.path.rpartition("/")[2]
        failure = self.server.failures.pop(0) if self.server.failures else None
        data = self.rfile.read(length // 2 if failure == "cut" else length)
        self.server.received += len(data)
        if failure == "cut":
            self.close_connection = True
            return None
        if failure:
            return self.answer(failure, b"", {}, True)
        assert hashlib.sha256(data).hexdigest() == oid
        self.server.large[oid] = data
        return self.answer(200, b"", {}, True)

    def post_commit(self, repo: str, request: bytes) -> None:
        files = self.server.repos[repo]["main"]
        for line in map(json.loads, request.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif value.get("parentCommit", self.commit(repo, "main")) != self.commit(repo, "main"):
                return self.answer(412, b"", {"X-Error-Message": "the branch has moved"}, True)
        self.server.commits.append(repo)
        commit = self.commit(repo, "main")
        url = f"{self.server.url}/{repo}/commit/{commit}"
        return self.answer_json({"success": True, "commitOid": commit, "commitUrl": url})

    def answer_json(self, value: dict, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"}, True)

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

    `failures` are what becomes of the next downloads (a status, or "drop") and uploads (a status,
    or "cut"); `sent` and `received` count the bytes of files; `commits` are the repositories
    committed to.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.repos, server.failures, server.sent, server.received = repos, [], 0, 0
    server.tokens, server.large, server.commits, server.private = {}, {}, [], set()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | {
        "HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip

    def run(code: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT,
                              capture_output=True, text=True)  # fmt: skip

    server.run, server.environment = run, environment
    yield server
    server.shutdown()
