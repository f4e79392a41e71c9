"""Plausible wrong solutions of exercise 2, each with its mistake as its name."""

import math


def without_plus_one(samples, kernels, strides):
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride
    return samples


def kernels_left_out(samples, kernels, strides):
    for stride in strides:
        samples = samples // stride
    return samples


def remainders_rounded_up(samples, kernels, strides):
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = -((kernel - samples) // stride) + 1
    return samples


def last_convolution_first(samples, kernels, strides):
    for kernel, stride in zip(kernels[::-1], strides[::-1], strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def all_strides_at_once(samples, kernels, strides):
    return (samples - kernels[0]) // math.prod(strides) + 1


def rounded_towards_zero(samples, kernels, strides):
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = int((samples - kernel) / stride) + 1
    return samples


def as_floats(samples, kernels, strides):
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) / stride // 1 + 1
    return samples


def a_tensor_of_floats(samples, kernels, strides):
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples if isinstance(samples, int) else samples.float()


WRONG = [without_plus_one, kernels_left_out, remainders_rounded_up, last_convolution_first,
         all_strides_at_once, rounded_towards_zero, as_floats, a_tensor_of_floats]  # fmt: skip
