"""Exercise 5: RMSNorm (Zhang & Sennrich 2019), as in Qwen3 and Llama."""

import torch

import projector
import tinyaudio
from course.checking import equal, generator, replacing, untouched

NAME = "RMSNorm"
reference = projector.RMSNorm
installed = replacing((tinyaudio, "RMSNorm"), (projector, "RMSNorm"))


@torch.no_grad()
def check(solution) -> None:
    g = generator()
    x = torch.randn(2, 3, 5, 8, generator=g) + 1

    def compare(x, case: str, hint: str, weight=None, eps=1e-6, tolerance=1e-4) -> None:
        results = []
        for kind in (solution, reference):
            norm = kind(x.shape[-1], eps)
            if weight is not None:
                norm.load_state_dict({"weight": weight})
            results.append(untouched(norm.to(x.dtype), case, x))
        equal(*results, case, hint, tolerance)

    hint = "the root mean square is sqrt((3 * 3 + 4 * 4) / 2); no mean is subtracted"
    compare(torch.tensor([[3.0, 4.0]]), "a position with the channels 3 and 4", hint)
    hint = "each position has a root mean square of its own: over the last axis, keepdim=True"
    compare(x[0, 0], "five positions", hint)
    compare(x, "positions in heads, (B, H, S, D)", "it is the last axis whatever the others are")
    hint = "multiply by self.weight at the end"
    compare(x, "a random weight", hint, torch.randn(8, generator=g))
    compare(torch.zeros(1, 8), "zeros", "without eps, zeros divide by zero")
    hint = "eps is added to the mean of the squares, not to its root"
    compare(x * 1e-3, "channels of about 0.001", hint)
    compare(x, "another eps, 0.5", "use self.eps", eps=0.5)
    norm = solution(8).to(torch.bfloat16)
    hint = "go back to x.dtype before you multiply by the weight"
    y = norm(x.bfloat16())
    equal(y.dtype, torch.bfloat16, "the format of the result for bfloat16", hint)
    # Every bfloat16 from 1 to 2: some of their squares are rounded up, some down.
    size = 1 + torch.arange(128)[:, None] / 128
    sign = torch.randint(0, 2, (128, 8), generator=g) * 2 - 1
    hint = "each becomes 1 or -1 exactly, if squares, root and quotient are computed in float32"
    compare((size * sign).bfloat16(), "bfloat16 of one size in each row", hint, tolerance=1e-3)
    hint = "a square above 65,504 is infinite in float16: x.float() comes first"
    compare((x.sign() * 1000).half(), "float16 of 1,000 and -1,000", hint, tolerance=1e-3)
