"""Checkpoints from the Hub, through the real client against a stand-in server on this machine."""

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from stand_in_hub import stand_in_hub

REFERENCE = ROOT / "tests" / "reference"


@pytest.fixture
def hub(tmp_path):
    """A function that runs Python code as the client of a Hub with three repositories."""
    files = {p.name: p.read_bytes() for p in (REFERENCE / "hubert-large").iterdir()}
    config_only = {"config.json": files["config.json"]}
    weights = {k: 2 * v for k, v in load_file(REFERENCE / "hubert-large/model.safetensors").items()}
    torch.save(weights, tmp_path / "doubled.bin")
    doubled = (tmp_path / "doubled.bin").read_bytes()
    repos = {
        "someone/new": {"main": files},
        "someone/old": {"main": config_only | {"pytorch_model.bin": doubled}, "refs/pr/2": files},
        "someone/empty": {"main": config_only},
    }

    def client(code):
        done = server.run(f"from tinyaudio import *\n{code}")
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    with stand_in_hub(repos, tmp_path) as server:
        yield client


@pytest.mark.parametrize(
    ("repo", "times"), [("someone/new", 1), ("someone/old@refs/pr/2", 1), ("someone/old", 2)]
)
def test_weights_come_from_main_or_from_the_revision_that_is_named(hub, repo, times):
    """Fails if a pull request, which anybody can open, is asked for weights that main has."""
    norm = "print(sum(p.norm().item() for p in Hubert.from_pretrained({!r}).parameters()))"
    ours = float(hub(norm.format(str(REFERENCE / "hubert-large"))))
    assert float(hub(norm.format(repo))) == pytest.approx(times * ours)


@pytest.mark.parametrize(
    ("repo", "sentence"),
    [
        ("someone/empty", "holds no model*.safetensors and no pytorch_model.bin"),
        ("someone/missing", "someone/missing: no such folder, and not to be had from the Hugging"),
        ("not a name", "not a name: no such folder, and not to be had"),
        ("someone/new@v2", "someone/new@v2: no such folder, and not to be had"),
    ],
)
def test_what_cannot_be_had_is_said(hub, repo, sentence):
    assert sentence in hub(f"Hubert.from_pretrained({repo!r})")
