"""The choices of device and number format, with machines that are not here pretended."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import devices
from devices import (
    attend,
    attend_grouped,
    convolve,
    convolve_by_fft,
    convolve_by_product,
    gradient_scaler,
    has_flash_attention,
    inference_dtype,
    key_mask,
    move,
    pick_device,
    training_dtype,
)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (False,) * 2 + ("cpu",)],
)
def test_the_fastest_device_is_picked(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device() == expected
    assert pick_device("cpu") == "cpu"  # asked for by name, that one


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(name):
    with pytest.raises(ValueError, match=f"device {name}: cannot be used on this machine"):
        pick_device(name)


@pytest.mark.parametrize("fast", [True, False])
def test_the_cpu_trains_in_bf16_where_that_is_faster(fast, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert training_dtype("auto", "cpu") == (torch.bfloat16 if fast else torch.float32)


def test_before_ampere_it_is_fp16(monkeypatch):
    """Fails if bf16 that PyTorch only imitates counts."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True:
                        including_emulation)  # fmt: skip
    assert training_dtype("auto", "cuda:0") == torch.float16


def test_a_device_is_named_or_a_torch_device():
    for device in ("cpu", "cpu:0", torch.device("cpu")):
        assert inference_dtype(device) == torch.float32


def test_fp16_alone_scales_its_loss():
    assert gradient_scaler(training_dtype("fp16", "cpu"), "cpu").is_enabled()
    assert not gradient_scaler(training_dtype("bf16", "cpu"), "cpu").is_enabled()
    assert inference_dtype("cpu") == torch.float32 and inference_dtype("mps") == torch.bfloat16


