"""Exercise 2: frame lengths, the number of places at which each convolution's window fits."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import torch

import tinyaudio
from course.checking import equal, generator

NAME = "frame_length"
PUBLISHED = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # HuBERT's kernels and strides


def reference(samples, kernels, strides):
    for kernel, stride in zip(kernels, strides, strict=True):
        layer = SimpleNamespace(conv=SimpleNamespace(kernel_size=(kernel,), stride=(stride,)))
        samples = tinyaudio.ConvLayer.output_length(layer, samples)
    return samples


@contextmanager
def installed(piece) -> Iterator[None]:
    """The stem tells the encoder how many frames are valid: let the piece say it."""
    own = tinyaudio.ConvStem.forward

    def forward(self, waveforms, lengths):
        convs = [layer.conv for layer in self.conv_layers]
        kernels = tuple(conv.kernel_size[0] for conv in convs)
        strides = tuple(conv.stride[0] for conv in convs)
        return own(self, waveforms, lengths)[0], piece(lengths, kernels, strides)

    with mock.patch.object(tinyaudio.ConvStem, "forward", forward):
        yield


def check(solution) -> None:
    g = generator()
    kernel, stride, more = torch.randint(2, 9, (3,), generator=g).tolist()

    def compare(samples, kernels, strides, hint: str) -> None:
        case = f"{samples} samples, kernels {kernels}, strides {strides}"
        yours, expected = solution(samples, kernels, strides), reference(samples, kernels, strides)
        equal(yours, expected, case, hint)
        whole = "use //, whose result is an int where both sides are, and which rounds down"
        equal(type(yours), type(expected), f"{case}: the type", whole)

    hint = "the window fits once where there are just as many samples as it is long"
    compare(kernel, (kernel,), (stride,), hint)
    hint = "with stride 1, each sample beyond the window's length is one place more"
    compare(kernel + more, (kernel,), (1,), hint)
    hint = "a new place needs `stride` samples more; what is left over gives none"
    for samples in range(kernel, kernel + 3 * stride):
        compare(samples, (kernel,), (stride,), hint)
    hint = "what one convolution gives is the length that the next one gets, first to last"
    start = int(torch.randint(1_000, 100_000, (), generator=g))
    for samples in range(start, start + 320):  # so that every remainder occurs
        compare(samples, *PUBLISHED, hint)
    hint = "one frame needs 400 samples with these convolutions"
    compare(400, *PUBLISHED, hint)
    hint = "where the window does not fit, // rounds down to -1, and 0 frames come of it"
    compare(399, *PUBLISHED, hint)
    lengths = torch.randint(400, 100_000, (4,), generator=g)
    hint = "with a tensor of lengths the result is a tensor: the same arithmetic serves"
    yours, case = solution(lengths, *PUBLISHED), f"a batch of {lengths.tolist()} samples"
    equal(yours, reference(lengths, *PUBLISHED), case, hint)
    hint = "a number of frames is a whole number: use //"
    equal(yours.dtype, torch.int64, f"{case}: the dtype", hint)
