"""HuBERT's task, made from sound alone: a unit for each frame, and which frames are hidden.

Shape letters: see tinyaudio.py; K units.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.transforms import MFCC

from audio import SAMPLE_RATE
from data import Batch
from tinyaudio import Hubert, length_mask, normalise

WINDOW, HOP = 800, 320  # waveform samples that an MFCC is made of, and between two: 50 ms, 20 ms
START, SPAN = 0.08, 10  # HuBERT's: the share of frames at which a hidden span begins; its frames


class Task(NamedTuple):
    """A batch without its texts: what is heard, what of it is hidden, and which units it has."""

    waveforms: Tensor  # (B, T), normalised
    lengths: Tensor  # (B,), in samples
    units: Tensor  # (B, F)
    hidden: Tensor  # (B, F) bool
    visible: Tensor  # (B, F) bool; what is neither is padding


class Clusters:
    """MFCCs 1 to 12 of each of an encoder's frames, and the unit whose centroid is nearest.

    MFCC 0, the loudness, is left out, and each utterance's mean is taken away: a unit should tell
    sounds, not speakers and rooms.
    """

    def __init__(self, hubert: Hubert):
        self.frame_length = hubert.frame_length
        self.before = max(0, hubert.min_samples - WINDOW) // 2  # in the middle of what a frame sees
        spectrum = {"n_fft": WINDOW, "hop_length": HOP, "n_mels": 40, "center": False}
        self.mfcc = MFCC(SAMPLE_RATE, n_mfcc=13, log_mels=True, melkwargs=spectrum)
        self.centroids = torch.zeros(0, 12)

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised waveforms (B, T), valid samples (B,) -> (B, F, 12), valid frames (B, F)."""
        x = self.mfcc(waveforms[:, self.before :]).transpose(1, 2)
        x = x[:, : self.frame_length(waveforms.shape[1]), 1:]
        frames = self.frame_length(lengths)
        valid = length_mask(frames, x.shape[1])
        return x - (x * valid[..., None]).sum(1, keepdim=True) / frames[:, None, None], valid

    def fit(self, batches: list[Batch], units: int) -> Tensor:
        """Find the centroids; returns how many of the frames have each unit, (K,)."""
        found = []
        for batch in batches:
            waveforms = normalise(batch.waveforms, batch.lengths)
            x, valid = self.features(waveforms, batch.lengths)
            found.append(x[valid])
        frames = torch.cat(found)
        self.centroids = k_means(frames, units)
        return torch.bincount(nearest(frames, self.centroids), minlength=units)

    def task(self, batch: Batch) -> Task:
        """Hide spans of frames, which may overlap."""
        waveforms = normalise(batch.waveforms, batch.lengths)
        x, valid = self.features(waveforms, batch.lengths)
        starts = (torch.rand(len(x), 1, x.shape[1]) < START).float()
        spans = F.max_pool1d(F.pad(starts, (SPAN - 1, 0)), SPAN, stride=1)[:, 0] > 0
        units = nearest(x, self.centroids)
        return Task(waveforms, batch.lengths, units, valid & spans, valid & ~spans)


def without_learning(task: Task) -> dict[str, Tensor]:
    """Units (B, F) guessed from those of visible frames: the nearest one's, the most frequent
    one's; and how many frames away the nearest is, 0 for a visible one."""
    at, units = torch.arange(task.units.shape[1]), int(task.units.max()) + 1
    steps = (at[:, None] - at).abs() + len(at) * ~task.visible[:, None]  # (B, F, F)
    distance, place = steps.min(-1)
    counts = (F.one_hot(task.units, units) * task.visible[..., None]).sum(1, keepdim=True)
    frequent = counts.argmax(-1).expand_as(task.units)
    return {"copied": task.units.gather(1, place), "frequent": frequent, "distance": distance}


def nearest(x: Tensor, centroids: Tensor) -> Tensor:
    """The number of the nearest centroid, (..., D) and (K, D) -> (...)."""
    return torch.cdist(x, centroids).argmin(-1)


def k_means(x: Tensor, units: int, rounds: int = 20) -> Tensor:
    """Frames (n, D) -> centroids (K, D), by Lloyd's algorithm (1982).

    They are ordered by the first coefficient, for MFCC 1 from hissing sounds to humming ones.
    """
    centroids = x[torch.randperm(len(x))[:units]]
    for _ in range(rounds):
        unit = nearest(x, centroids)
        counts = torch.bincount(unit, minlength=units)[:, None]
        sums = torch.zeros_like(centroids).index_add_(0, unit, x)
        centroids = torch.where(counts > 0, sums / counts.clamp(min=1), centroids)
    return centroids[centroids[:, 0].argsort()]
