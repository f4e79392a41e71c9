"""What the benchmarks that train share: a run in a process of its own, and its word error rate."""

import os
import subprocess
import sys
from pathlib import Path

from data import load_sources
from eval import evaluate
from tinyaudio import TinyAudio

ROOT = Path(__file__).parents[1]


def word_errors(model: str | Path, sources: tuple, beams: int = 1, kind=TinyAudio) -> float:
    """WER of a saved model on manifests or other sources, words as they stand."""
    utterances = load_sources(tuple(map(str, sources)))
    return evaluate(kind.from_pretrained(model), utterances, "none", beams)[1]["raw_wer"]


def run_training(config: str, *overrides: str) -> None:
    """train.py in a process of its own. Raises ValueError with its last line where it fails."""
    command = [sys.executable, str(ROOT / "train.py"), "--config", config, *overrides]
    quiet = os.environ | {"TQDM_DISABLE": "1"}  # or the last line would be the bar
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ValueError(f"{' '.join(command)}: {said[-1]}")
