"""Exercise 6: rotary positions, as Qwen3 and Llama pair the channels."""

import torch

import tinyaudio
from course.checking import equal, generator, replacing

NAME = "apply_rope"
reference = tinyaudio.apply_rope
installed = replacing((tinyaudio, "apply_rope"))


def check(solution) -> None:
    g = generator()
    x = torch.randn(2, 3, 5, 8, generator=g)
    ones, zeros = torch.ones(2, 1, 5, 8), torch.zeros(2, 1, 5, 8)
    hint = "cos is 1 and sin is 0 there"
    equal(solution(x, ones, zeros), x, "an angle of 0 at every position", hint)
    hint = "channels 0 to 3 become minus channels 4 to 7, and these become channels 0 to 3"
    expected = reference(x, zeros, ones)
    equal(solution(x, zeros, ones), expected, "a quarter of a turn", hint)
    angles = torch.rand(2, 1, 5, 4, generator=g) * 6
    cos, sin = (torch.cat((f(angles), f(angles)), -1) for f in (torch.cos, torch.sin))
    yours = solution(x, cos, sin)
    hint = "x * cos + (-second half, first half) * sin"
    equal(yours, reference(x, cos, sin), "an angle for each position and pair", hint)
    hint = "turning changes no length"
    equal(yours.norm(dim=-1), x.norm(dim=-1), "the length of each head's vector", hint)
