"""Augmentation: what a training utterance might also have sounded like.

Every draw comes from a generator that the caller seeds, so a resumed run hears what it would have
heard. Dropping encoder frames, the one augmentation inside the model, is `model.frame_dropout`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audio import SAMPLE_RATE


@dataclass(frozen=True)
class AugmentConfig:
    """What is varied, on the training path only; as it stands, nothing."""

    speed: tuple[float, ...] = ()  # factors, one drawn an utterance; Ko et al. 2015: 0.9, 1, 1.1
    gain: float = 0.0  # dB; up to so much louder or quieter, clipped at full scale
    noise: tuple[str, ...] = ()  # sources of recordings to mix in: manifests, their texts unused
    noise_share: float = 0.5  # of the utterances are mixed with one
    snr: tuple[float, ...] = (5.0, 30.0)  # dB; speech over noise, drawn evenly from low to high

    def __post_init__(self):
        if any(factor <= 0 for factor in self.speed):
            raise ValueError(f"augment.speed={list(self.speed)}: factors must be above 0")
        if not 0 <= self.noise_share <= 1:
            raise ValueError(f"augment.noise_share={self.noise_share}: expected 0 to 1")
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
        if not (cfg.speed or self.noises or cfg.gain):
            return waveform
        from torchaudio import functional  # its import takes a second

        if cfg.speed:
            factor = rng.choice(cfg.speed)
            waveform, _ = functional.speed(waveform, SAMPLE_RATE, factor)
        if self.noises and rng.random() < cfg.noise_share:
            noise = self.noise(len(waveform), rng)
            if noise.any() and waveform.any():  # silence has no ratio to anything
                snr = torch.tensor(rng.uniform(*cfg.snr))
                waveform = functional.add_noise(waveform, noise, snr)
        if cfg.gain:
            level = rng.uniform(-cfg.gain, cfg.gain)
            waveform = functional.gain(waveform, level).clamp(-1, 1)
        return waveform

    def noise(self, size: int, rng: random.Random) -> Tensor:
        """(size,) of a recording drawn at random, from a random place on, repeated if short."""
        noise = rng.choice(self.noises).waveform()
        start = rng.randrange(len(noise))
        return noise.roll(-start).repeat(-(-size // len(noise)))[:size]
