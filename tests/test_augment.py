"""Augmentation: each kind does what its name says, by the amount that was asked for, repeatably."""

import math
import random

import pytest
import torch
from conftest import ROOT, run_script
from test_train import write_config

from augment import Augment, AugmentConfig
from data import Batches, DataConfig, Utterance, load_source


class Noise:
    """A recording of white noise, its last half `level` times as loud as its first."""

    def __init__(self, size: int, level: float = 1.0):
        self.samples = torch.randn(size, generator=torch.Generator().manual_seed(size))
        self.samples[size // 2 :] *= level

    def waveform(self) -> torch.Tensor:
        return self.samples


def sine(hertz: float = 400.0, seconds: float = 1.0) -> torch.Tensor:
    time = torch.arange(int(16_000 * seconds)) / 16_000
    return 0.25 * torch.sin(2 * math.pi * hertz * time)


def decibels(signal: torch.Tensor, reference: torch.Tensor) -> float:
    return (10 * torch.log10(signal.pow(2).mean() / reference.pow(2).mean())).item()


def test_nothing_is_varied_unless_asked():
    waveform = sine()
    assert Augment(AugmentConfig())(waveform, random.Random(0)) is waveform


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_moves_length_and_pitch(factor):
    waveform = Augment(AugmentConfig(speed=(factor,)))(sine(), random.Random(0))
    assert abs(len(waveform) - 16_000 / factor) <= 1
    peak = torch.fft.rfft(waveform).abs().argmax().item() * 16_000 / len(waveform)
    assert abs(peak - 400 * factor) <= 2


def test_all_speeds_are_drawn():
    augment, rng = Augment(AugmentConfig(speed=(0.9, 1.0, 1.1))), random.Random(0)
    lengths = {len(augment(sine(), rng)) for _ in range(30)}
    assert len(lengths) == 3 and 16_000 in lengths


@pytest.mark.parametrize("size", [4_000, 16_000, 50_000])  # shorter than the speech, and longer
@pytest.mark.parametrize("snr", [0.0, 10.0])
def test_noise_has_the_ratio_that_was_drawn(size, snr):
    cfg = AugmentConfig(noise=("a manifest",), noise_share=1.0, snr=(snr, snr))
    mixed = Augment(cfg, [Noise(size)])(sine(), random.Random(0))
    assert abs(decibels(sine(), mixed - sine()) - snr) < 0.01


def test_ratios_and_shares_are_drawn_evenly():
    cfg = AugmentConfig(noise=("a manifest",), noise_share=0.5, snr=(5.0, 15.0))
    augment, rng = Augment(cfg, [Noise(32_000)]), random.Random(0)
    added = [augment(sine(seconds=0.1), rng) - sine(seconds=0.1) for _ in range(400)]
    ratios = [decibels(sine(seconds=0.1), noise) for noise in added if noise.any()]
    assert 160 < len(ratios) < 240
    assert min(ratios) >= 4.99 and max(ratios) <= 15.01 and 9 < sum(ratios) / len(ratios) < 11


@pytest.mark.parametrize("level", [0.0, 1e-30])  # whose square is not zero, but in float32
def test_silence_is_left_as_it_is(level):
    """Neither silent noise nor a silent recording has a ratio: no division by zero."""
    cfg = AugmentConfig(noise=("a manifest",), noise_share=1.0, snr=(5.0, 5.0))
    rng, speech = random.Random(0), sine(seconds=0.01)
    silence = torch.full((160,), level)
    for waveform, noise in ((silence, Noise(160)), (speech, Noise(32_000, level))):
        for _ in range(20):
            assert Augment(cfg, [noise])(waveform, rng).isfinite().all()


def test_hiss_has_its_ratio_and_falls_with_the_frequency():
    """Between white, the same power in every band, and brown, 6 dB less an octave."""
    cfg, rng = AugmentConfig(hiss_share=1.0, snr=(10.0, 10.0)), random.Random(0)
    falls = []
    for _ in range(50):
        noise = Augment(cfg)(sine(), rng) - sine()
        assert abs(decibels(sine(), noise) - 10) < 0.01
        power = torch.fft.rfft(noise).abs().square()  # in bins of 1 Hz
        low, high = power[500:1000].mean(), power[4000:8000].mean()
        falls.append((10 * torch.log10(low / high)).item() / 3)  # dB an octave
    assert min(falls) > -0.5 and max(falls) < 6.5 and min(falls) < 1 and max(falls) > 5


def test_tone_lifts_or_lowers_the_high_frequencies():
    augment, rng = Augment(AugmentConfig(tone=0.5)), random.Random(0)
    lifts = []
    for _ in range(50):
        seed = rng.random()
        low, high = (
            decibels(augment(sine(hertz), random.Random(seed)), sine(hertz))
            for hertz in (200.0, 7000.0)
        )
        lifts.append(high - low)
    assert -10 < min(lifts) < -5 and 5 < max(lifts) < 10  # at 0.5: 1.5 against 0.5 of it, 9.5 dB


def test_gain_stays_within_its_range_and_full_scale():
    augment, rng = Augment(AugmentConfig(gain=6.0)), random.Random(0)
    levels = [decibels(augment(sine(), rng), sine()) for _ in range(100)]
    assert -6.01 < min(levels) < -4 and 4 < max(levels) < 6.01
    loud = [augment(sine() * 4, rng).abs().max().item() for _ in range(20)]  # 4 x 0.25: full scale
    assert max(loud) == 1.0


def test_an_epoch_is_another_and_itself_again(corpus):
    cfg = AugmentConfig(speed=(0.9, 1.1), tone=0.5, noise=(str(corpus),), hiss_share=0.5, gain=6.0)
    augment = Augment(cfg, load_source(str(corpus)))
    batches = [
        Batches(load_source(str(corpus)), DataConfig(batch_seconds=8, workers=workers), 0, augment)
        for workers in (0, 2)
    ]

    def heard(which: int, epoch: int) -> list[float]:
        return [b.waveforms.pow(2).sum().item() for b, _ in batches[which].loader(epoch)]

    assert heard(0, 0) == heard(0, 0) and heard(1, 0) == heard(1, 0)
    # A worker computes with one thread, which rounds otherwise than several.
    assert heard(0, 0) == pytest.approx(heard(1, 0), rel=1e-5)
    assert sorted(heard(0, 0)) != sorted(heard(0, 1))


def test_what_is_evaluated_is_not_varied(corpus):
    """Without an Augment, which is how train.py reads dev, recordings come as they are."""
    utterances: list[Utterance] = load_source(str(corpus))[:4]
    plain = {len(u.waveform()): u.waveform() for u in utterances}
    for batch, _ in Batches(utterances, DataConfig(), seed=0).loader(epoch=0):
        for waveform, length in zip(batch.waveforms, batch.lengths.tolist(), strict=True):
            assert torch.equal(waveform[:length], plain[length])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("augment.speed=[0]", "augment.speed=[0.0]: factors must be above 0"),
        ("augment.snr=[10]", "augment.snr=[10.0]: expected [low, high]"),
        ("augment.snr=[10, 5]", "expected [low, high]"),
        ("augment.noise_share=2", "augment.noise_share=2.0: expected 0 to 1"),
        ("augment.tone=1", "augment.tone=1.0: expected 0 to 0.99"),
        ("augment.noise=missing.jsonl", "missing.jsonl: no such manifest"),
    ],
)
def test_a_wrong_value_is_one_sentence(corpus, tmp_path, override, sentence):
    result = run_script("train.py", "--config", write_config(tmp_path, corpus), override)
    assert result.returncode == 1 and sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_noise_benchmark(corpus, tmp_path):
    """A table with a column a level, and a picture."""
    done = run_script(
        "benchmarks/noise.py", "--model", ROOT / "models" / "tiny-audio", "--data", corpus,
        "--noise", corpus, "--snr", "0", "20", "--limit", "2", "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, _, row = (tmp_path / "noise.md").read_text().splitlines()
    assert header.split("|")[2:5] == [" clean ", " 20 dB ", " 0 dB "]
    assert len(row.split("|")) == len(header.split("|")) and row.count("%") == 3
    assert (tmp_path / "noise.png").stat().st_size > 1000


def test_the_benchmark_mixes_the_same_noise_at_every_level(corpus):
    import benchmarks.noise as benchmark

    speech, *noises = load_source(str(corpus))[:3]
    clean = benchmark.with_noise(speech, noises, benchmark.CLEAN).waveform()
    loud, soft = (
        benchmark.with_noise(speech, noises, snr).waveform() - clean for snr in (0.0, 20.0)
    )
    assert torch.equal(clean, speech.waveform())
    assert abs(decibels(loud, soft) - 20) < 0.01
    assert torch.allclose(loud, soft * 10, atol=1e-4)
