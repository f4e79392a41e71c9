"""Checkpoints from the Hub, through the real client against a stand-in server on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import ROOT

# What the stand-in holds: repository -> revision -> folder with the files.
REFERENCE = ROOT / "tests" / "reference"


class StandIn(BaseHTTPRequestHandler):
    """The few answers of the Hub that a download asks for; `server.repos` is what it holds."""

    protocol_version = "HTTP/1.1"

    def do_GET(self, body=True):
        parts = self.path.split("?")[0].strip("/").split("/")
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        revision = "/".join(parts[5:] if parts[0] == "api" else parts[3:4]).replace("%2F", "/")
        revisions = self.server.repos.get(repo)
        if revisions is None:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
        commits = {commit_of(repo, r): r for r in revisions}
        revision = commits.get(revision, revision)
        if revision not in revisions:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
        files, commit = revisions[revision], commit_of(repo, revision)
        if parts[0] != "api":
            data = files["/".join(parts[4:])]
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            return self.answer(200, data, {"ETag": etag, "X-Repo-Commit": commit}, body)
        if parts[4] == "tree":
            found = [{"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                     for n, d in files.items()]  # fmt: skip
        else:
            found = {"id": repo, "sha": commit, "siblings": [{"rfilename": n} for n in files]}
        return self.answer(200, json.dumps(found).encode(), {}, body)

    def do_HEAD(self):
        self.do_GET(body=False)

    def answer(self, status, data, headers, body):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def commit_of(repo, revision):
    return hashlib.sha1(f"{repo}@{revision}".encode()).hexdigest()


@pytest.fixture
def hub(tmp_path):
    """A stand-in Hub, and a function that runs Python code as its client in a fresh process."""
    files = {p.name: p.read_bytes() for p in (REFERENCE / "hubert-large").iterdir()}
    config_only = {"config.json": files["config.json"]}
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.repos = {
        "someone/new": {"main": files},
        "someone/old": {"main": config_only | {"pytorch_model.bin": b"x"}, "refs/pr/2": files},
        "someone/empty": {"main": config_only},
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def client(code):
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        command = [sys.executable, "-c", f"from tinyaudio import *\n{code}"]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    yield client
    server.shutdown()


@pytest.mark.parametrize("repo", ["someone/new", "someone/old"])
def test_weights_come_from_main_or_from_the_pull_request_that_has_safetensors(hub, repo):
    norm = "print(sum(p.norm().item() for p in Hubert.from_pretrained({!r}).parameters()))"
    assert float(hub(norm.format(repo))) == float(hub(norm.format(str(REFERENCE / "hubert-large"))))


@pytest.mark.parametrize(
    ("repo", "sentence"),
    [
        ("someone/empty", "holds no model*.safetensors and no pytorch_model.bin"),
        ("someone/missing", "someone/missing: no such folder, and not to be had from the Hugging"),
        ("not a name", "not a name: no such folder, and not to be had"),
    ],
)
def test_what_cannot_be_had_is_said(hub, repo, sentence):
    assert sentence in hub(f"Hubert.from_pretrained({repo!r})")
