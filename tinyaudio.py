"""Tiny Audio: speech in, text out.

    waveform -> HuBERT encoder -> AudioProjector -> prompt with <audio> spliced in -> Qwen3 -> text

Read from top to bottom: encoder, decoder, then TinyAudio, which joins them.
Shape letters: B batch, T waveform samples at 16 kHz, F encoder frames, N audio tokens,
S sequence positions, D width, H heads, K key/value heads, V vocabulary.
"""

import argparse
import json
import math
import shutil
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import configs
from audio import SAMPLE_RATE, SILENT, load_audio, microphone, split_at_silences
from beam import beam_search
from checkpoints import (
    HubertConfig,
    Qwen3Config,
    checkpoint_folder,
    copy_folder,
    load_weights,
    read_config,
    read_safetensors,
    save_tensors,
)
from devices import attend, attend_grouped, convolve, inference_dtype, key_mask, move, pick_device
from lora import apply_lora, load_adapter, lora_layers, save_adapter
from projector import AudioProjector, RMSNorm, SwiGLU
from tokenizer import Tokenizer, is_looping, loop_start, repeated

BATCH_SECONDS = 120.0  # of audio transcribed at a time, padding counted
LOSS_CHUNK = 512  # target positions whose logits exist at a time


def normalise(x: Tensor, lengths: Tensor, eps: float = 1e-7) -> Tensor:
    """Zero mean and unit variance over the valid samples of each row; padding becomes zero.

    Of waveforms (B, T), what Wav2Vec2FeatureExtractor does with `do_normalize`; of features
    (B, C, F), each channel by itself. lengths (B,).
    """
    lengths = move(lengths, x.device)
    count = lengths.view(-1, *(1,) * (x.ndim - 1))  # (B, 1) or (B, 1, 1)
    valid = torch.arange(x.shape[-1], device=x.device) < count
    mean = (x * valid).sum(-1, keepdim=True) / count
    centred = (x - mean) * valid
    variance = centred.pow(2).sum(-1, keepdim=True) / count
    return centred * torch.rsqrt(variance + eps)


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size) bool, True where a row is valid."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


class ConvLayer(nn.Module):
    """One convolution of the stem: conv -> norm -> GELU, (B, C, T) -> (B, C', T')."""

    def __init__(self, cfg: HubertConfig, i: int):
        super().__init__()
        C_in, C_out = cfg.conv_dim[i - 1] if i else 1, cfg.conv_dim[i]
        kernel, stride = cfg.conv_kernel[i], cfg.conv_stride[i]
        self.conv = nn.Conv1d(C_in, C_out, kernel, stride, bias=cfg.conv_bias)
        if cfg.feat_extract_norm == "layer":
            self.layer_norm = nn.LayerNorm(C_out)
        else:  # base: after the first convolution only
            self.layer_norm = nn.GroupNorm(C_out, C_out) if i == 0 else None

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = convolve(self.conv, x), self.output_length(lengths)
        if isinstance(self.layer_norm, nn.LayerNorm):
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.layer_norm is not None:
            x = masked_group_norm(x, lengths, self.layer_norm)
        return F.gelu(x), lengths

    def output_length(self, samples):
        return (samples - self.conv.kernel_size[0]) // self.conv.stride[0] + 1


