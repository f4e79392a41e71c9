"""What --dry-run says before a run is what the run then does: counted on the tiny model."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import ROOT
from stand_in_hub import stand_in_hub
from test_tinyaudio import PAIR, make, noises, trained
from torch._dynamo.utils import counters
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.shapes import HUBERT_LARGE, HUBERT_XLARGE, QWEN3_0_6B, QWEN3_8B
from checkpoints import HubertConfig, Qwen3Config
from data import DataConfig, pad
from devices import set_up_layers, training_dtype
from features import cache_encoder
from plan import (
    PlanConfig,
    activations,
    arithmetic,
    frozen_layer,
    memory,
    planned_batch,
    without_memory,
)
from tinyaudio import DecoderLayer, HubertLayer, LoraConfig, ModelConfig, TinyAudio
from train import Config, TrainConfig

TEXT = "turn the light in the kitchen on please"
ALL = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")
SHAPES = {
    "LoRA on two": (("q_proj", "k_proj"), ("q_proj", "v_proj")),
    "LoRA on all": (ALL, ("q_proj", "o_proj", "gate_proj", "down_proj")),
    "none in the encoder": ((), ("v_proj",)),
}


def model_and_batch(shape: str, dtype: torch.dtype = torch.float32):
    """A tiny model, four utterances of five seconds, and the config that plans with them."""
    encoder, decoder = (LoraConfig(4 if t else 0, 8.0, 0.0, t) for t in SHAPES[shape])
    torch.manual_seed(0)
    model = TinyAudio.from_config(ModelConfig(
        encoder=PAIR["tiny-hubert"], decoder=PAIR["tiny-qwen3"], projector_hidden=64,
        encoder_lora=encoder, decoder_lora=decoder,
    ), dtype=dtype).train()  # fmt: skip
    tokens = len(model.tokenizer.encode(TEXT))
    cfg = Config(
        data=DataConfig(batch_seconds=20.0),
        plan=PlanConfig(device="cpu", utterance_seconds=5.0, tokens_per_second=tokens / 5),
    )
    return model, pad(noises(5.0, 5.0, 5.0, 5.0), [TEXT] * 4), cfg


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_activations_are_what_autograd_keeps(shape, name):
    """Fails if a layer keeps a tensor the plan does not know of, or the plan counts one twice."""
    dtype = training_dtype(name, "cpu")
    model, batch, cfg = model_and_batch(shape, dtype)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found, alive = {}, []

    def keep(tensor):
        alive.append(tensor)
        if tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(batch)
    size = planned_batch(model, 20.0, 5.0, cfg.plan)
    assert size.rows == 4 and size.samples == batch.waveforms.shape[1]
    planned = activations(model, size, cfg, dtype)
    assert planned == pytest.approx(sum(found.values()), rel=0.05)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_on_a_gpu_a_layer_keeps_next_to_nothing_in_float32(part):
    """Fails if a norm or a trained weight takes a layer out of bfloat16: every change of format is
    a pass over memory, forwards and backwards, and a few of them cost more than the products."""
    kept = dict.fromkeys((torch.bfloat16, torch.float32, torch.int64, torch.uint64), 0)

    def keep(tensor):
        kept[tensor.dtype] += tensor.nbytes if tensor.ndim > 2 else 0  # no weight
        return tensor

    with without_memory("cuda"):
        x = torch.empty(4, 500, 256, dtype=torch.bfloat16, requires_grad=True)
        if part == "encoder":
            cfg, others = HubertConfig.from_dict(HUBERT_XLARGE | {"hidden_size": 256}), (None,)
            layer = frozen_layer(lambda: HubertLayer(cfg), x.dtype, LoraConfig(4, 8.0, 0.0, ALL))
        else:
            cfg = Qwen3Config.from_dict(QWEN3_0_6B | {"hidden_size": 256})
            rope = torch.empty(4, 1, 500, 128, dtype=torch.bfloat16)
            lora = LoraConfig(4, 8.0, 0.0, SHAPES["LoRA on all"][1])
            layer = frozen_layer(lambda: DecoderLayer(cfg, 0), x.dtype, lora)
            others = (rope, rope), None, None
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            assert layer(x, *others).dtype == torch.bfloat16
    assert 0 < kept[torch.float32] < 0.03 * kept[torch.bfloat16]  # the norms' statistics


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("again", [False, True])
def test_arithmetic_is_what_pytorch_counts(shape, again):
    model, batch, cfg = model_and_batch(shape)
    # The counter does not know the CPU's fused attention.
    if again:
        cfg = replace(cfg, train=TrainConfig(recompute=True))
        set_up_layers(model.layers, compile=False, recompute=True)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(batch)[0].backward()
    assert arithmetic(model, cfg) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_arithmetic_out_of_the_cache_is_what_pytorch_counts(tmp_path):
    model, batch, cfg = model_and_batch("none in the encoder")
    cache_encoder(model, tmp_path)
    model(batch)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(batch)[0].backward()
    rest = arithmetic(model, cfg, heard=False)
    assert rest == pytest.approx(counter.get_total_flops(), rel=0.05)
    assert rest < 0.9 * arithmetic(model, cfg)


def test_how_layers_run_changes_no_text(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name)  # none is needed: see below
    monkeypatch.setattr(torch, "__file__", "/usr/torch/__init__.py")
    model = make()
    before = model.transcribe(noises(1.0, 2.5))
    set_up_layers(model.layers, compile=True, recompute=True)
    before_it = counters["stats"].copy()
    assert model.transcribe(noises(1.0, 2.5)) == before
    assert counters["stats"] == before_it  # decoding compiles nothing


def gradients_before_and_after(compile: bool, recompute: bool) -> list[list[torch.Tensor]]:
    model, batch = make().train(), pad(noises(1.0, 2.5), ["seven", TEXT])
    gradients = []
    for _ in range(2):
        model(batch)[0].backward()
        gradients.append([p.grad.clone() for p in trained(model).values()])
        model.zero_grad()
        set_up_layers(model.layers, compile, recompute)
    return gradients


def test_recomputing_changes_no_gradient():
    for kept, again in zip(*gradients_before_and_after(False, True), strict=True):
        torch.testing.assert_close(again, kept)


@pytest.mark.parametrize("recompute", [False, True])
def test_compiling_changes_no_gradient(recompute):
    """In a process of its own: what torch.compile keeps would reach other tests."""
    if " " in torch.__file__ or not shutil.which("g++"):
        pytest.skip("torch.compile needs g++, and an environment whose path has no space")
    script = f"""
