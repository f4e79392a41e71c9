"""Where a model runs and in which number format: every choice by device, in this one place."""

import os
import platform
import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

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


def hardware(device: str) -> str:
    """What a person calls the machine: the GPU's name, or how many cores of which processor."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores" + (" (MPS)" if device == "mps" else "")


def inference_dtype(device: str) -> torch.dtype:
    """The number format to transcribe in."""
    return torch.float32 if device == "cpu" else torch.bfloat16


def formats(name: str, kind: str) -> tuple[torch.dtype, torch.dtype]:
    """The number formats of frozen weights and of what is computed, by train.precision and by the
    kind of device, which need not be there. Raises ValueError.

    bf16 pays on GPUs since Ampere and on CPUs that multiply it (AMX, AVX-512 BF16).
    """
    if name == "auto" and kind == "cuda":
        old = torch.cuda.is_available() and not torch.cuda.is_bf16_supported()
        name = "fp16" if old else "bf16"
    elif name == "auto":
        fast = kind == "cpu" and torch.cpu._is_avx512_bf16_supported()
        name = "bf16" if fast else "fp32"
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in dtypes:
        raise ValueError(f"train.precision={name}: expected auto, {', '.join(dtypes)}")
    # On the CPU there is no memory to save, and float32 weights are cast once a step.
    return torch.float32 if kind == "cpu" else dtypes[name], dtypes[name]


def precision(name: str, device: str):
    """How to train on a device: (dtype of frozen weights, autocast, gradient scaler).

    Trained weights are always float32; fp16 needs its loss scaled against underflow.
    """
    kind = torch.device(device).type
    frozen, dtype = formats(name, kind)
    autocast = torch.autocast(kind, dtype) if dtype != torch.float32 else nullcontext()
    return frozen, autocast, torch.amp.GradScaler(kind, enabled=dtype == torch.float16)


def recompute_activations(layers: list[nn.Module]) -> None:
    """Keep only each layer's input for the backward pass, and compute the rest again there.

    Chen et al. 2016 (arXiv:1604.06174).
    """
    for layer in layers:
        layer.forward = partial(recomputed, layer.forward)


def recomputed(forward: Callable, *inputs):
    """`forward(*inputs)`, of which only the inputs are kept and the rest is computed again."""
    if torch.is_grad_enabled():
        return checkpoint(forward, *inputs, use_reentrant=False)
    return forward(*inputs)
