"""Augmentation: what a training utterance might also have sounded like.

Every draw comes from a generator that the caller seeds, so a resumed run hears what it would have
heard. Dropping encoder frames, the one augmentation inside the model, is `model.frame_dropout`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio import SAMPLE_RATE, SILENT


@dataclass(frozen=True)
class AugmentConfig:
    """What is varied, on the training path only; as it stands, nothing."""

    speed: tuple[float, ...] = ()  # factors, one drawn an utterance; Ko et al. 2015: 0.9, 1, 1.1
    tone: float = 0.0  # up to so much of each sample is added to or taken off the next; below 1
    gain: float = 0.0  # dB; up to so much louder or quieter, clipped at full scale
    noise: tuple[str, ...] = ()  # sources of recordings to mix in: manifests, their texts unused
    noise_share: float = 0.5  # of the utterances are mixed with one
    hiss_share: float = 0.0  # of the utterances get drawn noise, anything between white and brown
    snr: tuple[float, ...] = (5.0, 30.0)  # dB; speech over noise, drawn evenly from low to high

    def __post_init__(self):
        if any(factor <= 0 for factor in self.speed):
            raise ValueError(f"augment.speed={list(self.speed)}: factors must be above 0")
        for name, top in (("noise_share", 1), ("hiss_share", 1), ("tone", 0.99)):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"augment.{name}={getattr(self, name)}: expected 0 to {top}")
        if len(self.snr) != 2 or self.snr[0] > self.snr[1]:
            raise ValueError(f"augment.snr={list(self.snr)}: expected [low, high] in dB")


class Augment:
    """Waveforms (T,) at 16 kHz -> waveforms (T',), as the config says.

    `noises` are recordings of `cfg.noise`: anything whose `waveform()` is a Tensor (T,).
    """

    def __init__(self, cfg: AugmentConfig, noises: Sequence = ()):
        self.cfg, self.noises = cfg, noises

    def __call__(self, waveform: Tensor, rng: random.Random) -> Tensor:
        cfg = self.cfg
        if cfg.speed:
            waveform, _ = torchaudio().speed(waveform, SAMPLE_RATE, rng.choice(cfg.speed))
        if cfg.tone:
            tone = rng.uniform(-cfg.tone, cfg.tone)  # a gentle low pass above 0, high pass below
            waveform = torchaudio().preemphasis(waveform, -tone)
        if self.noises and rng.random() < cfg.noise_share:
            waveform = self.mix(waveform, self.recorded_noise(len(waveform), rng), rng)
        if cfg.hiss_share and rng.random() < cfg.hiss_share:
            waveform = self.mix(waveform, hiss(len(waveform), rng), rng)
        if cfg.gain:
            level = rng.uniform(-cfg.gain, cfg.gain)
            waveform = torchaudio().gain(waveform, level).clamp(-1, 1)
        return waveform

    def mix(self, waveform: Tensor, noise: Tensor, rng: random.Random) -> Tensor:
        """Noise added at a drawn SNR; nothing where either is silent and has no ratio."""
        snr = torch.tensor(rng.uniform(*self.cfg.snr))
        if min(noise.std(), waveform.std()) < SILENT:
            return waveform
        return torchaudio().add_noise(waveform, noise, snr)

    def recorded_noise(self, size: int, rng: random.Random) -> Tensor:
        """(size,) of a recording drawn at random, from a random place on, repeated if short."""
        noise = rng.choice(self.noises).waveform()
        start = rng.randrange(len(noise))
        return noise.roll(-start).repeat(-(-size // len(noise)))[:size]


def hiss(size: int, rng: random.Random) -> Tensor:
    """(size,) of noise whose power falls with the frequency: not (white) to squared (brown)."""
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    spectrum = torch.fft.rfft(torch.randn(size, generator=generator))
    frequency = torch.arange(1, len(spectrum) + 1)
    return torch.fft.irfft(spectrum * frequency ** (-rng.uniform(0, 2) / 2), size)


def torchaudio():
    from torchaudio import functional  # its import takes a second, and most runs need none of it

    return functional
