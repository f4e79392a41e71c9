"""Exercise 10: RMSNorm, SwiGLU, RMSNorm, as AudioProjector computes them."""

import torch

from course.checking import equal, generator, replacing
from course.checks.ex09 import reference as stack_frames
from projector import AudioProjector

NAME = "project"


class Projector(AudioProjector):
    forward = AudioProjector.forward  # the repository's own, also while another is installed


def reference(stacked, norm_in, gate, up, down, norm_out):
    """AudioProjector on stacks that are already made: with k = 1 it makes none."""
    with torch.device("meta"):
        projector = Projector(gate.shape[1], down.shape[0], k=1, hidden=gate.shape[0])
    weights = {
        "norm_in.weight": norm_in, "norm_out.weight": norm_out, "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up, "mlp.down_proj.weight": down,
    }  # fmt: skip
    return torch.func.functional_call(projector, weights, (stacked,))


def installed(piece):
    def forward(self, frames):
        mlp = self.mlp
        layers = (self.norm_in, mlp.gate_proj, mlp.up_proj, mlp.down_proj, self.norm_out)
        return piece(stack_frames(frames, self.k), *(layer.weight for layer in layers))

    return replacing((AudioProjector, "forward"))(forward)


def check(solution) -> None:
    g = generator()
    kD, hidden, D = 12, 10, 6
    stacked = torch.randn(2, 4, kD, generator=g) * 2 + 1
    norm_in, norm_out = torch.rand(kD, generator=g) + 0.5, torch.rand(D, generator=g) + 1.5
    gate, up = torch.randn(2, hidden, kD, generator=g)
    down = torch.randn(D, hidden, generator=g)

    def compare(stacked, weights, case: str, hint: str, tolerance: float = 1e-4):
        expected = reference(stacked, *weights)
        yours = solution(stacked.clone(), *weights)
        equal(yours, expected, case, hint, tolerance)
        return yours

    ones = torch.ones(kD), gate, up, down, torch.ones(D)
    hint = "silu on the gate branch alone, a norm at either end, and no norm subtracts a mean"
    compare(stacked[:1, :1], ones, "one stack, both norms with weights of 1", hint)
    hint = "each norm multiplies by its own weight, after the division"
    weights = norm_in, gate, up, down, norm_out
    compare(stacked[:1, :1], weights, "one stack, norms with weights", hint)
    hint = "each stack has a mean of squares of its own, over the last axis"
    compare(stacked, weights, "two utterances of four stacks", hint)
    hint = "1e-6 keeps the root of the mean of squares from being 0"
    compare(torch.zeros(1, 2, kD), weights, "stacks of zeros", hint)
    hint = "1e-6 is added to the mean of squares, inside the root"
    compare(stacked * 1e-3, weights, "stacks of very small values", hint)
    weights = [weight.half() for weight in weights]
    hint = "bring x to float32 before you square it, and back to its dtype after the division"
    yours = compare((stacked + 3).half() * 200, weights, "stacks of large values in float16", hint,
                    tolerance=0.02)  # fmt: skip
    equal(yours.dtype, torch.float16, "the dtype of audio tokens from float16 stacks", hint)
