"""Exercise 16: one training step, with the arithmetic of train.train_step."""

import copy
import math

import torch
from torch import Tensor, nn

import train
from course.checking import equal, generator
from course.checks.ex14 import untrained
from course.checks.ex15 import Model, Standstill, Tokens
from devices import gradient_scaler

NAME = "train_step"


def reference(model: nn.Module, batch, optimizer, clip: float) -> tuple[float, float]:
    optimizer.zero_grad()  # the repository does it at the end
    scaler = gradient_scaler(torch.float32, "cpu")
    return train.train_step(model, [batch], optimizer, scaler, clip)[:2]


def check(solution) -> None:
    g = generator()
    start = Model(g)
    batch, other = Tokens.random(12, g), Tokens.random(7, g)

    def results(found, loss: float, norm: float, case: str, of_norm: str) -> None:
        if not (isinstance(found, (tuple, list)) and len(found) == 2):
            equal(found, (loss, norm), f"{case}: what is returned", "return loss, norm")
        of_loss = "the summed loss divided by the number of tokens, a plain number"
        equal(found[0], loss, f"{case}: the loss", of_loss)
        equal(found[1], norm, f"{case}: the norm", of_norm)

    names = [name for name, _ in start.named_parameters()]

    def changed(model: nn.Module, name: str) -> Tensor:
        return (model.get_parameter(name) - start.get_parameter(name)).detach()

    def compare(batches: list[Tokens], clip: float, case: str, hint: str) -> None:
        """Steps of gradient descent with a learning rate of 1: the change is the gradient."""
        ours, yours = copy.deepcopy(start), copy.deepcopy(start)
        optimizers = [torch.optim.SGD(model.parameters(), lr=1.0) for model in (ours, yours)]
        for number, batch in enumerate(batches):
            loss, norm = reference(ours, batch, optimizers[0], clip)
            found = solution(yours, batch, optimizers[1], clip)
            of_norm = "of all gradients of the loss per token, before clipping, a plain number"
            results(found, loss, norm, case, hint if number else of_norm)
        for name in names:
            change, expected = changed(yours, name), changed(ours, name)
            equal(change, expected, f"{case}: the change of {name}", hint)

    hint = "backward on the loss per token, then the optimizer's step"
    compare([batch], math.inf, "one step without clipping", hint)
    loss, norm = reference(copy.deepcopy(start), batch, Standstill(), math.inf)
    hint = "a gradient that is short enough stays as it is"
    compare([batch], 2 * norm, "the norm is half of clip", hint)
    hint = "multiply all gradients by the same factor, clip / norm, of all parameters together"
    compare([batch], norm / 4, "the norm is four times clip", hint)
    hint = "backward adds to the gradients of the step before; zero them first"
    compare([batch, other], math.inf, "two steps, one after the other", hint)

    for factor in (math.inf, math.nan):
        ours, yours = copy.deepcopy(start), copy.deepcopy(start)
        # With the usual eps of 1e-8 the rounding of a tiny gradient would decide on a whole step.
        one, two = (torch.optim.Adam(m.parameters(), lr=0.1, eps=1e-2) for m in (ours, yours))
        case = f"a gradient of {factor}"
        overflow = yours.head.bias.register_hook(lambda gradient, by=factor: gradient * by)
        found = solution(yours, batch, two, 1.0)
        overflow.remove()
        results(found, loss, factor, case, "return it as it is, also where there is no step")
        hint = "look at the norm: no step unless it is finite; the loss may be finite all the same"
        for name in names:
            change = changed(yours, name)
            equal(change, torch.zeros_like(change), f"{case}: the change of {name}", hint)
        reference(ours, other, one, 1.0)
        solution(yours, other, two, 1.0)
        hint = "leave the step out altogether: the optimizer's averages must not see it either"
        for name in names:
            change, expected = changed(yours, name), changed(ours, name)
            equal(change, expected, f"the step after {case}: the change of {name}", hint)


def run(solution, audio) -> str:
    """Eight steps of training on the recording alone."""
    model, batch = untrained(audio)
    optimizer = train.make_optimizer(model, train.TrainConfig())
    losses = [solution(model, batch, optimizer, 1.0)[0] for _ in range(8)]
    shown = ", ".join(f"{loss:.2f}" for loss in losses)
    return f"{batch.texts[0]} (loss per token, step by step: {shown})"
