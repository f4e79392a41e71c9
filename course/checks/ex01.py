"""Exercise 1: waveform normalisation, as Wav2Vec2FeatureExtractor does it."""

import torch

import tinyaudio
from course.checking import equal, generator, replacing, untouched

NAME = "normalise"
reference = tinyaudio.normalise
installed = replacing((tinyaudio, "normalise"))


def check(solution) -> None:
    g = generator()
    waveforms = torch.randn(3, 50, generator=g) * 3 + 2

    def compare(waveforms, lengths, case: str, hint: str) -> None:
        lengths = torch.tensor(lengths)
        yours = untouched(solution, case, waveforms, lengths)
        equal(yours, reference(waveforms, lengths), case, hint)

    hint = "(x - mean) / sqrt(variance + 1e-7); the variance divides by n, not by n - 1"
    compare(waveforms[:1], [50], "one utterance without padding", hint)
    hint = "each row has a mean and a variance of its own"
    compare(waveforms, [50, 50, 50], "three utterances", hint)
    lengths = [50, 31, 7]
    valid = torch.arange(50) < torch.tensor(lengths)[:, None]
    hint = "sum over the valid samples, divide by their number, and set the padding to 0"
    compare(waveforms * valid, lengths, "rows of 50, 31 and 7 samples, zeros behind", hint)
    hint = "multiply by a mask before you sum"
    compare(waveforms, lengths, "the same with rubbish in the padding", hint)
    compare(torch.zeros(1, 20), [20], "silence", "where does 1e-7 go?")
    quiet = torch.randn(1, 400, generator=g) * 3e-4
    hint = "1e-7 is added to the variance, not to its root"
    compare(quiet, [400], "a very quiet one", hint)
