"""Exercise 14: the learning-rate schedule. Class 4.

At the start Adam has seen few gradients and its steps are too sure of themselves: the learning rate
climbs over a warm-up. Then it falls along a cosine, so that the last steps settle what was learned.
"""

from train import TrainConfig


def learning_rate(step: int, cfg: TrainConfig) -> float:
    """The share of the peak learning rate, from 0 to 1, at a step counted from 0.

    About 4 lines. Over the first cfg.warmup steps the share grows in a straight line and is 1 at
    the last of them; at step 0 it is not 0, or that step would be lost. From step cfg.warmup to
    cfg.steps half a period of a cosine leads from 1 down to cfg.lr_floor.
    """
    raise NotImplementedError("Exercise 14")
