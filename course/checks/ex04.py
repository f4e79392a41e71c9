"""Exercise 4: scaled dot-product attention (Vaswani et al. 2017) over the valid frames."""

import torch

import tinyaudio
from course.checking import equal, generator, replacing, untouched
from devices import attend

NAME = "attention"
reference = attend
installed = replacing((tinyaudio, "attend"))  # the encoder's; the decoder's is causal


def check(solution) -> None:
    g = generator()

    def compare(q, k, v, mask, case: str, hint: str, tolerance: float = 1e-4) -> None:
        yours = untouched(solution, case, q, k, v, mask)
        equal(yours, reference(q, k, v, mask), case, hint, tolerance)

    q, k, v = torch.randn(3, 3, 2, 6, 16, generator=g)
    one = [x[:1, :1, :1] for x in (q, k, v)]
    compare(*one, None, "a single frame", "its only weight is 1, so its value is the result")
    hint = "all weights of a query are the same there, and sum to 1"
    compare(q * 0, k, v, None, "queries of zeros", hint)
    hint = "the softmax goes over the keys, the last axis of the scores; sqrt(D) is 1 there"
    compare(*torch.randn(3, 1, 1, 6, 1, generator=g), None, "heads of one channel", hint)
    hint = "divide the scores by sqrt(D), D the width of one head, before the softmax"
    compare(q, k, v, None, "three utterances, 2 heads of 16 channels", hint)
    valid = torch.arange(6) < torch.tensor([6, 4, 1])[:, None]
    hint = "True marks the keys that may be seen; here it is all of them"
    compare(q, k, v, torch.ones(3, 1, 1, 6, dtype=torch.bool), "a mask that is True", hint)
    hint = "a padded key must have the weight 0, and the others must sum to 1"
    compare(q, k, v, valid[:, None, None], "utterances of 6, 4 and 1 frames, padded to 6", hint)
    rubbish = 1e3 * ~valid[:, None, :, None]
    hint = "exp of a padded key's score must be 0, however large the score is"
    compare(q, k + rubbish * k.sign(), v + rubbish, valid[:, None, None],
            "the same with large numbers in the padding", hint)  # fmt: skip
    hint = "exp overflows above 88: softmax of torch subtracts the largest score beforehand"
    compare(q * 20, q * 20, v, None, "scores of about 1,600", hint, 1e-3)
