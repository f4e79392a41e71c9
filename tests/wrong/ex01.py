"""Plausible wrong solutions of exercise 1, each with its mistake as its name."""

import torch


def over_the_padding_too(waveforms, lengths):
    mean, variance = waveforms.mean(1, keepdim=True), waveforms.var(1, keepdim=True, correction=0)
    valid = torch.arange(waveforms.shape[1]) < lengths[:, None]
    return (waveforms - mean) * torch.rsqrt(variance + 1e-7) * valid


def over_the_whole_batch(waveforms, lengths):
    valid = torch.arange(waveforms.shape[1]) < lengths[:, None]
    chosen = waveforms[valid]
    return (waveforms - chosen.mean()) * torch.rsqrt(chosen.var(correction=0) + 1e-7) * valid


def padding_left_as_it_is(waveforms, lengths):
    out = torch.empty_like(waveforms)
    for row, x, n in zip(out, waveforms, lengths, strict=True):
        row[:] = (x - x[:n].mean()) * torch.rsqrt(x[:n].var(correction=0) + 1e-7)
    return out


def divided_by_n_minus_one(waveforms, lengths):
    out = torch.zeros_like(waveforms)
    for row, x, n in zip(out, waveforms, lengths, strict=True):
        row[:n] = (x[:n] - x[:n].mean()) * torch.rsqrt(x[:n].var() + 1e-7)
    return out


def epsilon_on_the_deviation(waveforms, lengths):
    out = torch.zeros_like(waveforms)
    for row, x, n in zip(out, waveforms, lengths, strict=True):
        row[:n] = (x[:n] - x[:n].mean()) / (x[:n].std(correction=0) + 1e-7)
    return out


def written_into_the_waveforms(waveforms, lengths):
    for x, n in zip(waveforms, lengths, strict=True):
        x[:n] = (x[:n] - x[:n].mean()) * torch.rsqrt(x[:n].var(correction=0) + 1e-7)
        x[n:] = 0
    return waveforms


WRONG = [over_the_padding_too, over_the_whole_batch, padding_left_as_it_is, divided_by_n_minus_one,
         epsilon_on_the_deviation, written_into_the_waveforms]  # fmt: skip
