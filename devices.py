"""Where a model runs and in which number format: every choice by device, in this one place."""

import os
import platform
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.utils.checkpoint import checkpoint

# cuDNN's attention, PyTorch's first choice on an H100, makes a plan for every shape that it has not
# met, 0.1 s each; in speech nearly every batch has a new one. The other kernels need none.
torch.backends.cuda.enable_cudnn_sdp(False)


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
    mps = torch.device(device).type == "mps"
    return f"{name}, {os.cpu_count()} cores" + (" (MPS)" if mps else "")


def move(tensor: Tensor, device) -> Tensor:
    """To a device; the CPU does not wait till a GPU has done what it was given before."""
    # Not on MPS: such a copy may read memory that is free already (pytorch/pytorch#189690).
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")


def inference_dtype(device: str) -> torch.dtype:
    """The number format to transcribe in."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16


def training_dtype(name: str, device: str) -> torch.dtype:
    """The number format of frozen weights, in which all is computed, by train.precision and by the
    device, which need not be there. Trained weights are always float32. Raises ValueError.

    bf16 pays on GPUs since Ampere and on CPUs that multiply it (AMX, AVX-512 BF16).
    """
    kind = torch.device(device).type
    if name == "auto" and kind == "cuda":
        real = partial(torch.cuda.is_bf16_supported, including_emulation=False)
        old = torch.cuda.is_available() and not real()
        name = "fp16" if old else "bf16"
    elif name == "auto":
        fast = kind == "cpu" and torch.cpu._is_avx512_bf16_supported()
        name = "bf16" if fast else "fp32"
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if name not in dtypes:
        raise ValueError(f"train.precision={name}: expected auto, {', '.join(dtypes)}")
    return dtypes[name]


def gradient_scaler(dtype: torch.dtype, device: str) -> torch.amp.GradScaler:
    """Against underflow, which threatens fp16 alone; for other formats it does nothing."""
    # The loss is a sum over tokens: at the usual 65536, meant for a mean, ten steps overflow.
    kind = torch.device(device).type
    return torch.amp.GradScaler(kind, init_scale=16.0, enabled=dtype == torch.float16)


def has_flash_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """In 16 bits, on GPUs since Ampere, where PyTorch was built with it (Dao 2023)."""
    return (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def key_mask(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """What `attend` is told of padding; valid (B, F) is True at each row's utterance, its start.

    A mask (B, 1, 1, F) would do, but it rules out flash attention. Where there is that, it is told
    the places (2B + 1,), in the rows laid end to end, at which an utterance or its padding begins.
    """
    if not has_flash_attention(valid.device, dtype):
        return valid[:, None, None]
    B, F_ = valid.shape
    starts = F_ * torch.arange(B, device=valid.device)
    places = torch.stack((starts, starts + valid.sum(1)), dim=1).flatten()
    return F.pad(places, (0, 1), value=B * F_).int()


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017) over the frames that `key_mask` allows, or
    all: queries, keys, values (B, H, F, D), each head for itself -> (B, H, F, D)."""
    if mask is None or mask.dtype == torch.bool:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    F_ = q.shape[2]  # the longest utterance; padding is one of its own, which nobody looks at
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))  # (B * F, H, D)
    y = varlen_attn(q, k, v, mask, mask, F_, F_)
    return y.unflatten(0, (-1, F_)).transpose(1, 2)


