"""Plausible wrong solutions of exercise 12, each with its mistake as its name."""

import torch.nn.functional as F
from torch import nn


class Right(nn.Module):
    """What the wrong ones begin with."""

    def __init__(self, base, r, alpha, dropout):
        super().__init__()
        self.weight, self.bias = base.weight.requires_grad_(False), base.bias
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.scale, self.dropout = alpha / r, nn.Dropout(dropout)
        self.lora_A = nn.Linear(base.in_features, r, bias=False)
        self.lora_B = nn.Linear(r, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        y = F.linear(x, self.weight, self.bias)
        return y + self.scale * self.lora_B(self.lora_A(self.dropout(x)))


class BStartsRandom(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        self.lora_B.reset_parameters()


class AStartsAtZeroToo(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        nn.init.zeros_(self.lora_A.weight)


class NothingFrozen(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        self.requires_grad_(True)


class BiasTrained(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        if self.bias is not None:
            self.bias.requires_grad_(True)


class WeightCopied(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        self.weight = nn.Parameter(base.weight.detach().clone(), requires_grad=False)


class LayersWithBias(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        self.lora_A = nn.Linear(base.in_features, r)


class NotScaled(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        self.scale = 1.0


class NotDividedByR(Right):
    def __init__(self, base, r, alpha, dropout):
        super().__init__(base, r, alpha, dropout)
        self.scale = alpha


class BiasForgotten(Right):
    def forward(self, x):
        y = F.linear(x, self.weight)
        return y + self.scale * self.lora_B(self.lora_A(self.dropout(x)))


class DropoutBeforeWToo(Right):
    def forward(self, x):
        x = self.dropout(x)
        return F.linear(x, self.weight, self.bias) + self.scale * self.lora_B(self.lora_A(x))


class DropoutBehindB(Right):
    def forward(self, x):
        y = F.linear(x, self.weight, self.bias)
        return y + self.scale * self.dropout(self.lora_B(self.lora_A(x)))


class DropoutInEvaluation(Right):
    def forward(self, x):
        y = F.linear(x, self.weight, self.bias)
        x = F.dropout(x, self.dropout.p)
        return y + self.scale * self.lora_B(self.lora_A(x))


WRONG = [BStartsRandom, AStartsAtZeroToo, NothingFrozen, BiasTrained, WeightCopied, LayersWithBias,
         NotScaled, NotDividedByR, BiasForgotten, DropoutBeforeWToo, DropoutBehindB,
         DropoutInEvaluation]  # fmt: skip
