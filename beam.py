"""Beam search: of several hypotheses kept at each step, the best may have begun as the second."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def beam_search(
    decoder, embeds: Tensor, mask: Tensor, beams: int, limits: list[int], eos_ids: tuple[int, ...]
) -> list[list[int]]:
    """The most probable continuation of each prompt among `beams` kept at each step.

    Hypotheses are compared by log-probability per token (the end token counted), ended ones
    before those cut off at the limit. Arguments as of `n_best`.
    """
    found = n_best(decoder, embeds, mask, beams, limits, eos_ids, only_best=True)
    return [hypotheses[0][0] for hypotheses in found]


@torch.inference_mode()
def n_best(
    decoder,
    embeds: Tensor,
    mask: Tensor,
    beams: int,
    limits: list[int],
    eos_ids: tuple[int, ...],
    only_best: bool = False,
) -> list[list[tuple[list[int], float]]]:
    """Up to `beams` continuations of each prompt and their log-probabilities.

    Prompts embeds (B, S, D) are padded on the left, where mask (B, S) is False; `limits` are the
    most tokens for each. The best log-probability per token comes first; those cut off at the limit
    are left out where any has ended. One that ends gives up its beam, so one beam is greedy. Stops
    when all have ended; with `only_best` as soon as no open one can overtake the best that has.
    """
    cache = decoder.new_cache(len(embeds), embeds.shape[1] + max(limits))
    searches = [Search(beams, limit, row) for row, limit in enumerate(limits)]
    going = searches
    while going:
        hidden = decoder(embeds, mask=mask, cache=cache)  # a row for each open hypothesis of all
        log_probs = decoder.logits(hidden[:, -1]).float().log_softmax(-1)
        likeliest = log_probs.topk(min(beams, log_probs.shape[1]))
        values, tokens = likeliest.values.tolist(), likeliest.indices.tolist()
        for search in going:
            search.extend(values, tokens, eos_ids, only_best)
        going = [search for search in going if search.open]
        if hypotheses := [hypothesis for search in going for hypothesis in search.open]:
            rows = torch.tensor([h.row for h in hypotheses], device=embeds.device)
            ids = torch.tensor([h.ids[-1] for h in hypotheses], device=embeds.device)
            cache.select(rows)
            embeds, mask = decoder.embed(ids)[:, None], None
            for row, hypothesis in enumerate(hypotheses):
                hypothesis.row = row
    return [search.ranked() for search in searches]


@dataclass
class Hypothesis:
    ids: list[int]
    total: float  # log-probability
    row: int  # in the batch


class Search:
    """What is kept of one prompt's hypotheses: the open ones, the most probable first, and those
    that have ended."""

    def __init__(self, beams: int, limit: int, row: int):
        self.beams, self.limit = beams, limit
        self.open = [Hypothesis([], 0.0, row)]  # one until the first step
        self.cut_off: list[Hypothesis] = []
        self.ended: list[tuple] = []  # (log-probability a token, log-probability, ids)

    def extend(self, values: list, tokens: list, eos_ids: tuple[int, ...], only_best: bool) -> None:
        """A token more, of the likeliest `tokens` after each row; `values` are their
        log-probabilities."""
        candidates = [
            (hypothesis.total + value, token, hypothesis)
            for hypothesis in self.open
            for value, token in zip(values[hypothesis.row], tokens[hypothesis.row], strict=True)
        ]
        candidates.sort(key=lambda candidate: -candidate[0])
        self.open = []
        for total, token, before in candidates[: self.beams]:
            if token not in eos_ids:
                self.open.append(Hypothesis([*before.ids, token], total, before.row))
                continue
            self.beams -= 1
            self.ended.append((total / (len(before.ids) + 1), total, before.ids))
        best = max(self.ended, default=(-math.inf,))[0]
        if self.open:
            # A sum only falls as tokens are added; divided by the most tokens it is largest.
            beaten = only_best and self.open[0].total / self.limit <= best
            if beaten or len(self.open[0].ids) == self.limit:
                self.cut_off, self.open = self.open, []

    def ranked(self) -> list[tuple[list[int], float]]:
        """What has ended, the best first, or all that is there."""
        self.ended.sort(key=lambda hypothesis: -hypothesis[0])
        found = [(ids, total) for _, total, ids in self.ended]
        return found or [(h.ids, h.total) for h in self.cut_off]
