"""Plausible wrong solutions of exercise 16, each with its mistake as its name."""

import math

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_


def backward(model, batch, optimizer):
    """What comes before clipping."""
    optimizer.zero_grad()
    loss, count = model(batch)
    (loss / count).backward()
    return (loss / count).item()


def gradients_never_zeroed(model, batch, optimizer, clip):
    loss, count = model(batch)
    (loss / count).backward()
    norm = clip_grad_norm_(model.parameters(), clip)
    if norm.isfinite():
        optimizer.step()
    return (loss / count).item(), norm.item()


def gradient_of_the_sum(model, batch, optimizer, clip):
    optimizer.zero_grad()
    loss, count = model(batch)
    loss.backward()
    norm = clip_grad_norm_(model.parameters(), clip)
    if norm.isfinite():
        optimizer.step()
    return (loss / count).item(), norm.item()


def clipped_by_value(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), math.inf)
    clip_grad_value_(model.parameters(), clip)
    if norm.isfinite():
        optimizer.step()
    return loss, norm.item()


def each_parameter_clipped_alone(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norms = [clip_grad_norm_([p], clip) for p in model.parameters()]
    norm = torch.stack(norms).norm()
    if norm.isfinite():
        optimizer.step()
    return loss, norm.item()


def always_scaled_to_clip(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), math.inf)
    for p in model.parameters():
        if p.grad is not None and clip < math.inf:
            p.grad *= clip / norm
    if norm.isfinite():
        optimizer.step()
    return loss, norm.item()


def norm_after_clipping(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    clip_grad_norm_(model.parameters(), clip)
    norm = clip_grad_norm_(model.parameters(), math.inf)
    if norm.isfinite():
        optimizer.step()
    return loss, norm.item()


def steps_whatever_the_norm(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss, norm.item()


def looks_at_the_loss(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), clip)
    if math.isfinite(loss):
        optimizer.step()
    return loss, norm.item()


def looks_for_nan_alone(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), clip)
    if not norm.isnan():
        optimizer.step()
    return loss, norm.item()


def steps_with_zeros_instead(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), clip)
    if not norm.isfinite():
        optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    return loss, norm.item()


def nothing_returned_without_a_step(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), clip)
    if norm.isfinite():
        optimizer.step()
        return loss, norm.item()


def norm_of_0_without_a_step(model, batch, optimizer, clip):
    loss = backward(model, batch, optimizer)
    norm = clip_grad_norm_(model.parameters(), clip)
    if not norm.isfinite():
        return loss, 0.0
    optimizer.step()
    return loss, norm.item()


WRONG = [gradients_never_zeroed, gradient_of_the_sum, clipped_by_value,
         each_parameter_clipped_alone, always_scaled_to_clip, norm_after_clipping,
         steps_whatever_the_norm, looks_at_the_loss, looks_for_nan_alone, steps_with_zeros_instead,
         nothing_returned_without_a_step, norm_of_0_without_a_step]  # fmt: skip
