"""Plausible wrong solutions of exercise 3, each with its mistake as its name."""

import torch
import torch.nn.functional as F


def normed(x, norm_weight, norm_bias):
    """(B, C, frames), each frame over its channels."""
    x = F.layer_norm(x.transpose(1, 2), norm_weight.shape, norm_weight, norm_bias)
    return x.transpose(1, 2)


def stem(waveforms, layers, norm=normed, activation=F.gelu):
    x = waveforms[:, None]
    for weight, bias, stride, norm_weight, norm_bias in layers:
        x = activation(norm(F.conv1d(x, weight, bias, stride), norm_weight, norm_bias))
    return x.transpose(1, 2)


def channels_before_frames(waveforms, layers):
    return stem(waveforms, layers).transpose(1, 2)


def relu_instead_of_gelu(waveforms, layers):
    return stem(waveforms, layers, activation=F.relu)


def gelu_before_the_norm(waveforms, layers):
    def norm(x, norm_weight, norm_bias):
        return normed(F.gelu(x), norm_weight, norm_bias)

    return stem(waveforms, layers, norm, activation=lambda x: x)


def norm_over_the_frames(waveforms, layers):
    def norm(x, norm_weight, norm_bias):
        x = F.layer_norm(x, x.shape[-1:])
        return x * norm_weight[:, None] + norm_bias[:, None]

    return stem(waveforms, layers, norm)


def norm_over_channels_and_frames(waveforms, layers):
    def norm(x, norm_weight, norm_bias):
        return F.group_norm(x, 1, norm_weight, norm_bias)

    return stem(waveforms, layers, norm)


def stride_left_out(waveforms, layers):
    return stem(waveforms, [(weight, bias, 1, *norm) for weight, bias, _, *norm in layers])


def norm_without_eps(waveforms, layers):
    def norm(x, norm_weight, norm_bias):
        x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True, correction=0)
        return x * norm_weight[:, None] + norm_bias[:, None]

    return stem(waveforms, layers, norm)


def eps_on_the_deviation(waveforms, layers):
    def norm(x, norm_weight, norm_bias):
        x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True, correction=0) + 1e-5)
        return x * norm_weight[:, None] + norm_bias[:, None]

    return stem(waveforms, layers, norm)


def gelu_by_tanh(waveforms, layers):
    return stem(waveforms, layers, activation=lambda x: F.gelu(x, approximate="tanh"))


def one_norm_for_the_whole_batch(waveforms, layers):
    def norm(x, norm_weight, norm_bias):
        mean, variance = x.mean((0, 1)), x.var((0, 1), correction=0)
        x = (x - mean) * torch.rsqrt(variance + 1e-5)
        return x * norm_weight[:, None] + norm_bias[:, None]

    return stem(waveforms, layers, norm)


WRONG = [channels_before_frames, relu_instead_of_gelu, gelu_before_the_norm, norm_over_the_frames,
         norm_over_channels_and_frames, stride_left_out, one_norm_for_the_whole_batch,
         norm_without_eps, eps_on_the_deviation, gelu_by_tanh]  # fmt: skip
