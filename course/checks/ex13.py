"""Exercise 13: merging an adapter into its weight, as LoRALinear.merge."""

import torch
from torch import nn

from course.checking import equal, generator, replacing
from lora import LoRALinear, lora_layers, merge_lora
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "merged_weight"
MERGE = LoRALinear.merge  # the repository's own, also while another is installed


@torch.no_grad()
def reference(weight, A, B, alpha, r):
    """What LoRALinear.merge makes of a layer's weight."""
    base = nn.Linear(A.shape[1], B.shape[0], bias=False, dtype=weight.dtype)
    base.weight.copy_(weight)
    layer = LoRALinear(base, r, alpha, dropout=0.0)
    layer.lora_A.weight, layer.lora_B.weight = nn.Parameter(A), nn.Parameter(B)
    MERGE(layer)
    return layer.weight.detach()


def installed(piece):
    @torch.no_grad()
    def merge(self):
        if self.unmerged_weight is None:
            self.unmerged_weight = self.weight.detach().clone()
            A, B = self.lora_A.weight.detach(), self.lora_B.weight.detach()
            self.weight.copy_(piece(self.unmerged_weight, A, B, self.alpha, self.r))

    return replacing((LoRALinear, "merge"))(merge)


def run(solution, audio) -> str:
    """The transcript of the tiny model after all its adapters were merged."""
    model = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu")
    with installed(solution):
        merge_lora(model)
    changes = [(layer.weight - layer.unmerged_weight).norm() / layer.unmerged_weight.norm()
               for layer in lora_layers(model).values()]  # fmt: skip
    change = sum(changes) / len(changes)
    return f"{model.transcribe(audio)} ({len(changes)} weights merged, changed by {change:.1%})"


def check(solution) -> None:
    g = generator()

    def drawn(rows: int, columns: int, step: float, most: int):
        """Multiples of `step`: their sums of products are exact in float32, in any order."""
        return torch.randint(-most, most + 1, (rows, columns), generator=g) * step

    def compare(size, alpha, r, case: str, hint: str, dtype=torch.float32, adapter=torch.float32):
        out, in_ = size
        case = f"{case} {out} x {in_}, alpha = {alpha}, r = {r}"
        weight = drawn(out, in_, 1 / 128, 127).to(dtype)  # exact in bfloat16 too
        A, B = drawn(r, in_, 2**-10, 1000).to(adapter), drawn(out, r, 2**-10, 1000).to(adapter)
        before = weight.clone()
        yours, expected = solution(weight, A, B, alpha, r), reference(before, A, B, alpha, r)
        if isinstance(yours, torch.Tensor):
            equal(yours.dtype, dtype, f"{case}: the dtype", "round the sum to the weight's dtype")
        # In bfloat16 there is one right result: the exact sum, rounded.
        equal(yours, expected, case, hint, 1e-5 if dtype == torch.float32 else 0.0)
        hint = "add into a new tensor: unmerging needs the old weight"
        equal(weight, before, f"{case}: the old weight, afterwards", hint, 0.0)

    hint = "W + B A, where alpha / r is 1; B (out, r) is on the left of A (r, in)"
    compare((4, 4), 1, 1, "a float32 weight", hint)
    compare((5, 7), 4, 4, "a float32 weight", hint)
    hint = "the update is multiplied by alpha / r"
    compare((6, 9), 16, 4, "a float32 weight", hint)
    compare((6, 9), 2, 8, "a float32 weight", hint)
    hint = "product and sum both in float32: bring each of them there first, and round once"
    compare((24, 40), 8, 4, "a bfloat16 weight, float32 adapter", hint, torch.bfloat16)
    compare((24, 40), 16, 8, "weight and adapter in bfloat16", hint, torch.bfloat16, torch.bfloat16)
