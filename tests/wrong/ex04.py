"""Plausible wrong solutions of exercise 4, each with its mistake as its name."""

import math

import torch


def attend(q, k, v, mask, scale=None, axis=-1):
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(axis) @ v


def scores_not_scaled(q, k, v, mask):
    return attend(q, k, v, mask, scale=1)


def divided_by_the_width(q, k, v, mask):
    return attend(q, k, v, mask, scale=1 / q.shape[-1])


def scaled_by_the_width_of_all_heads(q, k, v, mask):
    return attend(q, k, v, mask, scale=(q.shape[1] * q.shape[-1]) ** -0.5)


def softmax_over_the_queries(q, k, v, mask):
    return attend(q, k, v, mask, axis=-2)


def without_softmax(q, k, v, mask):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) @ v


def mask_left_out(q, k, v, mask):
    return attend(q, k, v, None)


def mask_inverted(q, k, v, mask):
    return attend(q, k, v, None if mask is None else ~mask)


def padded_scores_set_to_zero(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return (scores if mask is None else scores * mask).softmax(-1) @ v


def padded_weights_cut_after_the_softmax(q, k, v, mask):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights if mask is None else weights * mask) @ v


def a_mask_of_minus_100(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return (scores if mask is None else scores - 100.0 * ~mask).softmax(-1) @ v


def exp_without_the_maximum(q, k, v, mask):
    weights = torch.exp(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]))
    weights = weights if mask is None else weights.masked_fill(~mask, 0)
    return weights / weights.sum(-1, keepdim=True) @ v


def queries_scaled_in_place(q, k, v, mask):
    q /= math.sqrt(q.shape[-1])
    return attend(q, k, v, mask, scale=1)


WRONG = [scores_not_scaled, divided_by_the_width, scaled_by_the_width_of_all_heads,
         softmax_over_the_queries, without_softmax, mask_left_out, mask_inverted,
         padded_scores_set_to_zero, padded_weights_cut_after_the_softmax, a_mask_of_minus_100,
         exp_without_the_maximum, queries_scaled_in_place]  # fmt: skip
