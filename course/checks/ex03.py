"""Exercise 3: the convolution stem of the large HuBERT models and of the tiny one."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import torch
import torch.nn.functional as F

import tinyaudio
from course.checking import equal, generator

NAME = "conv_stem"


def reference(waveforms, layers):
    x = waveforms[:, None]
    for weight, bias, stride, norm_weight, norm_bias in layers:
        x = F.conv1d(x, weight, bias, stride).transpose(1, 2)
        x = F.gelu(F.layer_norm(x, norm_weight.shape, norm_weight, norm_bias)).transpose(1, 2)
    return x.transpose(1, 2)


def parameters(stem: tinyaudio.ConvStem) -> list[tuple]:
    """What `conv_stem` gets as its `layers`."""
    layers = [(layer.conv, layer.layer_norm) for layer in stem.conv_layers]
    return [(conv.weight, conv.bias, conv.stride[0], norm.weight, norm.bias)
            for conv, norm in layers]  # fmt: skip


@contextmanager
def installed(piece) -> Iterator[None]:
    def forward(self, waveforms, lengths):
        for layer in self.conv_layers:
            lengths = layer.output_length(lengths)
        return piece(waveforms, parameters(self)), lengths

    with mock.patch.object(tinyaudio.ConvStem, "forward", forward):
        yield


def random_stem(g, channels: tuple, kernels: tuple, strides: tuple) -> tinyaudio.ConvStem:
    """The repository's stem with random weights."""
    stem = tinyaudio.ConvStem(SimpleNamespace(
        conv_dim=channels, conv_kernel=kernels, conv_stride=strides, conv_bias=True,
        feat_extract_norm="layer",
    ))  # fmt: skip
    for parameter in stem.requires_grad_(False).parameters():
        parameter.normal_(generator=g)
    return stem


def check(solution) -> None:
    g = generator()
    waveforms = torch.randn(2, 90, generator=g)

    def compare(waveforms, stem, case: str, hint: str, tolerance: float = 1e-4) -> None:
        expected, _ = stem(waveforms, torch.full((len(waveforms),), waveforms.shape[1]))
        equal(solution(waveforms, parameters(stem)), expected, case, hint, tolerance)

    stem = random_stem(g, (12,), (4,), (1,))
    stem.conv_layers[0].layer_norm.weight.zero_()
    stem.conv_layers[0].layer_norm.bias.copy_(torch.linspace(-3, 3, 12))
    hint = "the norm gives norm_bias there, and GELU comes after it; the result is (B, F, C)"
    compare(waveforms[:1], stem, "one layer whose norm_weight is 0", hint, 1e-3)
    hint = "the exact GELU, not its approximation by tanh"
    compare(waveforms[:1], stem, "the same to five digits", hint, 1e-5)
    stem = random_stem(g, (12,), (4,), (1,))
    hint = "the mean and the variance are those of one frame, over its channels"
    compare(waveforms[:1], stem, "one layer of stride 1", hint)
    hint = "the window moves by `stride` samples, and nothing is padded"
    compare(waveforms[:1], random_stem(g, (12,), (4,), (3,)), "one layer of stride 3", hint)
    hint = "what one layer gives, (B, C, frames), is what the next one gets"
    stem = random_stem(g, (6, 8, 12), (6, 3, 2), (3, 2, 2))
    compare(waveforms[:1], stem, "three layers", hint)
    hint = "no utterance has a part in the features of another"
    compare(waveforms, stem, "two utterances", hint)
    stem = random_stem(g, (12,), (4,), (1,))
    stem.conv_layers[0].conv.bias.zero_()
    hint = "without eps in the norm, silence divides by zero"
    compare(torch.zeros(1, 20), stem, "silence, where bias is 0", hint)
    hint = "eps is 1e-5, and is added to the variance"
    compare(waveforms * 1e-3, stem, "very quiet utterances, where bias is 0", hint)