def attend_grouped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Grouped-query attention (Ainslie et al. 2023): queries (B, H, S, D), of which H / K heads in
    a row share one of keys and values (B, K, T, D) -> (B, H, S, D).

    `mask` (B, 1, S, T) is True where a query may look; without one, at all or, `causal`, at no
    later position.
    """
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    # On CUDA no fused kernel takes a mask and shared keys, and the one that is left copies the keys
    # for every query head (torch 2.11). One after the other, heads that share are as one head.
    shared = q.shape[1] // k.shape[1]
    q, mask = q.unflatten(1, (-1, shared)).flatten(2, 3), mask.repeat(1, 1, shared, 1)
    y = F.scaled_dot_product_attention(q, k, v, mask)
    return y.unflatten(2, (shared, -1)).flatten(1, 2)


def convolve(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """`conv(x)`, (B, C, T) -> (B, C', T').

    On CUDA in other ways. cuDNN makes a plan for every shape that it has not met, 2.4 ms for each
    of the stem's seven convolutions. Its kernels for HuBERT's positional convolution, wide and in
    groups, take 23 ms for two minutes of audio in HuBERT-xlarge; by the convolution theorem, 2.
    """
    if not x.is_cuda:
        return conv(x)
    return convolve_by_fft(conv, x) if conv.groups > 1 else convolve_by_product(conv, x)


def convolve_by_product(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """All windows as rows of one matrix, times the kernels; without padding and groups."""
    windows = x.transpose(1, 2).unfold(1, conv.kernel_size[0], conv.stride[0])  # (B, T', C, K)
    kernels = conv.weight.transpose(1, 2).flatten(1)  # (C', K * C)
    y = F.linear(windows.transpose(2, 3).reshape(-1, kernels.shape[1]), kernels, conv.bias)
    return y.unflatten(0, windows.shape[:2]).transpose(1, 2)


def fft_size(conv: nn.Conv1d, T: int) -> int:
    """Of T positions with zeros beyond both ends: a power of two."""
    return 2 ** (T + conv.kernel_size[0]).bit_length()


def convolve_by_fft(conv: nn.Conv1d, x: Tensor) -> Tensor:
    (K,), (padding,), T = conv.kernel_size, conv.padding, x.shape[-1]
    size = fft_size(conv, T)
    signal = torch.fft.rfft(x.float(), size).unflatten(1, (conv.groups, -1))
    kernel = torch.fft.rfft(conv.weight.float(), size).unflatten(0, (conv.groups, -1))
    products = torch.einsum("bgcf,gocf->bgof", signal, kernel.conj())  # in each group, frequency
    y = torch.fft.irfft(products, size).flatten(1, 2).roll(padding, -1)
    return y[..., : T + 2 * padding - K + 1].to(x.dtype) + conv.bias[:, None]


def set_up_layers(layers: list[nn.Module], compile: bool, recompute: bool) -> None:
    """How layers are run in training. Raises ValueError where compiling cannot succeed.

    compile: torch.compile fuses what a layer does, one pass over memory for many. Layers of a kind
    share a compilation, for any length. Decoding stays as it is: its shapes change at every token.
    recompute: only each layer's input is kept for the backward pass, and the rest is computed again
    there (Chen et al. 2016, arXiv:1604.06174).
    """
    if compile and not any(map(shutil.which, ("gcc", "clang", "cl"))):
        raise ValueError("train.compile needs a C compiler: install gcc or clang")
    if compile and " " in torch.__file__ and not next(layers[0].parameters()).is_cuda:
        # Its commands for a CPU do not quote paths (torch 2.11).
        folder = Path(torch.__file__).parent
        raise ValueError(f"train.compile: not from a path with a space, {folder}")
    if compile:  # by layer, padding, gradient, and one row or several: eight are too few
        torch._dynamo.config.recompile_limit = 16
    for layer in layers:
        if compile:
            compiled = torch.compile(layer.forward, dynamic=True)
            layer.forward = partial(in_training, compiled, layer.forward)
        if recompute:
            layer.forward = partial(recomputed, layer.forward)


def in_training(trained: Callable, forward: Callable, *inputs):
    """`trained(*inputs)` where gradients are asked for, `forward(*inputs)` elsewhere."""
    return (trained if torch.is_grad_enabled() else forward)(*inputs)


def recomputed(forward: Callable, *inputs):
    """`forward(*inputs)`, of which only the inputs are kept and the rest is computed again."""
    if torch.is_grad_enabled():
        return checkpoint(forward, *inputs, use_reentrant=False)
    return forward(*inputs)
