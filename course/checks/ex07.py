"""Exercise 7: causal attention whose query heads share keys and values (Ainslie et al. 2023)."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch

import tinyaudio
from course.checking import equal, generator, untouched
from devices import attend_grouped

NAME = "causal_attention"


def reference(q, k, v):
    B, _, S, _ = q.shape
    mask = tinyaudio.Qwen3.attention_mask(torch.ones(B, k.shape[2], dtype=torch.bool), S)
    return attend_grouped(q, k, v, mask, causal=mask is None and S > 1)


@contextmanager
def installed(piece) -> Iterator[None]:
    """The piece in the decoder's attention; where a batch is padded, a mask rules, and ours runs.

    Of one piece of audio nothing is padded.
    """

    def attend(q, k, v, mask, causal):
        return piece(q, k, v) if mask is None else attend_grouped(q, k, v, mask, causal)

    with mock.patch.object(tinyaudio, "attend_grouped", attend):
        yield


def check(solution) -> None:
    g = generator()

    def compare(
        H: int, K: int, S: int, P: int, case: str, hint: str, D=16, share=1.0, tolerance=1e-4
    ) -> None:
        q, k, v = (
            torch.randn(2, heads, n, D, generator=g) for heads, n in ((H, S), (K, P), (K, P))
        )
        q = q * share
        equal(untouched(solution, case, q, k, v), reference(q, k, v), case, hint, tolerance)

    hint = "its weight is 1; query heads 0 to 2 take the value of head 0, 3 to 5 that of head 1"
    compare(6, 2, 1, 1, "one position, 6 query heads, 2 heads of keys and values", hint)
    hint = "position s is the mean of the values 0 to s there, its own included"
    compare(1, 1, 6, 6, "queries of zeros, 6 positions", hint, share=0.0)
    hint = "the softmax goes over the keys, after the mask; sqrt(D) is 1 there"
    compare(1, 1, 6, 6, "one channel, 6 positions", hint, D=1)
    hint = "divide the scores by sqrt(D), D the width of one head, before the softmax"
    compare(1, 1, 6, 6, "16 channels, 6 positions", hint)
    hint = "repeat the heads of keys as you do those of values"
    compare(6, 2, 6, 6, "6 query heads, 2 heads of keys and values, 6 positions", hint)
    hint = "a single query is the last position and sees all of them"
    compare(6, 2, 1, 7, "one query after 6 positions of the cache", hint)
    hint = "query s is position P - S + s: it sees the keys up to there"
    compare(6, 2, 3, 8, "3 queries after 5 positions of the cache", hint)
    compare(4, 4, 3, 8, "as many heads of keys as of queries", "H / K is 1 there")
    compare(4, 1, 3, 8, "one head of keys and values for all", "H / K is H there")
    hint = "a hidden key's score is -inf, whatever the others are; exp alone overflows above 88"
    compare(32, 1, 6, 6, "scores of several hundred", hint, share=100.0, tolerance=1e-3)
