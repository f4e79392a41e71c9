"""What the layers ask of a GPU in a forward pass, ours beside the usual way, counted without one.

    python benchmarks/kernels.py [--shapes small] [--batch-seconds 130]

Every operation that PyTorch dispatches is a kernel, views excepted; each reads its inputs from
memory and writes its outputs. Where that takes longer than the matrix products, or where a CPU
cannot launch them fast enough, a GPU waits. Usual and ours are as in train_step.py, but without
padding, and thus without masks: one layer of encoder and decoder each, times their number. Needs
tests/requirements.txt.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from benchmarks.shapes import SHAPES
from benchmarks.train_step import TOKENS_PER_SECOND, build
from checkpoints import HubertConfig, Qwen3Config
from configs import plain_errors, seconds
from plan import PlanConfig, flash_attention, frozen_layer, planned_batch, without_memory
from tinyaudio import DecoderLayer, HubertLayer, LoraConfig

PRODUCTS = ("mm", "addmm", "bmm", "_scaled_dot_product_flash_attention")


class Counter(TorchDispatchMode):
    """Kernels, and the bytes that all but matrix products and attention read and write."""

    def __init__(self):
        super().__init__()
        self.kernels = self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        written = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        view = any(r.alias_info and not r.alias_info.is_write for r in function._schema.returns)
        if written and not view and name != "_unsafe_view":
            self.kernels += 1
            read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            self.bytes += 0 if name in PRODUCTS else sum(t.nbytes for t in (*read, *written))
        return result


def count(layer: nn.Module, *inputs, **named) -> tuple[int, int]:
    """The kernels of a layer's forward pass, and the bytes moved."""
    with Counter() as counter:
        layer(*inputs, **named)
    return counter.kernels, counter.bytes


def usual_layer(make: Callable, lora: LoraConfig) -> nn.Module:
    """A layer of transformers with peft's adapters, without memory."""
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    with torch.device("meta"):
        layer = make()
        settings = PeftConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=list(lora.targets))
        inject_adapter_in_model(settings, layer)
    return layer


def move(layer: nn.Module) -> nn.Module:
    """The layer on a GPU that is not there: frozen weights in bfloat16, trained ones in float32."""
    for module in layer.modules():
        for name, p in module.named_parameters(recurse=False):
            dtype = torch.float32 if p.requires_grad else torch.bfloat16
            setattr(module, name, nn.Parameter(torch.empty(p.shape, dtype=dtype), p.requires_grad))
    return layer


def attention_under_autocast(q, k, v, *, is_causal=False, **_ignored) -> Tensor:
    return flash_attention(*(t.to(torch.bfloat16) for t in (q, k, v)), is_causal=is_causal)


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default="small", choices=SHAPES)
    parser.add_argument("--batch-seconds", type=seconds, default=130.0)
    args = parser.parse_args()
    from transformers import HubertConfig as UsualHubertConfig
    from transformers import Qwen3Config as UsualQwen3Config
    from transformers.models.hubert.modeling_hubert import HubertEncoderLayerStableLayerNorm
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    encoder, decoder = SHAPES[args.shapes]
    model = build(args.shapes, "meta", torch.bfloat16)
    plan = PlanConfig(tokens_per_second=TOKENS_PER_SECOND)
    batch = planned_batch(model, args.batch_seconds, plan.utterance_seconds, plan)
    loras = model.cfg.encoder_lora, model.cfg.decoder_lora
    quiet = dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout"), 0.0)
    hubert = UsualHubertConfig(**encoder | quiet, attn_implementation="sdpa")
    qwen3 = UsualQwen3Config(**decoder, attn_implementation="sdpa")
    hears = usual_layer(lambda: HubertEncoderLayerStableLayerNorm(hubert), loras[0])
    writes = usual_layer(lambda: Qwen3DecoderLayer(qwen3, 0), loras[1])
    configs = HubertConfig.from_dict(encoder), Qwen3Config.from_dict(decoder)
    with without_memory("cuda"):
        x = torch.empty(batch.rows, batch.frames, configs[0].hidden_size, dtype=torch.bfloat16)
        y = torch.empty(batch.rows, batch.positions, configs[1].hidden_size, dtype=torch.bfloat16)
        angles = torch.empty(batch.rows, batch.positions, configs[1].head_dim, dtype=torch.bfloat16)
        rope = angles[:, None], angles[:, None]
        ours = (
            count(frozen_layer(lambda: HubertLayer(configs[0]), x.dtype, loras[0]), x, None),
            count(frozen_layer(lambda: DecoderLayer(configs[1], 0), y.dtype, loras[1]),
                  y, rope, None, None),
        )  # fmt: skip
        torch.set_autocast_enabled("cuda", True)  # torch.autocast asks for a GPU
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        with mock.patch.object(F, "scaled_dot_product_attention", attention_under_autocast):
            usual = (count(move(hears), x),
                     count(move(writes), y, position_embeddings=(angles, angles)))  # fmt: skip
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()
    rows = {}
    for i, part in enumerate(("encoder", "decoder")):
        n = configs[i].num_hidden_layers
        rows[part] = [n * number for number in (*ours[i], *usual[i])]
    rows["both"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    print("| | kernels: ours | usual | GB moved: ours | usual |")
    print("|---|---|---|---|---|")
    for part, (kernels, moved, usual_kernels, usual_moved) in rows.items():
        print(f"| {part} | {kernels:,} | {usual_kernels:,} "
              f"| {moved / 1e9:.1f} | {usual_moved / 1e9:.1f} |")  # fmt: skip
    print(f"ours / usual: {kernels / usual_kernels:.2f} of the kernels, "
          f"{moved / usual_moved:.2f} of the bytes")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
