"""Exercise 6: rotary positions (RoPE). Class 3.

The decoder learns where a token stands by turning its queries and keys, each pair of channels by
an angle that grows with the position: a query and a key then meet at the angle between the two.
"""

from torch import Tensor


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs of channels of x (B, H, S, D) by angles, cos and sin (B, 1, S, D).

    About 2 lines. A pair is channel i and channel i + D/2, not i and i + 1; both halves of cos are
    the same. A pair (a, b) becomes (a cos - b sin, b cos + a sin).
    """
    raise NotImplementedError("Exercise 6")
