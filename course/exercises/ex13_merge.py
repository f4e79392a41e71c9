"""Exercise 13: merging an adapter. Class 4.

An adapter costs two more products in every layer. Once training is over, it can be added into the
weight: the same outputs from a model as fast as the one before LoRA.
"""

from torch import Tensor


def merged_weight(weight: Tensor, A: Tensor, B: Tensor, alpha: float, r: int) -> Tensor:
    """The weight (out, in) with the update of A (r, in) and B (out, r) in it, as a new tensor.

    About 2 lines. The update is (alpha / r) times a matrix product of the weight's shape. Frozen
    weights are often bfloat16, with three digits: compute in float32, and round once, to the
    weight's dtype. The old weight stays as it is, since unmerging puts it back.
    """
    raise NotImplementedError("Exercise 13")