@pytest.mark.parametrize("T", [37, 511, 512])
@pytest.mark.parametrize(("kernel", "groups"), [(128, 16), (15, 4), (16, 1)])
def test_the_convolution_theorem_holds(kernel, groups, T):
    """What a GPU does in the positional convolution's place is the convolution."""
    conv = torch.nn.Conv1d(64, 32, kernel, padding=kernel // 2, groups=groups)
    x = torch.randn(2, 64, T)
    torch.testing.assert_close(convolve_by_fft(conv, x), conv(x), rtol=1e-5, atol=1e-5)
    conv, x = conv.bfloat16(), x.bfloat16()
    y = convolve_by_fft(conv, x)
    # In float32: oneDNN on CPUs with AMX is wrong for groups of few channels (torch 2.11).
    torch.testing.assert_close(y.float(), conv.float()(x.float()), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(("channels", "kernel", "stride"), [(1, 10, 5), (32, 3, 2), (32, 2, 2)])
def test_a_convolution_is_a_product(channels, kernel, stride):
    """Forwards and backwards, for either order of the input in memory."""
    conv = torch.nn.Conv1d(channels, 48, kernel, stride)
    drawn = torch.randn(3, channels, 333)
    for x in (drawn, drawn.transpose(1, 2).contiguous().transpose(1, 2)):
        results = []
        for convolved in (conv, lambda x: convolve_by_product(conv, x)):
            y = convolved(x.requires_grad_())
            gradients = torch.autograd.grad(y.square().sum(), [x, *conv.parameters()])
            results.append([y, *gradients])
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-3)


def test_no_attention_plans_anew_for_every_shape():
    assert not torch.backends.cuda.cudnn_sdp_enabled()


VALID = torch.arange(9) < torch.tensor([5, 9, 1, 9])[:, None]


def test_attention_without_a_mask_is_that_with_one(monkeypatch):
    """Padding as an utterance of its own, the kernel written as a loop: nobody looks at it."""

    def kernel(q, k, v, starts, same, longest, _):
        pieces = [t.split(starts.diff().tolist()) for t in (q, k, v)]
        assert starts is same and max(map(len, pieces[0])) <= longest
        heads = ([t.transpose(0, 1) for t in piece] for piece in zip(*pieces, strict=True))
        attended = [torch.nn.functional.scaled_dot_product_attention(*piece) for piece in heads]
        return torch.cat(attended, dim=1).transpose(0, 1)

    monkeypatch.setattr(devices, "varlen_attn", kernel)
    q, k, v = torch.randn(3, 4, 2, 9, 16)
    masked = attend(q, k, v, key_mask(VALID, q.dtype)).transpose(1, 2)[VALID]
    monkeypatch.setattr(devices, "has_flash_attention", lambda device, dtype: True)
    fast = attend(q, k, v, key_mask(VALID, q.dtype)).transpose(1, 2)[VALID]
    torch.testing.assert_close(fast, masked)


@pytest.mark.parametrize(
    ("device", "capability", "dtype", "built", "expected"),
    [
        ("cuda", (8, 0), torch.bfloat16, True, True),
        ("cuda", (9, 0), torch.float16, True, True),
        ("cuda", (7, 5), torch.float16, True, False),
        ("cuda", (9, 0), torch.float32, True, False),
        ("cuda", (9, 0), torch.bfloat16, False, False),
        ("cpu", None, torch.bfloat16, True, False),
    ],
)
def test_where_there_is_flash_attention(device, capability, dtype, built, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: built)
    assert has_flash_attention(torch.device(device), dtype) == expected


def test_only_cuda_is_copied_to_without_waiting():
    """Fails if MPS copies what is free already: wrong numbers, without a word."""

    class Recorder:
        def to(self, device, non_blocking):
            return non_blocking

    found = [move(Recorder(), device) for device in ("mps", "cpu", "cuda:1", torch.device("cuda"))]
    assert found == [False, False, True, True]


@pytest.mark.parametrize("B, H, K, S, T", [(3, 6, 2, 1, 7), (2, 4, 4, 5, 5), (2, 8, 1, 3, 6)])
def test_grouped_attention_with_a_mask(B, H, K, S, T):
    """Fails if a query head sees another's keys or another query's mask."""
    q, k, v = torch.randn(B, H, S, 16), *torch.randn(2, B, K, T, 16)
    mask = torch.rand(B, 1, S, T) < 0.5
    mask[..., 0] = True
    copied = (t.repeat_interleave(H // K, dim=1) for t in (k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(q, *copied, mask)
    torch.testing.assert_close(attend_grouped(q, k, v, mask, causal=False), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_fused_kernels_take_grouped_attention():
    """As in decoding and in training; without one, this raises RuntimeError."""
    q, k, v = torch.randn(2, 8, 5, 128), *torch.randn(2, 2, 2, 9, 128)
    q, k, v = (t.to("cuda", torch.bfloat16) for t in (q, k, v))
    mask = torch.ones(2, 1, 5, 9, dtype=torch.bool, device="cuda")
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    with sdpa_kernel(fused):
        attend_grouped(q, k, v, mask, causal=False)
        attend_grouped(q, k[:, :, :5], v[:, :, :5], None, causal=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_what_a_cpu_does():
    """Attention with padding, and both ways to convolve, forwards and backwards."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 4, 16, 9, 80)
    stem, positional = torch.nn.Conv1d(8, 16, 3, 2), torch.nn.Conv1d(8, 16, 16, groups=4, padding=8)
    x = torch.randn(4, 8, 50)
    results = []
    for device, dtype in (("cpu", torch.float32), ("cuda", torch.bfloat16)):
        moved = [t.to(device, dtype).detach().requires_grad_() for t in (q, k, v, x)]
        mask = key_mask(VALID.to(device), dtype)
        assert (mask.dtype == torch.bool) == (device == "cpu")
        y = attend(*moved[:3], mask) * VALID[:, None, :, None].to(device)
        convolved = [convolve(conv.to(device, dtype), moved[3]) for conv in (stem, positional)]
        loss = sum(t.float().square().sum() for t in (y, *convolved))
        found = [y, *convolved, *torch.autograd.grad(loss, moved)]
        results.append([t.detach().cpu().float() for t in found])
    for theirs, ours in zip(*results, strict=True):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()