def masked_group_norm(x: Tensor, lengths: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Group norm of one channel a group over the valid frames only: x (B, C, F), lengths (B,).

    nn.GroupNorm would take its statistics over the padding too, and each utterance's result
    would depend on its neighbours in the batch.
    """
    y = normalise(x.float(), lengths, norm.eps)
    return (y * norm.weight[:, None] + norm.bias[:, None]).to(x.dtype)


class ConvStem(nn.Module):
    """Waveforms (B, T) -> features (B, F, conv_dim[-1]), with the lengths of both."""

    def __init__(self, cfg: HubertConfig):
        super().__init__()
        self.conv_layers = nn.ModuleList(ConvLayer(cfg, i) for i in range(len(cfg.conv_dim)))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = waveforms[:, None]
        for layer in self.conv_layers:
            x, lengths = layer(x, lengths)
        return x.transpose(1, 2), lengths


class PositionalConv(nn.Module):
    """Relative positions as a wide grouped convolution over the frames, (B, F, D) -> (B, F, D)."""

    def __init__(self, cfg: HubertConfig):
        super().__init__()
        D, width = cfg.hidden_size, cfg.num_conv_pos_embeddings
        groups = cfg.num_conv_pos_embedding_groups
        self.conv = nn.Conv1d(D, D, width, padding=width // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        y = convolve(self.conv, x.transpose(1, 2))
        return F.gelu(y[..., : x.shape[1]]).transpose(1, 2)  # an even kernel gives one frame more


class HubertAttention(nn.Module):
    """Multi-head self-attention over frames, every valid frame seeing every other."""

    def __init__(self, cfg: HubertConfig):
        super().__init__()
        D, self.num_heads = cfg.hidden_size, cfg.num_attention_heads
        self.k_proj, self.v_proj = nn.Linear(D, D), nn.Linear(D, D)
        self.q_proj, self.out_proj = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        B, F_, D = x.shape
        q, k, v = (
            proj(x).view(B, F_, self.num_heads, -1).transpose(1, 2)  # (B, H, F, D/H)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = attend(q, k, v, mask)
        return self.out_proj(y.transpose(1, 2).reshape(B, F_, D))


class HubertLayer(nn.Module):
    """Transformer block; "stable" is pre-norm (large, xlarge), otherwise post-norm (base)."""

    def __init__(self, cfg: HubertConfig):
        super().__init__()
        self.pre_norm = cfg.do_stable_layer_norm
        self.attention = HubertAttention(cfg)
        self.layer_norm = nn.LayerNorm(cfg.hidden_size, eps=cfg.layer_norm_eps)
        self.feed_forward = nn.Sequential(OrderedDict(
            intermediate_dense=nn.Linear(cfg.hidden_size, cfg.intermediate_size), act=nn.GELU(),
            output_dense=nn.Linear(cfg.intermediate_size, cfg.hidden_size),
        ))  # fmt: skip
        self.final_layer_norm = nn.LayerNorm(cfg.hidden_size, eps=cfg.layer_norm_eps)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.pre_norm:
            x = x + self.attention(self.layer_norm(x), mask)
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x, mask))
        return self.final_layer_norm(x + self.feed_forward(x))


class HubertEncoder(nn.Module):
    """Positional convolution and transformer, (B, F, D) -> (B, F, D)."""

    def __init__(self, cfg: HubertConfig):
        super().__init__()
        self.pre_norm = cfg.do_stable_layer_norm
        self.pos_conv_embed = PositionalConv(cfg)
        self.layer_norm = nn.LayerNorm(cfg.hidden_size, eps=cfg.layer_norm_eps)
        self.layers = nn.ModuleList(HubertLayer(cfg) for _ in range(cfg.num_hidden_layers))

    def forward(self, x: Tensor, lengths: Tensor, padded: bool = True) -> Tensor:
        valid = length_mask(lengths, x.shape[1])
        x = x * valid[..., None]  # the positional convolution reaches across the end
        mask = key_mask(valid, x.dtype) if padded else None
        x = x + self.pos_conv_embed(x)
        if not self.pre_norm:
            x = self.layer_norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.layer_norm(x) if self.pre_norm else x


class Hubert(nn.Module):
    """HuBERT (Hsu et al. 2021, arXiv:2106.07447) and wav2vec 2.0 (arXiv:2006.11477) encoders."""

    def __init__(self, cfg: HubertConfig):
        super().__init__()
        self.cfg = cfg
        self.feature_extractor = ConvStem(cfg)
        norm = nn.LayerNorm(cfg.conv_dim[-1], cfg.layer_norm_eps)
        self.feature_projection = nn.Sequential(OrderedDict(
            layer_norm=norm if cfg.feat_proj_layer_norm else nn.Identity(),
            projection=nn.Linear(cfg.conv_dim[-1], cfg.hidden_size),
        ))  # fmt: skip
        self.encoder = HubertEncoder(cfg)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised waveforms (B, T), valid samples (B,) -> hidden (B, F, D), frames (B,).

        Padding never leaks: a row gets what it gets alone. Raises ValueError where an utterance
        is too short for a single frame (400 samples with the published stems).
        """
        if lengths is None:
            lengths = torch.full((len(waveforms),), waveforms.shape[1])
        if (shortest := int(lengths.min())) < self.min_samples:
            raise ValueError(f"{shortest} samples are too few: one frame needs {self.min_samples}")
        waveforms = waveforms.to(self.feature_projection.projection.weight.dtype)
        lengths = move(lengths, waveforms.device)
        x, frame_lengths = self.feature_extractor(waveforms, lengths)
        padded = self.frame_length(shortest) < x.shape[1]
        return self.encoder(self.feature_projection(x), frame_lengths, padded), frame_lengths

    def frame_length(self, samples):
        """Frames of an utterance of so many samples (int or Tensor), through every convolution."""
        for layer in self.feature_extractor.conv_layers:
            samples = layer.output_length(samples)
        return samples

    @property
    def min_samples(self) -> int:
        """The samples that one frame sees: the shortest utterance there can be."""
        samples = 1
        for layer in reversed(self.feature_extractor.conv_layers):
            samples = (samples - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
        return samples

    @classmethod
    def from_pretrained(cls, id_or_dir, dtype=torch.float32, device="cpu", weights=True):
        """From a folder in the Hub's format or a Hub id. Raises ValueError, FileNotFoundError.

        Without `weights` the model stays on the meta device: shapes, but no memory.
        """
        folder = checkpoint_folder(id_or_dir, weights)
        with torch.device("meta"):
            model = cls(HubertConfig.from_dict(read_config(folder), folder / "config.json"))

        def rename(key: str) -> str | None:
            key = key.removeprefix("hubert.").removeprefix("wav2vec2.")
            # CTC head, mask embedding and quantiser belong to training, not to the encoder.
            training = ("lm_head.", "masked_spec_embed", "quantizer.", "project_q.", "project_hid.")
            return None if key.startswith(training) else key

        return load_weights(model, folder, rename, dtype, device) if weights else model


def rope_frequencies(cfg: Qwen3Config, device=None) -> Tensor:
    """Radians per position of each pair of channels, (head_dim / 2,) (Su et al. 2021)."""
    exponents = torch.arange(0, cfg.head_dim, 2, device=device, dtype=torch.float32) / cfg.head_dim
    frequencies = cfg.rope_theta**-exponents
    if (scaling := cfg.rope_scaling) is None:
        return frequencies
    # Llama 3.1: wavelengths beyond the old context are stretched, those well inside it kept.
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (keep + (1 - keep) / scaling["factor"])


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate channel i against channel i + head_dim/2 by the position's angle: x (B, H, S, D)."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class KVCache:
    """Keys and values of every layer, allocated once for the whole generation.

    k and v are (layers, B, K, capacity, head_dim); `length` positions are filled in every row;
    `valid` (B, capacity) tells which of them are not padding.
    """

    def __init__(self, cfg: Qwen3Config, batch: int, capacity: int, dtype, device):
        shape = (cfg.num_hidden_layers, batch, cfg.num_key_value_heads, capacity, cfg.head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.valid = torch.zeros(batch, capacity, dtype=torch.bool, device=device)
        self.start = self.length = 0

    def extend(self, valid: Tensor) -> Tensor:
        """Make room for S new positions, valid (B, S), and return `valid` of all so far."""
        self.start, self.length = self.length, self.length + valid.shape[1]
        self.valid[:, self.start : self.length] = valid
        return self.valid[:, : self.length]

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new positions of one layer, (B, K, S, head_dim), and return all so far."""
        self.k[layer, :, :, self.start : self.length] = k
        self.v[layer, :, :, self.start : self.length] = v
        return self.k[layer, :, :, : self.length], self.v[layer, :, :, : self.length]

    def select(self, rows: Tensor) -> None:
        """Keep the given rows in the given order, rows (B',): beam search's bookkeeping."""
        self.k, self.v, self.valid = self.k[:, rows], self.v[:, rows], self.valid[rows]


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, cfg: Qwen3Config, index: int):
        super().__init__()
        self.index, self.head_dim = index, cfg.head_dim
        D, q_dim = cfg.hidden_size, cfg.num_attention_heads * cfg.head_dim
        kv_dim = cfg.num_key_value_heads * cfg.head_dim
        self.q_proj = nn.Linear(D, q_dim, bias=cfg.qkv_bias)
        self.k_proj = nn.Linear(D, kv_dim, bias=cfg.qkv_bias)
        self.v_proj = nn.Linear(D, kv_dim, bias=cfg.qkv_bias)
        self.o_proj = nn.Linear(q_dim, D, bias=cfg.o_bias)
        self.q_norm = RMSNorm(cfg.head_dim, cfg.rms_norm_eps) if cfg.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(cfg.head_dim, cfg.rms_norm_eps) if cfg.qk_norm else nn.Identity()

    def forward(self, x: Tensor, rope, mask: Tensor | None, cache: KVCache | None) -> Tensor:
        B, S, _ = x.shape
        heads = (B, S, -1, self.head_dim)
        q = apply_rope(self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2), *rope)
        k = apply_rope(self.k_norm(self.k_proj(x).view(heads)).transpose(1, 2), *rope)
        v = self.v_proj(x).view(heads).transpose(1, 2)  # (B, K, S, head_dim)
        if cache is not None:
            k, v = cache.append(self.index, k, v)
        causal = mask is None and (cache is None or S > 1)  # a lone new position sees all of it
        y = attend_grouped(q, k, v, mask, causal)
        return self.o_proj(y.transpose(1, 2).reshape(B, S, -1))


class DecoderLayer(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, cfg: Qwen3Config, index: int):
        super().__init__()
        self.input_layernorm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)
        self.self_attn = Attention(cfg, index)
        self.post_attention_layernorm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)
        self.mlp = SwiGLU(cfg.hidden_size, cfg.intermediate_size, cfg.hidden_size)

    def forward(self, x: Tensor, rope, mask: Tensor | None, cache: KVCache | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Qwen3(nn.Module):
    """Qwen3 (arXiv:2505.09388); by config alone also Qwen2.5 and the Llama family."""

    def __init__(self, cfg: Qwen3Config):
        super().__init__()
        self.cfg, V, D = cfg, cfg.vocab_size, cfg.hidden_size
        self.model = nn.ModuleDict({
            # Its own initialisation, of no use here, would import sympy: a second at every start.
            "embed_tokens": nn.Embedding(V, D, _weight=torch.empty(V, D)),
            "layers": nn.ModuleList(DecoderLayer(cfg, i) for i in range(cfg.num_hidden_layers)),
            "norm": RMSNorm(D, cfg.rms_norm_eps),
        })  # fmt: skip
        if not cfg.tie_word_embeddings:
            self.lm_head = nn.Linear(D, V, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (...) -> embeddings (..., D)."""
        return self.model["embed_tokens"](ids)

    def forward(self, inputs_embeds=None, input_ids=None, mask=None, cache=None) -> Tensor:
        """Embeddings (B, S, D) or ids (B, S) -> hidden states (B, S, D), after the final norm.

        `mask` (B, S) bool is False at padding, on either side; without one all positions are
        valid. With a KVCache the inputs continue what it holds.
        """
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        B, S, _ = x.shape
        valid = mask if mask is not None else x.new_ones(B, S, dtype=torch.bool)
        if cache is not None:
            valid = cache.extend(valid)
        positions = (valid.cumsum(1) - 1).clamp(min=0)[:, -S:]  # padding does not count
        angles = positions[..., None] * rope_frequencies(self.cfg, x.device)  # (B, S, head_dim/2)
        angles = torch.cat((angles, angles), dim=-1)[:, None]  # (B, 1, S, head_dim)
        rope = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        whole = mask is None and cache is None  # plain causal attention says it all
        attend = None if whole else self.attention_mask(valid, S)
        for layer in self.model["layers"]:
            x = layer(x, rope, attend, cache)
        return self.model["norm"](x)

    @staticmethod
    def attention_mask(valid: Tensor, S: int) -> Tensor | None:
        """(B, 1, S, past + S), True where a query may look; None where plain causal says it all."""
        total = valid.shape[1]
        if S in (1, total) and bool(valid.all()):
            return None  # the fast kernels take no mask
        rows = torch.arange(total - S, total, device=valid.device)[:, None]
        columns = torch.arange(total, device=valid.device)
        # A padded query sees itself: a row with nothing to see would be NaN.
        return (((columns <= rows) & valid[:, None]) | (columns == rows))[:, None]

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., D) -> logits (..., V). Ask only for the positions that are needed."""
        if self.cfg.tie_word_embeddings:
            return F.linear(hidden, self.model["embed_tokens"].weight)
        return self.lm_head(hidden)

    def cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """The loss summed over positions, hidden (n, D), labels (n,).

        Log-probabilities are kept for the gradient, 0.6 MB a position at V = 152k. What else it
        takes to make them and to go back through them, 1.5 MB, exists for a chunk at a time.
        """
        chunks = zip(hidden.split(LOSS_CHUNK), labels.split(LOSS_CHUNK), strict=True)
        return sum(
            F.cross_entropy(self.logits(some).float(), targets, reduction="sum")
            for some, targets in chunks
        )

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        weight = self.model["embed_tokens"].weight
        return KVCache(self.cfg, batch, capacity, weight.dtype, weight.device)

    def steps(
        self, inputs_embeds: Tensor, max_new_tokens: int, eos_ids=(), mask=None, stop=None
    ) -> Iterator[Tensor]:
        """Greedy decoding with a cache: yields the next id of every row, (B,).

        A row has ended when it has written one of `eos_ids`, or when `stop(its ids so far)` is
        true; it is filled up with the first of `eos_ids` until every row has ended.
        """
        B, S, _ = inputs_embeds.shape
        cache = self.new_cache(B, S + max_new_tokens)
        finished = torch.zeros(B, dtype=torch.bool, device=inputs_embeds.device)
        eos = torch.tensor(eos_ids, dtype=torch.long, device=inputs_embeds.device)
        written: list[list[int]] = [[] for _ in range(B)]
        for _ in range(max_new_tokens):
            hidden = self(inputs_embeds, mask=mask, cache=cache)
            ids = self.logits(hidden[:, -1]).argmax(-1)
            if len(eos):
                ids = torch.where(finished, eos[0], ids)
            yield ids
            finished |= torch.isin(ids, eos)
            if stop is not None:
                for row, token in zip(written, ids.tolist(), strict=True):
                    row.append(token)
                finished |= torch.tensor([stop(row) for row in written], device=ids.device)
            if bool(finished.all()):
                return
            inputs_embeds, mask = self.embed(ids)[:, None], None

    @torch.inference_mode()
    def generate(
        self, input_ids=None, max_new_tokens=100, eos_ids=(), mask=None, inputs_embeds=None
    ) -> Tensor:
        """Greedy continuation of ids (B, S) or embeddings (B, S, D): ids (B, <= max_new_tokens).

        Rows of unequal length are padded on the left and `mask` (B, S) says where. A row that
        ends early is filled up with the first of `eos_ids`.
        """
        inputs_embeds = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        return torch.stack([*self.steps(inputs_embeds, max_new_tokens, eos_ids, mask)], dim=1)

    @torch.inference_mode()
    def generate_uncached(self, input_ids: Tensor, max_new_tokens: int) -> Tensor:
        """The definition that `generate` must equal: every token from a whole forward pass."""
        ids = input_ids
        for _ in range(max_new_tokens):
            next_ids = self.logits(self(input_ids=ids)[:, -1]).argmax(-1, keepdim=True)
            ids = torch.cat((ids, next_ids), dim=1)
        return ids[:, input_ids.shape[1] :]

    @classmethod
    def from_pretrained(cls, id_or_dir, dtype=torch.bfloat16, device="cpu", weights=True):
        """From a folder in the Hub's format or a Hub id; see Hubert.from_pretrained.

        In bfloat16, as Qwen3 is published; HuBERT is in float32.
        """
        folder = checkpoint_folder(id_or_dir, weights)
        with torch.device("meta"):
            model = cls(Qwen3Config.from_dict(read_config(folder), folder / "config.json"))

        def rename(key: str) -> str | None:
            # Tied checkpoints may hold a redundant lm_head; old Llama files what is computed here.
            redundant = key == "lm_head.weight" and model.cfg.tie_word_embeddings
            return None if redundant or key.endswith("rotary_emb.inv_freq") else key

        return load_weights(model, folder, rename, dtype, device) if weights else model


@dataclass(frozen=True)
class LoraConfig:
    r: int = 8  # rank; 0: no LoRA
    alpha: float = 16.0  # the update is scaled by alpha / r
    dropout: float = 0.0
    targets: tuple[str, ...] = ()  # names of the adapted linear layers


QWEN3_PROMPT = (  # Qwen3's chat template with thinking switched off
    "<|im_start|>user\nTranscribe: <audio><|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


@dataclass(frozen=True)
class ModelConfig:
    """What a TinyAudio model is made of."""

    encoder: str = "facebook/hubert-xlarge-ls960-ft"  # folder or Hub id
    decoder: str = "Qwen/Qwen3-8B"
    stack: int = 5  # encoder frames in one audio token
    projector_hidden: int = 8192  # width of the projector's SwiGLU
    encoder_lora: LoraConfig = LoraConfig(r=16, alpha=32, targets=("q_proj", "k_proj"))
    decoder_lora: LoraConfig = LoraConfig(r=8, alpha=16, targets=("q_proj", "v_proj"))
    frame_dropout: float = 0.0  # share of encoder frames zeroed in training
    prompt: str = QWEN3_PROMPT  # <audio> is where the audio tokens go
    tokens_per_second: float = 12.0  # the most text tokens a second of speech can hold
    piece_seconds: float = 30.0  # longer recordings are cut at silences: into what it is used to

    def __post_init__(self):
        configs.at_least(1, "model", self, "stack", "projector_hidden", "piece_seconds")


class TinyAudio(nn.Module):
    """A speech recogniser: frozen encoder, trained projector, frozen decoder, LoRA on both."""

    def __init__(self, cfg: ModelConfig, encoder: Hubert, decoder: Qwen3, tokenizer: Tokenizer):
        super().__init__()
        if cfg.prompt.count("<audio>") != 1:
            raise ValueError(f"the prompt must hold <audio> once: {cfg.prompt!r}")
        if not decoder.cfg.eos_token_ids:
            raise ValueError("the decoder's config.json names no eos_token_id to end a text with")
        self.cfg, self.tokenizer = cfg, tokenizer
        self.encoder, self.decoder = encoder, decoder
        device = decoder.model["embed_tokens"].weight.device
        with device:
            self.projector = AudioProjector(
                encoder.cfg.hidden_size, decoder.cfg.hidden_size, cfg.stack, cfg.projector_hidden
            )
        if device.type != "meta":
            self.projector.scale_to(decoder.model["embed_tokens"].weight)
        for part, lora in ((encoder, cfg.encoder_lora), (decoder, cfg.decoder_lora)):
            part.requires_grad_(False)
            if lora.r:
                apply_lora(part, lora.targets, lora.r, lora.alpha, lora.dropout)
        before, after = cfg.prompt.split("<audio>")
        prefix, suffix = tokenizer.encode(before, start=True), tokenizer.encode(after)
        self.register_buffer("prefix_ids", torch.tensor(prefix).long().to(device), persistent=False)
        self.register_buffer("suffix_ids", torch.tensor(suffix).long().to(device), persistent=False)

    def train(self, mode: bool = True) -> "TinyAudio":
        """Training mode for what is trained; the frozen models stay in eval mode."""
        super().train(mode)
        for part in (self.encoder, self.decoder):
            part.eval()
            for layer in lora_layers(part).values():
                layer.train(mode)
        return self

    @property
    def device(self) -> torch.device:
        return self.projector.norm_in.weight.device

    @property
    def layers(self) -> list[nn.Module]:
        """The transformer layers of both frozen models, nearly all of their weights."""
        return [*self.encoder.encoder.layers, *self.decoder.model["layers"]]

    def hear(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, T), valid samples (B,) -> encoder frames (B, F, D), how many (B,)."""
        return self.encoder(normalise(waveforms, lengths), lengths)

    def encode(self, waveforms: Tensor, lengths: Tensor) -> list[Tensor]:
        """Waveforms (B, T), valid samples (B,) -> the audio tokens of each row, [(N, D), ...]."""
        counts = self.projector.token_length(self.encoder.frame_length(lengths)).tolist()
        hidden, frames = self.hear(waveforms, lengths)
        # The last stack of a short row must be completed with zeros, as when it is alone.
        keep = length_mask(frames, hidden.shape[1])
        if self.training and self.cfg.frame_dropout:
            keep = keep & (torch.rand(keep.shape, device=keep.device) >= self.cfg.frame_dropout)
        tokens = self.projector(hidden * keep[..., None])
        return [row[:count] for row, count in zip(tokens, counts, strict=True)]

    def splice(self, audio: Tensor) -> Tensor:
        """The prompt around audio tokens (N, D) -> (S, D), the same to train and to transcribe."""
        prefix, suffix = map(self.decoder.embed, (self.prefix_ids, self.suffix_ids))
        return torch.cat((prefix, audio.to(prefix.dtype), suffix))

    def forward(self, batch) -> tuple[Tensor, Tensor]:
        """A data.Batch -> (loss summed over target tokens, their number, known to the CPU).

        Targets are the text's tokens and the end token; the logits of all other positions are
        never computed.
        """
        end, rows, spans = self.decoder.cfg.eos_token_ids[0], [], []
        answers = [[*self.tokenizer.encode(text), end] for text in batch.texts]
        labels = move(torch.tensor([*chain(*answers)]), self.device)
        split = labels.split([len(answer) for answer in answers])
        for audio, answer in zip(self.encode(batch.waveforms, batch.lengths), split, strict=True):
            prompt = self.splice(audio)
            # The prompt's last position predicts the first token of the answer, and so on.
            rows.append(torch.cat((prompt, self.decoder.embed(answer[:-1]))))
            spans.append(slice(len(prompt) - 1, len(rows[-1])))
        longest = max(map(len, rows))
        # pad_sequence would copy the whole batch's gradient once for each row.
        embeds = torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
        hidden = self.decoder(embeds)  # padding is on the right: causal attention never sees it
        hidden = torch.cat([row[span] for row, span in zip(hidden, spans, strict=True)])
        return self.decoder.cross_entropy(hidden, labels), torch.tensor(len(labels))

    @torch.inference_mode()
    def transcribe(self, audio, beams: int = 1, max_new_tokens: int | None = None):
        """The text of a recording, or the list of texts of a list of them, of any length.

        A recording is what load_audio takes, or a waveform (T,) at 16 kHz. Raises ValueError and
        FileNotFoundError as load_audio does.
        """
        recordings = audio if isinstance(audio, list) else [audio]
        pieces = [(n, p) for n, recording in enumerate(recordings) for p in self.pieces(recording)]
        texts = [""] * len(pieces)
        # Pieces of like length share a batch: the least padding, and no waiting for long ones.
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i][1]), reverse=True)
        while order:
            size = max(1, int(BATCH_SECONDS * SAMPLE_RATE) // len(pieces[order[0]][1]))
            group, order = order[:size], order[size:]
            found = self.transcribe_pieces([pieces[i][1] for i in group], beams, max_new_tokens)
            for i, text in zip(group, found, strict=True):
                texts[i] = text
        parts: list[list[str]] = [[] for _ in recordings]
        for (n, _), text in zip(pieces, texts, strict=True):
            parts[n] += [text] if text else []
        joined = [" ".join(part) for part in parts]
        return joined if isinstance(audio, list) else joined[0]

    def pieces(self, recording) -> list[Tensor]:
        """The parts of a recording that hold sound, each long enough for one encoder frame."""
        waveform = recording if isinstance(recording, Tensor) else load_audio(recording)
        pieces = split_at_silences(waveform, self.cfg.piece_seconds)
        pieces = [p for p in pieces if len(p) and p.std(correction=0) > SILENT]
        return [F.pad(p, (0, max(0, self.encoder.min_samples - len(p)))) for p in pieces]

    def token_limit(self, piece: Tensor) -> int:
        return 8 + int(len(piece) / SAMPLE_RATE * self.cfg.tokens_per_second)

    def prompts(self, pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Waveforms [(T,), ...] -> the decoder's prompts (B, S, D), padded on the left so that
        every row's next token stands in the same column, and where they are valid (B, S)."""
        lengths = torch.tensor([len(p) for p in pieces])
        waveforms = nn.utils.rnn.pad_sequence(pieces, batch_first=True).to(self.device)
        rows = [self.splice(tokens) for tokens in self.encode(waveforms, lengths)]
        embeds = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return embeds, length_mask(lengths, embeds.shape[1]).flip(1)

    def transcribe_pieces(self, pieces: list[Tensor], beams: int, max_new_tokens) -> list[str]:
        """Waveforms [(T,), ...], each at most piece_seconds long -> their texts."""
        eos, (embeds, mask) = self.decoder.cfg.eos_token_ids, self.prompts(pieces)
        limits = [max_new_tokens or self.token_limit(piece) for piece in pieces]
        if beams > 1:
            found = beam_search(self.decoder, embeds, mask, beams, limits, eos)
        else:
            steps = self.decoder.steps(embeds, max(limits), eos, mask, stop=is_looping)
            found = torch.stack(list(steps), dim=1).tolist()
        return [self.finish(ids[:limit]) for ids, limit in zip(found, limits, strict=True)]

    def finish(self, ids: list[int]) -> str:
        """Generated ids -> text: up to the end token, a repetition cut to its first round."""
        ends = [i for i, token in enumerate(ids) if token in self.decoder.cfg.eos_token_ids]
        ids = ids[: ends[0]] if ends else ids
        if (start := loop_start(ids)) is not None:
            ids = ids[:start]
            warnings.warn("the decoder repeated itself; the text is cut there", stacklevel=2)
        return self.tokenizer.decode(ids).strip()

    @torch.inference_mode()
    def stream(self, audio) -> Iterator[str]:
        """The text of one recording in pieces, as it is written.

        Joined they are what `transcribe` gives, but for a repetition, already shown when noticed.
        """
        eos, started = self.decoder.cfg.eos_token_ids, False
        for piece in self.pieces(audio):
            ids, shown = [], ""
            prompt, limit = self.prompts([piece])[0], self.token_limit(piece)
            for token in self.decoder.steps(prompt, limit, eos, stop=is_looping):
                ids.append(token.item())
                # What may turn out to be a loop waits, and half a multi-byte character (U+FFFD).
                text = self.finish(ids[: len(ids) - repeated(ids)])
                if text.startswith(shown) and text != shown and not text.endswith("\ufffd"):
                    yield (" " if started and not shown else "") + text[len(shown) :]
                    shown, started = text, True
            if (text := self.finish(ids)) != shown:
                yield (" " if started and not shown else "") + text[len(shown) :]
                started = True

    @classmethod
    def from_config(
        cls, cfg: ModelConfig, device="cpu", dtype=torch.float32, weights: bool = True
    ) -> "TinyAudio":
        """The pretrained encoder and decoder in `dtype`, and a new projector and LoRA in float32.

        Without `weights` the model is built on the meta device: shapes, but no memory.
        """
        encoder = Hubert.from_pretrained(cfg.encoder, dtype, device, weights)
        decoder = Qwen3.from_pretrained(cfg.decoder, dtype, device, weights)
        tokenizer = Tokenizer(checkpoint_folder(cfg.decoder, weights=False))
        return cls(cfg, encoder, decoder, tokenizer)

    @classmethod
    def from_pretrained(cls, dir_or_repo, device=None, dtype=None) -> "TinyAudio":
        """A saved model, from a folder or the Hub, ready to transcribe.

        Raises FileNotFoundError or ValueError that says what is missing or does not fit.
        """
        device = pick_device(device or "auto")
        dtype = dtype or inference_dtype(device)
        folder = checkpoint_folder(dir_or_repo)
        model = cls.from_config(saved_config(folder), device, dtype)
        model.load_trained(folder)
        return model.to(dtype).eval()

    def load_trained(self, folder: Path, partly: bool = False) -> None:
        """Read projector and adapters of a saved model. Raises ValueError where they do not fit.

        With `partly`, an adapter that the folder lacks stays as it is: it was not trained there.
        """
        try:
            self.projector.load_state_dict(read_safetensors(folder / "projector.safetensors"))
        except RuntimeError as error:
            raise ValueError(f"{folder}: the projector does not fit config.json. {error}") from None
        for part in ("encoder", "decoder"):
            adapter = folder / f"{part}_lora"
            if lora_layers(getattr(self, part)) and (adapter.is_dir() or not partly):
                load_adapter(getattr(self, part), adapter)
            elif adapter.is_dir() and partly:
                raise ValueError(f"{adapter}: cannot go on from it with model.{part}_lora.r=0")

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, projector, adapters and the tokenizer's files.

        A base model from the Hub is named; one in a local folder is copied along, or referred to
        where it lies beside `folder`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = asdict(self.cfg)
        for part in ("encoder", "decoder"):
            base = Path(config[part])
            if base.is_dir() and base.resolve().parent == folder.resolve().parent:
                config[part] = f"../{base.resolve().name}"
            elif base.is_dir():
                copy_folder(base, folder / part)
                config[part] = part
        config = {"model_type": "tiny_audio", "architectures": ["TinyAudio"], **config}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        for file in self.tokenizer.files:
            shutil.copy(file, folder / file.name)
        self.save_trained(folder)

    def save_trained(self, folder: Path) -> None:
        """Write projector and adapters, what `load_trained` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        projector = {k: v.detach().cpu() for k, v in self.projector.state_dict().items()}
        save_tensors(projector, folder / "projector.safetensors")
        for part in ("encoder", "decoder"):
            if lora_layers(getattr(self, part)):
                save_adapter(getattr(self, part), folder / f"{part}_lora", getattr(self.cfg, part))
            else:
                shutil.rmtree(folder / f"{part}_lora", ignore_errors=True)  # an earlier run's


def saved_config(folder: Path) -> ModelConfig:
    """What a saved model is made of; an encoder and decoder that came along are named as folders.

    Raises FileNotFoundError or ValueError where it is none.
    """
    config = read_config(folder)
    if config.get("model_type") != "tiny_audio" or not {"encoder", "decoder"} <= config.keys():
        raise ValueError(f"{folder}: config.json is not a Tiny Audio model's")
    for part in ("encoder", "decoder"):
        if (folder / config[part]).is_dir():  # carried along, or beside the folder
            config[part] = str(folder / config[part])
    return configs.build(ModelConfig(), config)


DEFAULT_MODEL = Path(__file__).parent / "models" / "tiny-audio"


@configs.plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description="Transcribe audio files, or what you say.")
    parser.add_argument("audio", nargs="*", help="WAV, FLAC, OGG or MP3 files")
    parser.add_argument("--mic", action="store_true", help="listen to the microphone instead")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder or Hub id of a saved model")
    parser.add_argument("--beams", type=configs.positive, help="default: 1, or 8 with --ctc")
    parser.add_argument("--ctc", action="store_true", help="the encoder's letters judge the beam")
    parser.add_argument("--device", help="cuda, mps or cpu; default: the fastest there is")
    args = parser.parse_args()
    if bool(args.audio) == args.mic:
        parser.error("expected audio files, or --mic")
    warnings.formatwarning = lambda message, *_: f"{message}\n"
    failed = False
    from ctc import BEAMS, JointTinyAudio  # which stands on this file

    beams = args.beams or (BEAMS if args.ctc else 1)
    model = (JointTinyAudio if args.ctc else TinyAudio).from_pretrained(args.model, args.device)
    for source in microphone() if args.mic else args.audio:
        try:
            audio = load_audio(source)
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        print("" if args.mic else f"{source}: ", end="", flush=True)
        greedy = beams == 1 and not args.ctc
        texts = model.stream(audio) if greedy else [model.transcribe(audio, beams)]
        for text in texts:
            print(text, end="", flush=True)
        print()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
