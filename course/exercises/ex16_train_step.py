"""Exercise 16: one training step. Class 4.

Everything that is learned is learned here, a step at a time: loss, gradient, a small change of the
weights. One bad batch must not undo the work of hours, so the step is clipped, or left out.
"""

import torch
from torch import nn


def train_step(
    model: nn.Module, batch, optimizer: torch.optim.Optimizer, clip: float
) -> tuple[float, float]:
    """One optimizer step on a batch: (loss per target token, norm of the gradient before clipping).

    `model(batch)` gives two tensors: the loss summed over the batch's target tokens, and their
    number. Both results are plain numbers.

    About 8 lines. Gradients are left over from the step before. The norm is that of all gradients
    taken together; where it is above `clip`, all are made smaller by one factor. Where it is
    infinite or NaN, neither weights nor optimizer may change.
    """
    raise NotImplementedError("Exercise 16")
