"""Exercise 4: attention with a padding mask. Class 2.

Every frame of the encoder gathers what it needs from all the others, by similarity of its query
with their keys. Padding must gather no weight: an utterance would depend on its neighbours.
"""

from torch import Tensor


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Queries, keys, values (B, H, F, D), each head for itself -> (B, H, F, D).

    `mask` (B, 1, 1, F) bool is True at the keys of valid frames; None: all are valid.

    About 4 lines, without F.scaled_dot_product_attention. A score is the product of a query with a
    key, divided by sqrt(D); a query's weights are the softmax of its scores, and its result is the
    sum of the values by these weights. Watch that the weights of the valid frames sum to 1.
    """
    raise NotImplementedError("Exercise 4")
