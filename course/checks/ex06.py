"""Exercise 6: rotary positions, as Qwen3 and Llama pair the channels."""

import torch

import tinyaudio
from course.checking import equal, generator, replacing, untouched

NAME = "apply_rope"
reference = tinyaudio.apply_rope
installed = replacing((tinyaudio, "apply_rope"))


def check(solution) -> None:
    g = generator()
    x = torch.randn(2, 3, 5, 8, generator=g)

    def compare(cos, sin, case: str, hint: str) -> None:
        yours = untouched(solution, case, x, cos, sin)
        equal(yours, reference(x, cos, sin), case, hint)

    ones, zeros = torch.ones(2, 1, 5, 8), torch.zeros(2, 1, 5, 8)
    compare(ones, zeros, "an angle of 0 at every position", "cos is 1 and sin is 0 there")
    hint = "channels 0 to 3 become minus channels 4 to 7, and these become channels 0 to 3"
    compare(zeros, ones, "a quarter of a turn", hint)
    angles = torch.rand(2, 1, 5, 4, generator=g) * 6
    cos, sin = (torch.cat((f(angles), f(angles)), -1) for f in (torch.cos, torch.sin))
    hint = "x * cos + (-second half, first half) * sin"
    compare(cos, sin, "an angle for each position and pair", hint)
