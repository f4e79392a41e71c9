"""A training step against the same step written the usual way, side by side in one process.

    python benchmarks/train_step.py [--shapes small] [--steps 4] [--batch-seconds 60] [--tflops 0]
                                    [--alone]

Usual: transformers' HubertModel and Qwen3ForCausalLM with peft, SDPA, autocast, random batches
padded to their longest, logits at every position; on a GPU also without cuDNN's attention. Ours:
batches of like length, logits at target positions. Both have the same weights, drawn at random, and
draw from the same `--buffer` utterances, whose lengths are like LoquaciousSet's: 2 to 25 s, about
9 s on average. A batch too large for the GPU is divided, and gradients add up. Of a GPU's memory,
what a step takes beside the weights is shown. Needs tests/requirements.txt.
"""

import argparse
import itertools
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn.utils.parametrize import remove_parametrizations

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
import configs
from audio import SAMPLE_RATE
from benchmarks.shapes import SHAPES
from checkpoints import HubertConfig, Qwen3Config
from data import Batch, DataConfig, Utterance, pad, plan_batches
from devices import gradient_scaler, pick_device, set_up_layers, training_dtype
from plan import PlanConfig, arithmetic
from pretrain import IGNORE
from projector import AudioProjector
from tinyaudio import Hubert, LoraConfig, ModelConfig, Qwen3, TinyAudio, normalise
from train import Config, TrainConfig, make_optimizer, train_step

TOKENS_PER_SECOND = 3.5  # of text
WARMUP = 3  # steps before the timed ones of a turn
WITHOUT_CUDNN = "usual, without cuDNN's attention"  # see devices.py


class NumberTokenizer:
    """Texts that are numbers, "17 4 2003": what the benchmark needs of a tokenizer."""

    files: tuple = ()

    def encode(self, text: str, start: bool = False) -> list[int]:
        return [int(word) for word in text.split()]


def draw_seconds(rng: random.Random) -> float:
    return min(25.0, max(2.0, rng.lognormvariate(2.05, 0.55)))


@dataclass(frozen=True)
class Spoken(Utterance):
    """Noise of a drawn length, and as much text as people say in that time."""

    seconds: float = 0.0

    def waveform(self) -> Tensor:
        generator = torch.Generator().manual_seed(int(self.id))
        return 0.1 * torch.randn(int(self.seconds * SAMPLE_RATE), generator=generator)


def draw_text(seconds: float, vocabulary: int, rng: random.Random) -> str:
    words = (rng.randrange(vocabulary - 10) for _ in range(int(seconds * TOKENS_PER_SECOND)))
    return " ".join(map(str, words))


def draw_utterances(count: int, vocabulary: int, rng: random.Random) -> list[tuple[Spoken, float]]:
    pairs = []
    for i in range(count):
        seconds = draw_seconds(rng)
        text = draw_text(seconds, vocabulary, rng)
        pairs.append((Spoken(str(i), "", text, seconds=seconds), seconds))
    return pairs


def build(shapes: str, device: str, dtype: torch.dtype) -> TinyAudio:
    """A model of published shapes with weights at random."""
    encoder, decoder = SHAPES[shapes]
    cfg = ModelConfig(prompt="1 2 3 <audio> 4 5 6 7", projector_hidden=2 * decoder["hidden_size"])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            parts = Hubert(HubertConfig.from_dict(encoder)), Qwen3(Qwen3Config.from_dict(decoder))
    finally:
        torch.set_default_dtype(before)
    for part in parts:
        for p in part.parameters():
            nn.init.normal_(p, mean=0.0 if p.ndim > 1 else 1.0, std=0.02)
    return TinyAudio(cfg, *parts, NumberTokenizer()).train()


