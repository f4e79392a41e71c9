"""Exercise 8: the KV cache, preallocated, and moved on once in each forward pass."""

from types import SimpleNamespace

import torch

import tinyaudio
from course.checking import equal, generator, replacing

NAME = "KVCache"
reference = tinyaudio.KVCache
installed = replacing((tinyaudio, "KVCache"))
SIZES = SimpleNamespace(num_hidden_layers=2, num_key_value_heads=3, head_dim=4)


def check(solution) -> None:
    g = generator()

    class Pair:
        """The student's cache and ours, given the same."""

        def __init__(self, batch: int, capacity: int):
            self.yours, self.ours = (
                kind(SIZES, batch, capacity, torch.float32, "cpu") for kind in (solution, reference)
            )

        def step(self, valid: list, case: str, of_extend: str, of_append: str) -> None:
            """One forward pass over new positions, `valid` (B, S); a hint for either method."""
            valid = torch.tensor(valid, dtype=torch.bool)
            equal(self.yours.extend(valid), self.ours.extend(valid), f"{case}: extend", of_extend)
            shape = len(valid), SIZES.num_key_value_heads, valid.shape[1], SIZES.head_dim
            for layer in range(SIZES.num_hidden_layers):
                k, v = torch.randn(2, *shape, generator=g)
                yours, ours = self.yours.append(layer, k, v), self.ours.append(layer, k, v)
                where = f"{case}: append to layer {layer}"
                two = isinstance(yours, (tuple, list)) and len(yours) == 2
                hint = "return two tensors, the keys and the values"
                equal(two, True, f"{where}: are there two results?", hint)
                equal(yours[0], ours[0], f"{where}, the keys", of_append)
                equal(yours[1], ours[1], f"{where}, the values", of_append)

        def select(self, rows: list) -> None:
            self.yours.select(torch.tensor(rows))
            self.ours.select(torch.tensor(rows))

    caches = Pair(2, 9)
    caches.step(
        [[0, 1, 1, 1], [1, 1, 1, 1]],
        "4 positions, the first of them padding in one row",
        of_extend="keep them in self.valid, and return it up to the new length",
        of_append="store each in its layer, return the layer up to length; append moves nothing on",
    )
    caches.step(
        [[1], [1]],
        "one position more",
        of_extend="the valid positions of earlier passes come first, then the new one",
        of_append="each layer keeps its own earlier positions; the new one goes behind them",
    )
    caches.step(
        [[1, 1], [1, 0]],
        "2 positions more",
        of_extend="the length grows by the number of new positions",
        of_append="the new positions go to start, ..., length - 1",
    )
    caches.select([1, 0])
    caches.step(
        [[1], [1]],
        "one more after select([1, 0])",
        of_extend="select puts the rows of self.valid into the new order too",
        of_append="select works along the batch, the second axis of self.k and self.v",
    )
    hint = "the last position is capacity - 1"
    caches.step([[1], [1]], "the last one that fits", hint, hint)
    caches = Pair(1, 6)
    hint = "the batch is 1 here"
    caches.step([[0, 1, 1]], "one row alone", hint, hint)
    caches.select([0, 0, 0])
    hint = "the batch has as many rows as were selected, each a copy of its own"
    caches.step([[1], [1], [0]], "3 rows after select([0, 0, 0])", hint, hint)
    caches.select([2, 0, 1])
    hint = "row 0 becomes what row 2 was, row 1 what row 0 was: no row goes to where it is named"
    caches.step([[1], [1], [1]], "3 rows after select([2, 0, 1])", hint, hint)
    caches.select([2])
    hint = "only the selected row stays, and goes on from there"
    caches.step([[1]], "one row after select([2])", hint, hint)
