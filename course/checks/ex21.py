"""Exercise 21: an adapter under PEFT's names, as lora.adapter_tensors."""

import tempfile

import torch
from torch import nn

import lora
from course.checking import equal, generator, replacing
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "adapter_tensors"
reference = lora.adapter_tensors


def block(width: int) -> nn.ModuleDict:
    names = ("q_proj", "k_proj", "out_proj")
    return nn.ModuleDict({"attention": nn.ModuleDict({n: nn.Linear(width, width) for n in names})})


@torch.no_grad()
def check(solution) -> None:
    g = generator()

    def compare(model: nn.Module, targets: tuple[str, ...], case: str, hint: str) -> nn.Module:
        if targets:
            lora.apply_lora(model, targets, r=3, alpha=6.0)
        for p in model.parameters():
            nn.init.normal_(p, generator=g)
        yours, expected = solution(model), reference(model)
        if not isinstance(yours, dict):
            equal(yours, expected, case, "return a dict of tensors by their names")
        equal(sorted(yours), sorted(expected), f"{case}: the names", hint)
        for name, tensor in expected.items():
            equal(yours[name], tensor, f"{case}: {name}", "lora_A belongs to A and lora_B to B")
        return model

    hint = "two names a layer: base_model.model., its path, and .lora_A.weight or .lora_B.weight"
    compare(nn.ModuleDict({"q_proj": nn.Linear(8, 8)}), ("q_proj",), "a single layer", hint)
    hint = "the whole path of the layer that is adapted, and no other layers"
    compare(block(8), ("q_proj",), "one of three layers adapted", hint)
    model = nn.ModuleDict({"layers": nn.ModuleList([block(6), block(6)])})
    hint = "the whole path, or the layers of two blocks have the same name"
    compare(model, ("q_proj", "k_proj"), "four adapted layers in two blocks", hint)
    compare(block(8), (), "no adapters", "an empty dict")
    for tensor in solution(model).values():
        tensor.fill_(7)
    weight = model["layers"][0]["attention"]["q_proj"].lora_A.weight
    hint = "give the parameters themselves: what is written into a copy never gets into the model"
    equal(weight, torch.full_like(weight, 7), "A after 7 was written into your tensors", hint)


def run(solution, audio) -> str:
    """Save the tiny model's adapters under your names, and load the files into a model that has
    lost its own."""
    model = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu")
    count = 0
    for part in (model.encoder, model.decoder):
        with tempfile.TemporaryDirectory() as folder:
            with replacing((lora, "adapter_tensors"))(solution):
                lora.save_adapter(part, folder)
            for layer in lora.lora_layers(part).values():
                nn.init.zeros_(layer.lora_B.weight)
            lora.load_adapter(part, folder)
        count += len(solution(part))
    return f"{model.transcribe(audio)} ({count} tensors saved and loaded)"