import torch
from test_plan import counters, gradients_before_and_after
for kept, again in zip(*gradients_before_and_after(True, {recompute}), strict=True):
    torch.testing.assert_close(again, kept, rtol=1e-4, atol=1e-5)
# Layers of a kind share a compilation; HuBERT's first has one, as its input needs no gradient.
assert 0 < counters["stats"]["unique_graphs"] <= 3, counters["stats"]
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("compiler", "path", "expected"),
    [(None, "/usr/torch/__init__.py", "needs a C compiler: install gcc"),
     ("gcc", "/my home/torch/__init__.py", "not from a path with a space, /my home/torch")],
)  # fmt: skip
def test_where_compiling_cannot_succeed_a_sentence_says_so(compiler, path, expected, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: compiler)
    monkeypatch.setattr(torch, "__file__", path)
    with pytest.raises(ValueError, match=rf"train\.compile.* {expected}"):
        set_up_layers(make().layers, compile=True, recompute=False)


def test_recomputing_keeps_less():
    model, _, cfg = model_and_batch("LoRA on two")
    again = replace(cfg, train=TrainConfig(recompute=True))
    assert memory(model, again)["activations"] < 0.5 * memory(model, cfg)["activations"]
    assert arithmetic(model, cfg) < arithmetic(model, again) < 1.6 * arithmetic(model, cfg)


COURSE = {"projector": "138,422,528", "encoder": "3,932,160", "decoder": "3,833,856",
          "all": "146,188,544"}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with the published config.json files, and weights that nobody may ask for."""
    tokenizer = (ROOT / "models" / "tiny-qwen3" / "tokenizer.json").read_bytes()
    configs = {
        "facebook/hubert-xlarge-ls960-ft": HUBERT_XLARGE,
        "facebook/hubert-large-ls960-ft": HUBERT_LARGE,
        "Qwen/Qwen3-8B": QWEN3_8B, "Qwen/Qwen3-0.6B": QWEN3_0_6B,
    }  # fmt: skip
    files = {
        name: {"main": {"config.json": json.dumps(config).encode(), "tokenizer.json": tokenizer,
                        "model.safetensors": b"not to be read"}}
        for name, config in configs.items()
    }  # fmt: skip
    with stand_in_hub(files, tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.mark.parametrize(
    ("name", "limit"),
    [("a40", 40), ("rtx4090", 22.5 * 1.074), ("mac", 24), ("qwen3-0.6b", 8), ("librispeech", 8)],
)
def test_the_real_runs_are_planned_without_their_weights(hub, name, limit):
    """The counts that DESIGN.md promises, and a peak that fits the machine each is for."""
    command = [sys.executable, "train.py", "--config", f"configs/{name}.yaml", "--dry-run"]
    done = subprocess.run(command, env=hub.environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hub.sent < 10 * len((ROOT / "models" / "tiny-qwen3" / "tokenizer.json").read_bytes())
    trained = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines()[1:5]}
    if name in ("a40", "rtx4090", "mac"):
        assert trained == COURSE
    if name == "a40":
        assert done.stdout in (ROOT / "README.md").read_text()
    (peak,) = re.findall(r"in all +([\d.]+) GB", done.stdout)
    assert 0.5 * limit < float(peak) < limit
    assert re.search(r"at \d+% of [\d.]+ TFLOP/s: [\d.]+ h", done.stdout)
