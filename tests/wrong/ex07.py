"""Plausible wrong solutions of exercise 7, each with its mistake as its name."""

import math

import torch


def attend(q, k, v, last=None, scale=None, axis=-1, interleave=True):
    """`last` is the key that the first query sees as its last one."""
    repeats = q.shape[1] // k.shape[1]
    if interleave:
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    else:
        k, v = k.repeat(1, repeats, 1, 1), v.repeat(1, repeats, 1, 1)
    S, P = q.shape[2], k.shape[2]
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    seen = torch.ones(S, P, dtype=torch.bool).tril(P - S if last is None else last)
    return scores.masked_fill(~seen, -math.inf).softmax(axis) @ v


def heads_dealt_out_in_turn(q, k, v):
    return attend(q, k, v, interleave=False)


def without_a_causal_mask(q, k, v):
    return attend(q, k, v, last=k.shape[2])


def the_next_position_seen(q, k, v):
    return attend(q, k, v, last=k.shape[2] - q.shape[2] + 1)


def its_own_position_not_seen(q, k, v):
    return attend(q, k, v, last=k.shape[2] - q.shape[2] - 1)


def queries_as_the_first_positions(q, k, v):
    return attend(q, k, v, last=0)


def scores_not_scaled(q, k, v):
    return attend(q, k, v, scale=1)


def softmax_over_the_queries(q, k, v):
    return attend(q, k, v, axis=-2).nan_to_num()


def weights_cut_after_the_softmax(q, k, v):
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return weights.tril(k.shape[2] - q.shape[2]) @ v


def a_mask_of_minus_100(q, k, v):
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
    return scores.masked_fill(~seen, -100.0).softmax(-1) @ v


def exp_without_the_maximum(q, k, v):
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    weights = torch.exp(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]))
    weights = weights.tril(k.shape[2] - q.shape[2])
    return weights / weights.sum(-1, keepdim=True) @ v


WRONG = [heads_dealt_out_in_turn, without_a_causal_mask, the_next_position_seen,
         its_own_position_not_seen, queries_as_the_first_positions, scores_not_scaled,
         softmax_over_the_queries, weights_cut_after_the_softmax, a_mask_of_minus_100,
         exp_without_the_maximum]  # fmt: skip


def queries_divided_in_place(q, k, v):
    q /= q.shape[-1] ** 0.5
    return attend(q, k, v, scale=1)
