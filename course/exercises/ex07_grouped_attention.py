"""Exercise 7: grouped-query attention. Class 3.

The decoder writes from left to right: a position sees itself and what stands before it. Several
query heads share a head of keys and values, and the cache of these shrinks by as much.
"""

from torch import Tensor


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries (B, H, S, D), keys and values (B, K, P, D) -> (B, H, S, D).

    About 7 lines, without F.scaled_dot_product_attention. H is a multiple of K: the first H / K
    query heads share the first head of keys and values, the next H / K the second, and so on.
    The queries are the last S of the P positions (the others lie in a cache), so the last query
    sees all of them. Scores and weights are those of exercise 4, with sqrt(D).
    """
    raise NotImplementedError("Exercise 7")