class Usual(nn.Module):
    """The same model out of transformers and peft, as most of today's code has it."""

    def __init__(self, ours: TinyAudio, shapes: str, device: str, dtype: torch.dtype):
        from peft import LoraConfig as PeftConfig
        from peft import get_peft_model
        from transformers import HubertConfig, HubertModel, Qwen3Config, Qwen3ForCausalLM

        super().__init__()
        encoder, decoder = SHAPES[shapes]
        quiet = dict.fromkeys(
            ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout",
             "final_dropout", "layerdrop", "mask_time_prob"), 0.0,
        )  # fmt: skip
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with torch.device(device):
                hubert = HubertModel(HubertConfig(**encoder | quiet, attn_implementation="sdpa"))
                qwen3 = Qwen3ForCausalLM(Qwen3Config(**decoder, attn_implementation="sdpa"))
        finally:
            torch.set_default_dtype(before)

        remove_parametrizations(hubert.encoder.pos_conv_embed.conv, "weight")

        def with_lora(model: nn.Module, part: nn.Module, lora: LoraConfig) -> nn.Module:
            state = {k: v for k, v in part.state_dict().items() if ".lora_" not in k}
            found = model.load_state_dict(state, strict=False, assign=True)  # held once
            model.tie_weights()
            extra = set(found.missing_keys) - {"masked_spec_embed", "lm_head.weight"}
            assert not extra and not found.unexpected_keys, found
            targets = list(lora.targets)
            settings = PeftConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=targets)
            return get_peft_model(model, settings)

        self.hubert = with_lora(hubert, ours.encoder, ours.cfg.encoder_lora)
        self.qwen3 = with_lora(qwen3, ours.decoder, ours.cfg.decoder_lora)
        D, width = encoder["hidden_size"], decoder["hidden_size"]
        self.projector = AudioProjector(D, width, ours.cfg.stack, ours.cfg.projector_hidden)
        self.projector.to(device).load_state_dict(ours.projector.state_dict())
        self.tokenizer, self.eos = ours.tokenizer, decoder["eos_token_id"]
        self.prefix_ids, self.suffix_ids = ours.prefix_ids, ours.suffix_ids

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        dtype = next(self.hubert.parameters()).dtype
        with torch.autocast(batch.waveforms.device.type, dtype, dtype != torch.float32):
            return self.loss(batch)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        device = batch.waveforms.device
        lengths = batch.lengths.to(device)
        mask = torch.arange(batch.waveforms.shape[1], device=device) < lengths[:, None]
        waveforms = normalise(batch.waveforms, lengths)
        waveforms = waveforms.to(next(self.hubert.parameters()).dtype)
        hidden = self.hubert(waveforms, attention_mask=mask).last_hidden_state
        frames = self.hubert._get_feat_extract_output_lengths(lengths)
        tokens = self.projector(hidden)
        counts = self.projector.token_length(frames).tolist()
        embed = self.qwen3.get_input_embeddings()

        def embedded(ids: list[int] | Tensor) -> Tensor:
            return embed(torch.as_tensor(ids, device=device))

        rows, labels = [], []
        for audio, count, text in zip(tokens, counts, batch.texts, strict=True):
            answer = [*self.tokenizer.encode(text), self.eos]
            prefix, suffix = embedded(self.prefix_ids), embedded(self.suffix_ids)
            row = torch.cat((prefix, audio[:count].to(prefix.dtype), suffix, embedded(answer)))
            rows.append(row)
            ignored = [IGNORE] * (len(row) - len(answer))
            labels.append(torch.tensor(ignored + answer, device=device))
        embeds = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        labels = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORE)
        attend = (
            torch.arange(embeds.shape[1], device=device)
            < torch.tensor([len(row) for row in rows], device=device)[:, None]
        )
        out = self.qwen3(inputs_embeds=embeds, attention_mask=attend.long(), labels=labels)
        count = (labels[:, 1:] != IGNORE).sum()
        return out.loss * count, count


def random_batches(pairs: list, batch_seconds: float, rng: random.Random) -> list[list]:
    """As many utterances in each batch as fit on average, in no order."""
    mean = statistics.mean(seconds for _, seconds in pairs)
    size = max(1, round(batch_seconds / mean))
    order = [utterance for utterance, _ in rng.sample(pairs, len(pairs))]
    return [order[i : i + size] for i in range(0, len(order), size)]


@dataclass
class Clock:
    steps: int = 0
    parts: int = 1  # of a batch
    seconds: float = 0.0
    audio: float = 0.0
    padded: float = 0.0
    rows: int = 0
    peak: int = 0  # bytes on a GPU, beside those that were there before


