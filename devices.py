"""Where a model runs and in which number format: every choice by device, in this one place."""

from contextlib import nullcontext
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def pick_device(name: str = "auto") -> str:
    """`name`, or for auto the fastest device there is: cuda, mps or cpu. Raises ValueError."""
    if name == "auto" and torch.cuda.is_available():
        return "cuda"
    if name == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # unknown; or this torch is built without it
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name}: cannot be used on this machine ({reason})") from None
    return name


def inference_dtype(device: str) -> torch.dtype:
    """The number format to transcribe in."""
    return torch.float32 if device == "cpu" else torch.bfloat16


def precision(name: str, device: str):
    """The number format to train in: (dtype of frozen weights, autocast, gradient scaler).

    Trained weights are always float32. bf16 pays on GPUs since Ampere and on CPUs that multiply it
    (AMX, AVX-512 BF16); fp16 needs its loss scaled against underflow.
    """
    kind = torch.device(device).type
    if name == "auto":
        fast = {"cuda": torch.cuda.is_bf16_supported, "cpu": torch.cpu._is_avx512_bf16_supported}
        name = "bf16" if kind in fast and fast[kind]() else "fp16" if kind == "cuda" else "fp32"
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in dtypes:
        raise ValueError(f"train.precision={name}: expected auto, {', '.join(dtypes)}")
    dtype = dtypes[name]
    autocast = torch.autocast(kind, dtype) if name != "fp32" else nullcontext()
    # On the CPU there is no memory to save, and float32 weights are cast once a step.
    frozen = torch.float32 if kind == "cpu" else dtype
    return frozen, autocast, torch.amp.GradScaler(kind, enabled=name == "fp16")


def recompute_activations(layers: nn.ModuleList) -> None:
    """Keep only each layer's input for the backward pass, and compute the rest again there.

    Chen et al. 2016 (arXiv:1604.06174). Outside of training nothing changes.
    """
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
