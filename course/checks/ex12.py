"""Exercise 12: a linear layer with LoRA (Hu et al. 2021), as lora.LoRALinear."""

import copy

import torch
from torch import nn

import lora
from course.checking import equal, generator, replacing

NAME = "LoRALinear"
reference = lora.LoRALinear


def installed(piece):
    class Layer(piece):
        """The piece with what loading an adapter asks of a layer besides."""

        def __init__(self, base, r, alpha, dropout):
            super().__init__(base, r, alpha, dropout)
            self.r, self.alpha = r, alpha

        def unmerge(self):
            pass  # it is never merged

    return replacing((lora, "LoRALinear"))(Layer)


@torch.no_grad()
def check(solution) -> None:
    g = generator()
    x = torch.randn(2, 5, 8, generator=g)

    def layers(r, alpha, dropout=0.0, bias=True, start=False):
        """Yours and the repository's around equal weights; but for `start` with equal A and B."""
        bases = [nn.Linear(8, 6, bias=bias)]
        bases.append(copy.deepcopy(bases[0]))
        yours, ours = solution(bases[0], r, alpha, dropout), reference(bases[1], r, alpha, dropout)
        if not start:
            for matrix in ("lora_A", "lora_B"):
                value = torch.randn(getattr(ours, matrix).weight.shape, generator=g)
                getattr(ours, matrix).weight.data.copy_(value)
                getattr(yours, matrix).weight.data.copy_(value)
        return yours, ours, bases[0]

    yours, ours, base = layers(r=4, alpha=4, start=True)
    shapes = [{name: tuple(p.shape) for name, p in layer.named_parameters()}
              for layer in (yours, ours)]  # fmt: skip
    hint = "self.weight, self.bias, self.lora_A and self.lora_B, and no other parameters"
    equal(dict(sorted(shapes[0].items())), dict(sorted(shapes[1].items())), "the parameters", hint)
    hint = "y is W x + bias as long as B is zero, and at the start it is"
    equal(yours(x), base(x), "a new layer, before any training", hint)
    hint = "keep the random start of A: with A and B both zero neither has a gradient, ever"
    equal(bool(yours.lora_A.weight.any()), True, "a new layer: A is not zero", hint)
    hint = "assign the base's parameters: with a copy every weight takes its memory twice"
    same = yours.weight.data_ptr() == base.weight.data_ptr()
    equal(same, True, "weight is the base's own, in the same memory", hint)
    trained = [sorted(name for name, p in layer.named_parameters() if p.requires_grad)
               for layer in (yours, ours)]  # fmt: skip
    hint = "weight and bias get no gradient (requires_grad_), A and B do"
    equal(*trained, "what is trained", hint)

    yours, ours, _ = layers(r=4, alpha=4)
    hint = "alpha / r is 1 here: y = W x + bias + B (A x)"
    equal(yours(x), ours(x), "A and B of some training, alpha = r = 4", hint)
    hint = "the update is multiplied by alpha / r"
    yours, ours, _ = layers(r=2, alpha=16)
    equal(yours(x), ours(x), "r = 2, alpha = 16", hint)
    yours, ours, _ = layers(r=3, alpha=1)
    equal(yours(x), ours(x), "r = 3, alpha = 1", hint)
    yours, ours, _ = layers(r=1, alpha=2, bias=False)
    hint = "F.linear takes None as a bias"
    equal(yours(x), ours(x), "a layer without bias, r = 1", hint)

    yours, ours, base = layers(r=2, alpha=4, dropout=1.0)
    hint = "dropout is on the way to A; W x sees the whole input"
    equal(yours(x), base(x), "in training with a dropout of 1: only W x + bias is left", hint)
    # Of 64 ones half are dropped and the others doubled: A, all ones, sums up something between.
    base = nn.Linear(64, 6)
    yours = solution(base, 1, 1, 0.5)
    nn.init.ones_(yours.lora_A.weight)
    nn.init.ones_(yours.lora_B.weight)
    update = (yours(torch.ones(32, 64)) - base(torch.ones(32, 64)))[:, 0]
    partly = (update > 1) & (update < 127) & (update.unique().numel() > 1)
    hint = "dropout is on the input of A, of which each value falls by itself, not behind A or B"
    equal(bool(partly.all()), True, "in training, dropout 0.5: a part of each x reaches A", hint)
    yours, ours, _ = layers(r=2, alpha=4, dropout=0.5)
    hint = "F.dropout has to be told `training`; nn.Dropout sees it"
    equal(yours.eval()(x), ours.eval()(x), "dropout 0.5, but in evaluation", hint)