@configs.plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default="small", choices=SHAPES)
    parser.add_argument("--steps", type=configs.positive, default=4, help="timed steps in a turn")
    parser.add_argument("--turns", type=configs.positive, default=2, help="of all, one by one")
    parser.add_argument("--batch-seconds", type=configs.seconds, default=60.0)
    parser.add_argument("--buffer", type=configs.positive, default=2000, help="see data.buffer")
    parser.add_argument("--alone", action="store_true", help="ours without the usual way")
    parser.add_argument("--recompute", action="store_true", help="ours; see train.recompute")
    parser.add_argument("--compile", action="store_true", help="ours; see train.compile")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tflops", type=float, default=0, help="the device's peak")
    args = parser.parse_args()
    device = pick_device(args.device)
    dtype = training_dtype(args.precision, device)
    scaler = gradient_scaler(dtype, device)
    rng = random.Random(0)
    ours = build(args.shapes, device, dtype)
    set_up_layers(ours.layers, args.compile, args.recompute)
    pairs = draw_utterances(args.buffer, SHAPES[args.shapes][1]["vocab_size"], rng)
    models = {"ours": ours}
    batches = {"ours": itertools.cycle(plan_batches(pairs, args.batch_seconds, rng))}
    optimizers = {"ours": make_optimizer(ours, TrainConfig())}
    if not args.alone:
        usual = Usual(ours, args.shapes, device, dtype).train()
        optimizer = torch.optim.AdamW([p for p in usual.parameters() if p.requires_grad])
        theirs = itertools.cycle(random_batches(pairs, args.batch_seconds, rng))
        for name in ("usual", WITHOUT_CUDNN) if device == "cuda" else ("usual",):
            models[name], optimizers[name], batches[name] = usual, optimizer, theirs
    clocks = {name: Clock() for name in models}
    for name in [*models] * args.turns:  # what else the machine does hits all
        if device == "cuda":
            torch.cuda.empty_cache()  # the others' memory is of other sizes
        torch.backends.cuda.enable_cudnn_sdp(name == "usual")  # PyTorch's own choice; not ours
        for step in range(WARMUP + args.steps):
            clock, chosen = clocks[name], next(batches[name])
            size = -(-len(chosen) // clock.parts)
            group = []
            for some in (chosen[i : i + size] for i in range(0, len(chosen), size)):
                batch = pad([u.waveform() for u in some], [u.text for u in some])
                group.append(batch.to(device))
            held, compiled = start_counting(device), counters["stats"]["unique_graphs"]
            started = time.perf_counter()
            try:
                train_step(models[name], group, optimizers[name], scaler, 1.0)
            except torch.OutOfMemoryError:
                if size == 1:
                    print(f"{name}: out of memory with a single utterance", file=sys.stderr)
                    return 1
                optimizers[name].zero_grad()
                clock.parts *= 2
                continue
            peak = finish(device)
            # A step in which torch.compile met a new kind of shape is not like those after it.
            if step >= WARMUP and compiled == counters["stats"]["unique_graphs"]:
                clock.steps += 1
                clock.seconds += time.perf_counter() - started
                clock.peak = max(clock.peak, peak - held)
                clock.audio += sum(batch.seconds for batch in group)
                clock.rows += len(chosen)
                clock.padded += sum(batch.waveforms.numel() for batch in group) / SAMPLE_RATE
    if not all(clock.steps for clock in clocks.values()):
        print("no step went without compiling or dividing: more --steps", file=sys.stderr)
        return 1
    report(args, clocks, ours)
    return 0


def report(args, clocks: dict[str, Clock], ours: TinyAudio) -> None:
    print("| step | audio h per h | padding | seconds a step | of the peak | memory |")
    print("|---|---|---|---|---|---|")
    for name, clock in clocks.items():
        cfg = Config(
            data=DataConfig(batch_seconds=clock.audio / clock.steps),
            plan=PlanConfig(
                tokens_per_second=TOKENS_PER_SECOND, utterance_seconds=clock.audio / clock.rows
            ),
        )
        # Work that serves the result: none for padding, none twice.
        rate = clock.steps * arithmetic(ours, cfg) / clock.seconds
        share = f"{rate / args.tflops / 1e12:.1%}" if args.tflops else f"{rate / 1e9:.0f} GFLOP/s"
        speed, padding = clock.audio / clock.seconds, 1 - clock.audio / clock.padded
        seconds = clock.seconds / clock.steps
        memory = f"{clock.peak / 1e9:.1f} GB" if clock.peak else "not measured"
        divided = f", in {clock.parts} parts" if clock.parts > 1 else ""
        print(f"| {name}{divided} | {speed:.1f} | {padding:.1%} | {seconds:.3f} | {share} "
              f"| {memory} |")  # fmt: skip
    mine = clocks.pop("ours")
    for name, clock in clocks.items():
        ratio = mine.audio / mine.seconds / (clock.audio / clock.seconds)
        print(f"ours / {name}: {ratio:.2f}x")


def start_counting(device: str) -> int:
    """Count a GPU's peak of memory from now on: the bytes that it holds already."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    return finish(device)


def finish(device: str) -> int:
    """Wait for a GPU; the peak of its memory in bytes. 0 on a CPU."""
    if device != "cuda":
        return 0
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


if __name__ == "__main__":
    sys.exit(main())
