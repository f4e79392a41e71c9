"""What --dry-run shows: parameters, memory, hours and dollars of a run, before any weight is read.

What autograd keeps for the backward pass is counted, not guessed: a layer of each kind runs on the
shapes of a batch, with tensors that have a device and a number format but no memory.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from audio import SAMPLE_RATE
from devices import fft_size, training_dtype
from lora import LoRALinear, apply_lora
from projector import AudioProjector, RMSNorm
from report import parameter_table
from tinyaudio import LOSS_CHUNK, DecoderLayer, HubertLayer, LoraConfig, TinyAudio


@dataclass(frozen=True)
class PlanConfig:
    """What a run is planned with; nothing of it changes the training."""

    device: str = "cuda"  # cuda or cpu
    utterance_seconds: float = 9.0  # the mean; about LoquaciousSet's
    tokens_per_second: float = 3.5  # of text
    tflops: float = 0.0  # the device's peak in the run's number format, by its data sheet
    utilisation: float = 0.4  # the share of it that is expected
    price: float = 0.0  # dollars an hour

    def __post_init__(self):
        if self.device not in ("cuda", "cpu"):
            raise ValueError(f"plan.device={self.device}: expected cuda or cpu")
        if not self.utilisation or self.utterance_seconds < 0.1:
            raise ValueError("plan: utilisation and utterance_seconds must be more than nothing")


@dataclass(frozen=True)
class BatchSize:
    """A batch of equal utterances: how many, and each one's samples, frames and so on."""

    rows: int
    samples: int
    frames: int
    tokens: int  # of audio
    positions: int  # of the decoder: prompt, audio and text
    targets: int


def planned_batch(model: TinyAudio, seconds: float, each: float, cfg: PlanConfig) -> BatchSize:
    """A batch of so many seconds in utterances of about `each` seconds, or one that is longer."""
    seconds = max(seconds, each)
    rows = max(1, round(seconds / each))
    samples = int(seconds / rows * SAMPLE_RATE)
    frames = model.encoder.frame_length(samples)
    tokens = model.projector.token_length(frames)
    targets = 1 + round(seconds / rows * cfg.tokens_per_second)
    positions = len(model.prefix_ids) + tokens + len(model.suffix_ids) + targets - 1
    return BatchSize(rows, samples, frames, tokens, positions, targets)


@contextmanager
def without_memory(device: str):
    """Tensors without storage on a device that may not be there."""
    # Without a GPU PyTorch would plan with an attention that no GPU run takes.
    flash = flash_attention if device == "cuda" else F.scaled_dot_product_attention
    attention = mock.patch.object(F, "scaled_dot_product_attention", flash)
    with FakeTensorMode(), torch.device(device), attention:
        yield


def flash_attention(q, k, v, attn_mask=None, is_causal=False, enable_gqa=False) -> Tensor:
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, is_causal)[0]


def saved_bytes(layer: nn.Module, call: Callable, *inputs: Tensor) -> int:
    """Bytes that autograd keeps of `call(layer, *inputs)` for the backward pass, the layer's own
    weights excepted."""
    weights = {p.untyped_storage()._cdata for p in layer.parameters()}
    found, alive = {}, []  # alive: no two of the storages may have had one address

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage._cdata not in weights:
            found[storage._cdata] = storage.nbytes()
        return tensor

    first, *others = inputs
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        call(layer, first * 1.0, *others)
    return sum(found.values())


