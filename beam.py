"""Beam search: of several hypotheses kept at each step, the best may have begun as the second."""

import math

import torch
from torch import Tensor


def beam_search(
    decoder, inputs_embeds: Tensor, beams: int, max_new_tokens: int, eos_ids: tuple[int, ...]
) -> list[int]:
    """The most probable continuation of one prompt (1, S, D) among `beams` kept at each step.

    Hypotheses are compared by log-probability per token (the end token counted), ended ones
    before those cut off at the limit.
    """
    return n_best(decoder, inputs_embeds, beams, max_new_tokens, eos_ids, only_best=True)[0][0]


@torch.inference_mode()
def n_best(
    decoder,
    inputs_embeds: Tensor,
    beams: int,
    max_new_tokens: int,
    eos_ids: tuple[int, ...],
    only_best: bool = False,
) -> list[tuple[list[int], float]]:
    """Up to `beams` continuations of one prompt and their log-probabilities.

    The best log-probability per token comes first; those cut off at the limit are left out where
    any has ended. One that ends gives up its beam, so one beam is greedy. Stops when all have
    ended; with `only_best` as soon as no open one can overtake the best that has.
    """
    device = inputs_embeds.device
    cache = decoder.new_cache(1, inputs_embeds.shape[1] + max_new_tokens)
    scores, hypotheses = torch.zeros(1, 1, device=device), [[]]  # one until the first step
    ended = []  # (log-probability a token, ids, log-probability)
    for step in range(1, max_new_tokens + 1):
        hidden = decoder(inputs_embeds, cache=cache)
        totals = scores + decoder.logits(hidden[:, -1]).float().log_softmax(-1)  # (rows, V)
        values, flat = totals.flatten().topk(min(beams, totals.numel()))
        alive = []  # (log-probability, row, token)
        for value, index in zip(values.tolist(), flat.tolist(), strict=True):
            row, token = divmod(index, totals.shape[1])
            if token not in eos_ids:
                alive.append((value, row, token))
                continue
            beams -= 1
            ended.append((value / step, hypotheses[row], value))
        # A sum only falls as tokens are added; divided by the most tokens it is largest.
        best = max(ended, default=(-math.inf,))[0]
        if not alive or (only_best and alive[0][0] / max_new_tokens <= best):
            break
        hypotheses = [[*hypotheses[row], token] for _, row, token in alive]
        columns = zip(*alive, strict=True)
        values, rows, tokens = (torch.tensor(column, device=device) for column in columns)
        cache.select(rows)
        scores, inputs_embeds = values[:, None], decoder.embed(tokens)[:, None]
    ended.sort(key=lambda hypothesis: -hypothesis[0])
    found = [(ids, total) for _, ids, total in ended]
    return found or list(zip(hypotheses, scores.flatten().tolist(), strict=True))
