"""Plausible wrong solutions of exercise 6, each with its mistake as its name."""

import torch


def neighbours_as_pairs(x, cos, sin):
    a, b = x[..., ::2], x[..., 1::2]
    return x * cos + torch.stack((-b, a), -1).flatten(-2) * sin


def turned_the_other_way(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((b, -a), -1) * sin


def no_minus(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((b, a), -1) * sin


def cos_and_sin_swapped(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * sin + torch.cat((-b, a), -1) * cos


def turned_in_place(x, cos, sin):
    a, b = x.clone().chunk(2, -1)
    x *= cos
    x += torch.cat((-b, a), -1) * sin
    return x


WRONG = [neighbours_as_pairs, turned_the_other_way, no_minus, cos_and_sin_swapped, turned_in_place]
