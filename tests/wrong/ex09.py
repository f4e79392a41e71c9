"""Plausible wrong solutions of exercise 9, each with its mistake as its name."""

import torch
import torch.nn.functional as F


def rest_thrown_away(frames, k):
    B, F_, D = frames.shape
    return frames[:, : F_ // k * k].reshape(B, F_ // k, k * D)


def always_something_added(frames, k):
    B, F_, D = frames.shape
    return F.pad(frames, (0, 0, 0, k - F_ % k)).reshape(B, -1, k * D)


def zeros_in_front(frames, k):
    B, F_, D = frames.shape
    return F.pad(frames, (0, 0, -F_ % k, 0)).reshape(B, -1, k * D)


def last_frame_repeated(frames, k):
    B, F_, D = frames.shape
    frames = torch.cat((frames, frames[:, -1:].expand(B, -F_ % k, D)), 1)
    return frames.reshape(B, -1, k * D)


def channels_side_by_side(frames, k):
    B, F_, D = frames.shape
    frames = F.pad(frames, (0, 0, 0, -F_ % k)).reshape(B, -1, k, D)
    return frames.transpose(2, 3).reshape(B, -1, k * D)


def frames_a_stack_apart(frames, k):
    B, F_, D = frames.shape
    frames = F.pad(frames, (0, 0, 0, -F_ % k)).reshape(B, k, -1, D)
    return frames.transpose(1, 2).reshape(B, -1, k * D)


def zeros_of_another_dtype(frames, k):
    B, F_, D = frames.shape
    return torch.cat((frames, torch.zeros(B, -F_ % k, D)), 1).reshape(B, -1, k * D)


WRONG = [rest_thrown_away, always_something_added, zeros_in_front, last_frame_repeated,
         channels_side_by_side, frames_a_stack_apart, zeros_of_another_dtype]  # fmt: skip
