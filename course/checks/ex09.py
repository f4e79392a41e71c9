"""Exercise 9: frame stacking, the first half of AudioProjector.forward."""

from types import SimpleNamespace

import torch

from course.checking import equal, generator, replacing
from projector import AudioProjector

NAME = "stack_frames"
FORWARD = AudioProjector.forward  # the repository's own, also while another is installed


def reference(frames, k: int):
    """AudioProjector.forward with norms and feed-forward layer that leave their input as it is."""

    def unchanged(x):
        return x

    layers = SimpleNamespace(k=k, norm_in=unchanged, mlp=unchanged, norm_out=unchanged)
    return FORWARD(layers, frames)


def installed(piece):
    def forward(self, frames):
        return self.norm_out(self.mlp(self.norm_in(piece(frames, self.k))))

    return replacing((AudioProjector, "forward"))(forward)


def check(solution) -> None:
    g = generator()
    frames = torch.randn(3, 8, 2, generator=g)

    def compare(frames, k: int, case: str, hint: str) -> None:
        equal(solution(frames, k), reference(frames, k), case, hint)

    compare(frames[:1], 1, "k = 1", "a stack of one frame is the frame itself, and none is missing")
    hint = "the first stack is frame 0, frame 1, frame 2, frame 3, each with its D values together"
    compare(frames[:1], 4, "8 frames of one utterance, k = 4", hint)
    hint = "stack along the frames; the utterances stay apart"
    compare(frames, 2, "8 frames of three utterances, k = 2", hint)
    hint = "the third stack holds frames 6 and 7 and then D zeros"
    compare(frames, 3, "8 frames, k = 3: one is missing in the last stack", hint)
    hint = "the second stack holds frames 5, 6 and 7 and then 2 * D zeros"
    compare(frames, 5, "8 frames, k = 5: two are missing in the last stack", hint)
    compare(frames[:, :1], 4, "one frame, k = 4", "even a single frame makes a stack")
    hint = "make the zeros in the dtype of the frames, or torch.cat gives float32"
    halves = solution(frames.bfloat16(), 3)
    equal(halves.dtype, torch.bfloat16, "the dtype of stacked bfloat16 frames", hint)
    sizes = [int(n) for n in torch.randint(1, 40, (3,), generator=g)]
    frames, k = torch.randn(*sizes, generator=g), int(torch.randint(2, 9, (), generator=g))
    hint = "-F % k frames are missing at the end"
    compare(frames, k, f"frames of the shape {tuple(sizes)}, k = {k}", hint)
