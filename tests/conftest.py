"""What the tests share: the repository on the path, no network, and four helpers."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # `pytest -n 2` has a core for each of its two

import pytest
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
# torchrun's port: two tests at a time would take the same.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
os.environ.setdefault("PET_MASTER_PORT", str(29500 + int(WORKER)))


def requires(package: str):
    """The package, a test oracle; without it the file that asks for it is skipped."""
    return pytest.importorskip(package)


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Noise on every parameter: at its start a norm is 1 and 0, and a swapped one stays unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            scale = 0.3 if p.ndim == 1 else p[0].numel() ** -0.5
            p += scale * torch.randn(p.shape, generator=generator)
    return model.eval().requires_grad_(False)


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Equal up to `tolerance` times the largest value; `pytest -rP` prints the errors."""
    assert ours.shape == theirs.shape
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"relative error {error:.1e}")
    assert error <= tolerance


ROOT = Path(__file__).parents[1]


def run(*arguments, cwd=ROOT, **options) -> subprocess.CompletedProcess:
    """Python in a process of its own, with what a test has set; stderr without progress bars."""
    command = [sys.executable, *map(str, arguments)]
    environment = {"MPLCONFIGDIR": "/tmp/matplotlib"} | os.environ | {"TQDM_DISABLE": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, **options
    )


def run_script(script: str, *arguments, **options) -> subprocess.CompletedProcess:
    """A command of the project: `python SCRIPT ...`."""
    return run(ROOT / script, *arguments, **options)


def run_module(name: str, *arguments, **options) -> subprocess.CompletedProcess:
    """`python -m NAME ...`, the project on the path: in another folder too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        return run("-m", name, *arguments, **options)


@pytest.fixture
def tiny_audio(tmp_path) -> Path:
    """One and a half seconds of a rising tone in noise: audio, if no speech."""
    seconds = torch.arange(24_000) / 16_000
    wave = 0.3 * torch.sin(2 * torch.pi * (200 + 200 * seconds) * seconds)
    wave += 0.01 * torch.randn(24_000, generator=torch.Generator().manual_seed(0))
    soundfile.write(tmp_path / "tone.wav", wave.numpy(), 16_000)
    return tmp_path / "tone.wav"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """A manifest of 48 noises of 0.3 to 3 s with texts: enough to train a few steps on."""
    folder, rng = tmp_path_factory.mktemp("corpus"), random.Random(0)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for i in range(48):
        wave = torch.randn(rng.randint(4_800, 48_000), generator=generator) * 0.1
        soundfile.write(folder / f"{i}.wav", wave.numpy(), 16_000)
        text = " ".join(rng.choices(["turn", "on", "the", "light", "seven", "blue"], k=4))
        rows.append({"audio": f"{i}.wav", "text": text, "duration": len(wave) / 16_000})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest
