"""Loading a model takes the memory of its weights, not of a second copy of them."""

import json
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

CONFIG = {
    "model_type": "qwen3", "vocab_size": 32_000, "hidden_size": 1024, "num_hidden_layers": 16,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64,
    "intermediate_size": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": True,
}  # fmt: skip
SHAPES = {
    "self_attn.q_proj.weight": (1024, 1024), "self_attn.k_proj.weight": (512, 1024),
    "self_attn.v_proj.weight": (512, 1024), "self_attn.o_proj.weight": (1024, 1024),
    "self_attn.q_norm.weight": (64,), "self_attn.k_norm.weight": (64,),
    "mlp.gate_proj.weight": (4096, 1024), "mlp.up_proj.weight": (4096, 1024),
    "mlp.down_proj.weight": (1024, 4096), "input_layernorm.weight": (1024,),
    "post_attention_layernorm.weight": (1024,),
}  # fmt: skip

# VmHWM is ru_maxrss without the peak of the process that started this one, which counts there.
SCRIPT = """
import sys, torch, tinyaudio

def kilobytes(key):
    line = next(x for x in open("/proc/self/status") if x.startswith(key))
    return int(line.split()[1])

# The first model of a process also loads parts of PyTorch, about 120 MB of them.
tinyaudio.Qwen3.from_pretrained("tests/reference/qwen3")
before = kilobytes("VmRSS")
dtype = getattr(torch, sys.argv[2])
model = tinyaudio.Qwen3.from_pretrained(sys.argv[1], dtype)
weights = sum(p.numel() * dtype.itemsize for p in model.parameters()) / 1024
print(weights, kilobytes("VmHWM") - before)
"""


def write_shard(path: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    """Write a float32 safetensors file of zeros, no room on the disk; the bytes they stand for."""
    header, end = {}, 0
    for key, shape in shapes.items():
        start, end = end, end + 4 * prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return end


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A made-up Qwen3 of more than 1 GB in 17 shards."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    ends = {"model.embed_tokens.weight": (32_000, 1024), "model.norm.weight": (1024,)}
    layers = [{f"model.layers.{i}.{k}": v for k, v in SHAPES.items()} for i in range(16)]
    paths = [folder / f"model-{i:05}-of-00017.safetensors" for i in range(1, 18)]
    stored = sum(map(write_shard, paths, [ends, *layers]))
    assert stored > 1e9
    yield folder
    for path in paths:
        path.unlink()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loading_needs_no_second_copy(checkpoint, dtype):
    """Fails if a model that just fits a machine's memory cannot be loaded on it."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, checkpoint, dtype],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    weights, growth = map(float, result.stdout.split())
    print(f"weights {weights / 1024:.0f} MiB, peak growth {growth / 1024:.0f} MiB")
    assert weights > (1e9 if dtype == "float32" else 5e8) / 1024
    assert growth <= 1.2 * weights
