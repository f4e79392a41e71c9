"""The choices of device and number format, with machines that are not here pretended."""

import pytest
import torch

from devices import (
    convolve_by_fft,
    gradient_scaler,
    inference_dtype,
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


def test_no_attention_plans_anew_for_every_shape():
    assert not torch.backends.cuda.cudnn_sdp_enabled()
