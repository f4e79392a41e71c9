"""Exercise 15: gradient accumulation, with the arithmetic of train.train_step."""

import copy
import math
import weakref
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import train
from course.checking import equal, generator
from course.checks.ex14 import untrained
from data import Batch
from devices import gradient_scaler

NAME = "accumulate"


class Standstill:
    """An optimizer that leaves weights and gradients as they are."""

    def step(self) -> None: ...

    def zero_grad(self) -> None: ...


def reference(model: nn.Module, batches: list) -> float:
    scaler = gradient_scaler(torch.float32, "cpu")
    return train.train_step(model, batches, Standstill(), scaler, math.inf)[0]


class Tokens(NamedTuple):
    """Some target tokens: what each is predicted from, (n, 6), and the right ids (n,)."""

    inputs: Tensor
    labels: Tensor
    seed: int = 0  # train_step draws dropout from it

    @classmethod
    def random(cls, count: int, g: torch.Generator) -> "Tokens":
        inputs = torch.randn(count, 6, generator=g)
        return cls(inputs, torch.randint(5, (count,), generator=g))


class Model(nn.Module):
    """As TinyAudio it has frozen and trained parts, and gives the summed loss and the count."""

    def __init__(self, g: torch.Generator):
        super().__init__()
        self.frozen, self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 5)
        for p in self.parameters():
            nn.init.normal_(p, generator=g)
        self.frozen.requires_grad_(False)
        self.found: list[tuple] = []  # at each call: was there a gradient, were activations kept?
        self.activations = lambda: None

    def forward(self, batch: Tokens) -> tuple[Tensor, Tensor]:
        self.found.append((self.head.weight.grad is not None, self.activations() is not None))
        hidden = self.body(self.frozen(batch.inputs).tanh()).tanh()
        self.activations = weakref.ref(hidden)
        loss = F.cross_entropy(self.head(hidden), batch.labels, reduction="sum")
        return loss, torch.tensor(len(batch.labels))


def check(solution) -> None:
    g = generator()
    model = Model(g)

    def compare(sizes: list[int], case: str, hint: str) -> None:
        batches = [Tokens.random(size, g) for size in sizes]
        ours, yours = copy.deepcopy(model), copy.deepcopy(model)
        expected, loss = reference(ours, batches), solution(yours, batches)
        filled, right = (
            {name: p.grad for name, p in m.named_parameters() if p.grad is not None}
            for m in (yours, ours)
        )
        of_frozen = "backward fills them; leave out a frozen parameter, whose grad stays None"
        equal(list(filled), list(right), f"{case}: the parameters with a gradient", of_frozen)
        for name, gradient in right.items():
            equal(filled[name], gradient, f"{case}: the gradient of {name}", hint)
        of_loss = "the sum of all losses divided by the number of all tokens, a plain number"
        equal(loss, expected, f"{case}: the loss", of_loss)

    compare([1], "one batch of one token", "call backward on the loss")
    compare([8], "one batch of 8 tokens", "divide every gradient by the number of tokens")
    hint = "add up the gradients of all batches, then divide once, by the tokens of both"
    compare([8, 8], "two batches of 8 tokens", hint)
    hint = "every token weighs the same, whichever batch it is in"
    compare([3, 17], "batches of 3 and 17 tokens", hint)
    compare([5, 1, 30, 2], "batches of 5, 1, 30 and 2 tokens", hint)

    batches = [Tokens.random(size, g) for size in (4, 9)]
    whole = Tokens(*(torch.cat(parts) for parts in zip(*(b[:2] for b in batches), strict=True)))
    parts, one = copy.deepcopy(model), copy.deepcopy(model)
    solution(parts, batches)
    solution(one, [whole])
    case = "batches of 4 and 9 tokens beside one batch of the same 13"
    equal(parts.head.weight.grad, one.head.weight.grad, case, hint)
    arrived, kept = zip(*parts.found[:2], strict=True)
    hint = (
        "each batch goes forwards once, and backwards before the next one does: or all of them "
        "are in memory"
    )
    case = "had a gradient arrived when the first batch went forwards, and the second?"
    equal(arrived, (False, True), case, hint)
    hint = "backward lets go of a batch's activations, unless retain_graph keeps them"
    case = "were old activations in memory when the first batch went forwards, and the second?"
    equal(kept, (False, False), case, hint)


def run(solution, audio) -> str:
    """The loss and the gradient of the recording and of a second of silence, in two batches."""
    model, batch = untrained(audio)
    silence = Batch(torch.zeros(1, 16_000), torch.tensor([16_000]), [""])  # its one target: the end
    loss = solution(model, [batch, silence])
    norm = train.gradient_norm(model)
    return f"{batch.texts[0]} (loss per token {loss:.3f}, norm of the gradient {norm:.3f})"
