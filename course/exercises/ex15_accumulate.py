"""Exercise 15: gradient accumulation, normalised by tokens. Class 4.

A batch that is too large for the memory is taken in parts, whose gradients add up before one
optimizer step. The result must be that of the whole batch, however the tokens fall into the parts.
"""

from torch import nn


def accumulate(model: nn.Module, batches: list) -> float:
    """Put into every parameter's `grad` the gradient of the loss per target token of all batches.

    `model(batch)` gives two tensors: the loss summed over the batch's target tokens, and their
    number. Each `grad` is None beforehand. Returns the loss per target token as a plain number.

    About 9 lines. Use `backward`, which adds to what `grad` holds. Each batch goes forwards and
    backwards before the next, so that one at a time is in memory: no retain_graph. The `grad` of a
    frozen parameter stays None, and None cannot be divided.
    """
    raise NotImplementedError("Exercise 15")
