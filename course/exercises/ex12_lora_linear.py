"""Exercise 12: a linear layer with LoRA. Class 4.

A decoder of 8 billion weights is too large to train whole. Beside a frozen layer LoRA trains two
narrow matrices, whose product is added to its weight and has a small rank r.
"""

from torch import Tensor, nn


class LoRALinear(nn.Module):
    """The layer `base` with an update beside it: y = W x + bias + (alpha / r) B A dropout(x).

    Its parameters: `weight` and `bias` are those of `base`, the same tensors, without a gradient
    (bias may be None). `lora_A` (in -> r) and `lora_B` (r -> out) are nn.Linear without bias; A
    keeps its random start, B starts at zero.

    About 10 lines in the two methods. Dropout falls on the input of A alone, and only in training:
    nn.Dropout knows when.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float, dropout: float):
        super().__init__()
        raise NotImplementedError("Exercise 12")

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("Exercise 12")
