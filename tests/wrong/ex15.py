"""Plausible wrong solutions of exercise 15, each with its mistake as its name."""

import torch


def divide(model, divisor):
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= divisor


def mean_of_means(model, batches):
    total = 0.0
    for batch in batches:
        loss, count = model(batch)
        mean = loss / count / len(batches)
        mean.backward()
        total += mean.item()
    return total


def sum_of_means(model, batches):
    total = 0.0
    for batch in batches:
        loss, count = model(batch)
        (loss / count).backward()
        total += (loss / count).item()
    return total / len(batches)


def not_divided(model, batches):
    total, tokens = 0.0, 0
    for batch in batches:
        loss, count = model(batch)
        loss.backward()
        total, tokens = total + loss.item(), tokens + count.item()
    return total / tokens


def divided_after_each_batch(model, batches):
    total, tokens = 0.0, 0
    for batch in batches:
        loss, count = model(batch)
        loss.backward()
        total, tokens = total + loss.item(), tokens + count.item()
        divide(model, tokens)
    return total / tokens


def zeroed_before_each_batch(model, batches):
    total, tokens = 0.0, 0
    for batch in batches:
        model.zero_grad()
        loss, count = model(batch)
        loss.backward()
        total, tokens = total + loss.item(), tokens + count.item()
    divide(model, tokens)
    return total / tokens


def loss_of_the_last_batch(model, batches):
    tokens = 0
    for batch in batches:
        loss, count = model(batch)
        loss.backward()
        tokens += count.item()
    divide(model, tokens)
    return loss.item() / count.item()


def all_in_memory_at_once(model, batches):
    losses, counts = zip(*(model(batch) for batch in batches), strict=True)
    loss = sum(losses) / sum(counts)
    loss.backward()
    return loss.item()


def zeros_for_frozen_parameters(model, batches):
    total, tokens = 0.0, 0
    for batch in batches:
        loss, count = model(batch)
        loss.backward()
        total, tokens = total + loss.item(), tokens + count.item()
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad / tokens
    return total / tokens


def graph_retained(model, batches):
    total, tokens = 0.0, 0
    for batch in batches:
        loss, count = model(batch)
        loss.backward(retain_graph=True)
        total, tokens = total + loss.item(), tokens + count.item()
    divide(model, tokens)
    return total / tokens


WRONG = [mean_of_means, sum_of_means, not_divided, divided_after_each_batch,
         zeroed_before_each_batch, loss_of_the_last_batch, all_in_memory_at_once,
         zeros_for_frozen_parameters, graph_retained]  # fmt: skip
