"""Plausible wrong solutions of exercise 10, each with its mistake as its name."""

import torch
import torch.nn.functional as F


def norm(x, weight):
    y = x.float()
    return weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def silu_on_the_wrong_branch(stacked, norm_in, gate, up, down, norm_out):
    x = norm(stacked, norm_in)
    return norm((x @ gate.T * F.silu(x @ up.T)) @ down.T, norm_out)


def sigmoid_in_place_of_silu(stacked, norm_in, gate, up, down, norm_out):
    x = norm(stacked, norm_in)
    return norm((torch.sigmoid(x @ gate.T) * (x @ up.T)) @ down.T, norm_out)


def no_norm_at_the_end(stacked, norm_in, gate, up, down, norm_out):
    x = norm(stacked, norm_in)
    return norm_out * ((F.silu(x @ gate.T) * (x @ up.T)) @ down.T)


def layer_norm(stacked, norm_in, gate, up, down, norm_out):
    x = F.layer_norm(stacked, norm_in.shape, norm_in)
    return F.layer_norm((F.silu(x @ gate.T) * (x @ up.T)) @ down.T, norm_out.shape, norm_out)


def squares_in_half_precision(stacked, norm_in, gate, up, down, norm_out):
    def norm(x, weight):
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    x = norm(stacked, norm_in)
    return norm((F.silu(x @ gate.T) * (x @ up.T)) @ down.T, norm_out)


def mean_over_the_whole_utterance(stacked, norm_in, gate, up, down, norm_out):
    def norm(x, weight):
        y = x.float()
        return weight * (y * torch.rsqrt(y.pow(2).mean((1, 2), keepdim=True) + 1e-6)).to(x.dtype)

    x = norm(stacked, norm_in)
    return norm((F.silu(x @ gate.T) * (x @ up.T)) @ down.T, norm_out)


def no_epsilon(stacked, norm_in, gate, up, down, norm_out):
    def norm(x, weight):
        y = x.float()
        return weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True))).to(x.dtype)

    x = norm(stacked, norm_in)
    return norm((F.silu(x @ gate.T) * (x @ up.T)) @ down.T, norm_out)


def epsilon_beside_the_root(stacked, norm_in, gate, up, down, norm_out):
    def norm(x, weight):
        y = x.float()
        return weight * (y / (y.pow(2).mean(-1, keepdim=True).sqrt() + 1e-6)).to(x.dtype)

    x = norm(stacked, norm_in)
    return norm((F.silu(x @ gate.T) * (x @ up.T)) @ down.T, norm_out)


def norms_without_weights(stacked, norm_in, gate, up, down, norm_out):
    x = norm(stacked, 1.0)
    return norm((F.silu(x @ gate.T) * (x @ up.T)) @ down.T, 1.0)


WRONG = [silu_on_the_wrong_branch, sigmoid_in_place_of_silu, no_norm_at_the_end, layer_norm,
         squares_in_half_precision, mean_over_the_whole_utterance, no_epsilon,
         epsilon_beside_the_root, norms_without_weights]  # fmt: skip