def frozen_layer(make: Callable, dtype: torch.dtype, lora: LoraConfig) -> nn.Module:
    """A layer as a run has it: frozen in `dtype`, its adapters in float32."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        layers = nn.ModuleList([make()]).requires_grad_(False)
    finally:
        torch.set_default_dtype(default)
    if lora.r:
        apply_lora(layers, lora.targets, lora.r, lora.alpha, lora.dropout)
    return layers[0]


def activations(model: TinyAudio, batch: BatchSize, cfg, dtype: torch.dtype) -> int:
    """Bytes kept from the forward pass of a batch for its backward pass, but for the loss."""
    encoder, decoder, lora = model.encoder.cfg, model.decoder.cfg, model.cfg.encoder_lora
    frames = (batch.rows, batch.frames, encoder.hidden_size)
    positions = (batch.rows, batch.positions, decoder.hidden_size)
    with without_memory(cfg.plan.device):
        x, y = torch.empty(frames, dtype=dtype), torch.empty(positions, dtype=dtype)
        angles = torch.empty(batch.rows, 1, batch.positions, decoder.head_dim, dtype=dtype)
        projector = AudioProjector(
            encoder.hidden_size, decoder.hidden_size, model.cfg.stack, model.cfg.projector_hidden
        )
        total = saved_bytes(projector, AudioProjector.__call__, x.requires_grad_(lora.r > 0))
        norm = frozen_layer(lambda: RMSNorm(decoder.hidden_size), dtype, LoraConfig(r=0))
        total += saved_bytes(norm, RMSNorm.__call__, y.requires_grad_())
        layers = []  # (bytes of one, how many, bytes of its input)
        if lora.r:  # without, nothing before the projector has a gradient
            layer = frozen_layer(lambda: HubertLayer(encoder), dtype, lora)
            one = saved_bytes(layer, lambda layer, x: layer(x, None), x)
            layers.append((one, encoder.num_hidden_layers, x.nbytes))
        layer = frozen_layer(lambda: DecoderLayer(decoder, 0), dtype, model.cfg.decoder_lora)
        one = saved_bytes(layer, lambda layer, y: layer(y, (angles, angles), None, None), y)
        layers.append((one, decoder.num_hidden_layers, y.nbytes))
    if cfg.train.recompute:
        return total + sum(n * size for _, n, size in layers) + max(one for one, *_ in layers)
    return total + sum(one * n for one, n, _ in layers)


def stem_outputs(model: TinyAudio, batch: BatchSize) -> list[tuple[nn.Conv1d, int]]:
    """Every convolution of the encoder's stem, with the length of its output."""
    outputs, length = [], batch.samples
    for layer in model.encoder.feature_extractor.conv_layers:
        length = layer.output_length(length)
        outputs.append((layer.conv, length))
    return outputs


def stem_scratch(model: TinyAudio, batch: BatchSize, dtype: torch.dtype) -> int:
    """Bytes that the convolutions have at a time: what one hears, its output, and the norm's input
    and output. Nothing of it is kept. The windows of `devices.convolve_by_product` take no more."""
    most, heard = 0, batch.samples
    for conv, length in stem_outputs(model, batch):
        numbers = length * conv.out_channels
        most, heard = max(most, heard + 3 * numbers), numbers
    return batch.rows * most * dtype.itemsize


def convolution_scratch(model: TinyAudio, batch: BatchSize, device: str) -> int:
    """Bytes that `devices.convolve_by_fft` has at a time: the transform of the positional
    convolution's kernel, twice, since a product wants it in another order; those of the frames and
    of the product; and both in float32. Nothing of it is kept."""
    if device == "cpu":
        return 0
    conv = model.encoder.encoder.pos_conv_embed.conv
    bins = fft_size(conv, batch.frames) // 2 + 1
    frames = batch.rows * conv.out_channels * (batch.frames + bins * 2) * 8
    return 2 * conv.out_channels * conv.in_channels // conv.groups * bins * 8 + frames


def memory(model: TinyAudio, cfg) -> dict[str, float]:
    """Bytes by what they are for at the peak, for the batch that takes most: short utterances have
    more prompts, long ones wider attention; slowed down, all are longer.

    The peak is where the backward pass begins; or, where little is kept, in the first convolutions.
    """
    dtype = training_dtype(cfg.train.precision, cfg.plan.device)
    seconds = cfg.data.batch_seconds / min(cfg.augment.speed, default=1.0)
    lengths = (cfg.data.min_seconds, cfg.plan.utterance_seconds, cfg.data.max_seconds)
    needed = []
    for each in lengths:
        batch = planned_batch(model, seconds, max(1.0, each), cfg.plan)
        # Log-probabilities; and of a chunk their gradient, and the logits' in float32 and dtype.
        targets, V = batch.rows * batch.targets, model.decoder.cfg.vocab_size
        loss = V * (4 * targets + min(LOSS_CHUNK, targets) * (8 + dtype.itemsize))
        stem = stem_scratch(model, batch, dtype)
        kept = activations(model, batch, cfg, dtype)
        needed.append(max(kept + loss, stem, convolution_scratch(model, batch, cfg.plan.device)))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen_count = sum(p.numel() for p in model.parameters()) - trained
    return {
        "frozen weights": frozen_count * dtype.itemsize,
        "trained weights": trained * 4,
        "gradients": trained * 4,
        "optimizer": trained * 8,  # AdamW's two moments
        "activations": max(needed),
    }


def arithmetic(model: TinyAudio, cfg, heard: bool = True) -> float:
    """Floating-point operations of one optimizer step: two for each weight and position forwards,
    as many backwards for the input, as many again for a trained weight or to recompute. Without
    `heard` the encoder's outputs come out of a cache."""
    encoder, decoder, again = model.encoder.cfg, model.decoder.cfg, int(cfg.train.recompute)
    b = planned_batch(model, cfg.data.batch_seconds, cfg.plan.utterance_seconds, cfg.plan)

    def weights(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters() if p.ndim == 2)

    def weights_of(layers: nn.Module, name: str) -> int:
        linears = (m for path, m in layers.named_modules() if path.endswith(name))
        return sum(m.weight.numel() for m in linears if not isinstance(m, LoRALinear))

    stem = sum(2 * length * conv.weight.numel() for conv, length in stem_outputs(model, b))
    stem += 2 * b.frames * model.encoder.encoder.pos_conv_embed.conv.weight.numel()
    # Attention has no weights: two products forwards, four backwards; causal, half of each.
    width = decoder.num_attention_heads * decoder.head_dim
    attend = 4 * b.frames**2 * encoder.hidden_size * encoder.num_hidden_layers
    attend_causally = 2 * b.positions**2 * width * decoder.num_hidden_layers
    # Recomputing a layer stops where nothing behind is needed: at its last product, without LoRA.
    hear = 2 * b.frames * weights(model.encoder.encoder.layers)
    hear_last = 2 * b.frames * weights_of(model.encoder.encoder.layers, "output_dense")
    write = 2 * b.positions * weights(model.decoder.model["layers"])
    write_last = 2 * b.positions * weights_of(model.decoder.model["layers"], "down_proj")
    choose = 2 * b.targets * decoder.vocab_size * decoder.hidden_size
    project = 2 * b.tokens * weights(model.projector)
    encoding = hear + attend
    if model.cfg.encoder_lora.r:
        encoding += hear + 2 * attend + again * (hear - hear_last + attend)
    decoding = 2 * write + 3 * attend_causally + 2 * choose
    decoding += again * (write - write_last + attend_causally)
    hearing = (stem + encoding) * heard
    return cfg.train.accumulate * b.rows * (hearing + 3 * project + decoding)


def forecast(model: TinyAudio, cfg) -> str:
    """The whole page. `cfg` is a train.Config."""
    seconds = cfg.train.accumulate * cfg.data.batch_seconds
    hours = cfg.train.steps * seconds / 3600
    parts = memory(model, cfg)
    operations = arithmetic(model, cfg)
    lines = [
        parameter_table(model),
        f"{cfg.train.steps} steps of up to {seconds:.0f} s of audio: {hours:.1f} h of it at most",
        f"memory on {cfg.plan.device}, for the batch that takes most:",
        *(f"  {name:16}{size / 1e9:9.3f} GB" for name, size in parts.items()),
        f"  {'in all':16}{sum(parts.values()) / 1e9:9.3f} GB",
        f"{operations / 1e12:.3g} TFLOP a step",
    ]
    if cfg.train.encoder_cache:
        frames = model.encoder.frame_length(3600 * SAMPLE_RATE)
        size = 2 * frames * model.encoder.cfg.hidden_size / 1e9
        lines.append(f"encoder cache: {size:.2f} GB for each hour of different recordings")
        rest = arithmetic(model, cfg, heard=False) / 1e12
        lines.append(f"{rest:.3g} TFLOP a step from the second epoch on, out of the cache")
    if cfg.plan.tflops:
        rate = cfg.plan.tflops * 1e12 * cfg.plan.utilisation
        wall = cfg.train.steps * operations / rate / 3600
        speed = f"at {cfg.plan.utilisation:.0%} of {cfg.plan.tflops:g} TFLOP/s: {wall:.1f} h"
        cost = f", ${wall * cfg.plan.price:.2f} at ${cfg.plan.price:g} an hour"
        lines.append(speed + (cost if cfg.plan.price else ""))
        times = cfg.train.steps // cfg.train.eval_every
        lines.append(f"not counted: the test, and {times} evaluations on data.dev")
    return "\n".join(lines)
