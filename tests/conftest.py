"""What the tests share: the repository on the path, no network, and three helpers."""

import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported


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
