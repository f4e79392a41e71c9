"""What the course's pictures share, and those of units.py: a spectrogram, strips of frames, curves.

Shape letters: see tinyaudio.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image  # matplotlib brings it
from torch import Tensor

from audio import SAMPLE_RATE
from course.clusters import Task
from tinyaudio import Hubert

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PICTURES = Path(__file__).parent / "pictures"
DPI = 120
FRAME = 0.02  # seconds between two frames
GUESSES = {
    "model": "the model",
    "copied": "copying the nearest visible frame",
    "frequent": "the utterance's most frequent visible unit",
}


@contextmanager
def picture(path: Path, rows: int = 1, columns: int = 1, size=(8.0, 4.5), **options) -> Iterator:
    """A figure's axes, saved to `path` at the end, in 256 colours: a small file."""
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", **options)
    yield axes
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.set_dpi(DPI)
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    image.quantize(256).save(path, optimize=True)
    plt.close(figure)


def frame_edges(hubert: Hubert, frames: int) -> tuple[float, float]:
    """Where a strip of so many frames begins and ends, in seconds: each around the middle of the
    waveform samples that it sees."""
    start = hubert.min_samples / 2 / SAMPLE_RATE - FRAME / 2
    return start, start + frames * FRAME


def draw_spectrogram(axes, waveform: Tensor) -> None:
    """Power in dB over time and frequency; a waveform (T,), windows of 25 ms every 5 ms."""
    window, hop = 400, 80
    spectrum = torch.stft(
        waveform, window, hop, window=torch.hann_window(window), return_complex=True
    )
    power = 20 * (spectrum.abs() + 1e-5).log10()
    extent = (0, len(waveform) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
    axes.imshow(power, origin="lower", aspect="auto", extent=extent, cmap="magma",
                vmin=power.max() - 70)  # fmt: skip
    axes.set(ylabel="frequency, kHz")


def draw_units(
    path: Path, waveform: Tensor, hubert: Hubert, task: Task, guess: Tensor, units: int
) -> None:
    """A recording's spectrogram and units; of those, which are visible, what the model names the
    others (B, F), and where it is right."""
    frames = hubert.frame_length(len(waveform))
    hidden, own, guess = task.hidden[0, :frames], task.units[0, :frames].float(), guess[0, :frames]
    nothing = torch.full_like(own, torch.nan)
    strips = {
        "k-means": own,
        "visible": torch.where(hidden, nothing, own),
        "model": torch.where(hidden, guess, nothing),
        "right": torch.where(hidden & (guess == own), own, nothing),
    }
    start, end = frame_edges(hubert, frames)
    with picture(path, 5, sharex=True, height_ratios=(6, 1, 1, 1, 1)) as (top, *rows):
        draw_spectrogram(top, waveform)
        for axes, (name, strip) in zip(rows, strips.items(), strict=True):
            shown = axes.imshow(strip[None], aspect="auto", extent=(start, end, 0, 1), vmin=0,
                                vmax=units - 1, cmap="turbo", interpolation="nearest")  # fmt: skip
            axes.set(yticks=[], facecolor="0.88")
            axes.set_ylabel(name, rotation=0, ha="right", va="center")
        rows[-1].set(xlabel="time, s", xlim=(0, len(waveform) / SAMPLE_RATE))
        top.figure.colorbar(shown, ax=rows, label="unit", pad=0.01)


def draw_accuracy(
    path: Path, points: list[tuple[int, float]], chance: float, found: dict[str, Tensor]
) -> None:
    """Accuracy at hidden frames: over the steps, and by the distance of the nearest visible one."""
    usual = {"color": "0.4", "linestyle": ":", "label": "always the most frequent unit"}
    with picture(path, 1, 2, sharey=True) as (left, right):
        for colour, (name, label) in enumerate(GUESSES.items()):
            distances = [d for d in range(1, 11) if (found["distance"] == d).any()]
            rates = [100 * found[name][found["distance"] == d].mean() for d in distances]
            milliseconds = [1000 * FRAME * d for d in distances]
            right.plot(milliseconds, rates, "o-", markersize=4, color=f"C{colour}")
            if name == "model":
                steps, accuracy = zip(*points, strict=True)
                left.plot(steps, [100 * a for a in accuracy], "o-", markersize=4, label=label)
            else:
                left.axhline(100 * found[name].mean(), color=f"C{colour}", label=label)
        for axes in (left, right):
            axes.axhline(100 * chance, **usual)
        left.set(xlabel="step", ylabel="hidden frames named rightly, %", ylim=0)
        right.set(xlabel="distance to the nearest visible frame, ms")
        left.legend()
