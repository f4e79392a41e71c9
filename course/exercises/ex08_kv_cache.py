"""Exercise 8: the KV cache. Class 3.

The keys and values of what has been read do not change when a token is added. Kept, they make each
new token cost one position instead of the whole text again.
"""

import torch
from torch import Tensor

from checkpoints import Qwen3Config


class KVCache:
    """Keys and values of every layer, allocated once for the whole generation.

    About 8 lines in three methods. In each forward pass the decoder calls `extend` once, then
    `append` once in every layer: only `extend` may move on. What is not filled yet is not returned.
    """

    def __init__(self, cfg: Qwen3Config, batch: int, capacity: int, dtype, device):
        shape = (cfg.num_hidden_layers, batch, cfg.num_key_value_heads, capacity, cfg.head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.valid = torch.zeros(batch, capacity, dtype=torch.bool, device=device)
        self.start = self.length = 0  # the new positions are start to length - 1

    def extend(self, valid: Tensor) -> Tensor:
        """Make room for S new positions, and return `valid` of all so far, (B, length).

        valid (B, S) is False where a new position is padding: keep it in self.valid.
        """
        raise NotImplementedError("Exercise 8")

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's keys and values of the new positions, (B, K, S, head_dim).

        Returns the layer's keys and values of all positions so far, (B, K, length, head_dim).
        """
        raise NotImplementedError("Exercise 8")

    def select(self, rows: Tensor) -> None:
        """Keep the given rows of the batch in the given order, rows (B',).

        Beam search drops hypotheses and continues others twice: a row may be absent, or repeated.
        """
        raise NotImplementedError("Exercise 8")
