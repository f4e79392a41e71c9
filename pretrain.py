"""How the tiny pair in models/ was made, from random weights.

    python pretrain.py hubert    # models/tiny-hubert: an encoder, by CTC on synthesised speech
    python pretrain.py qwen3     # models/tiny-qwen3: a language model that can also copy
    python pretrain.py           # both

With --data the encoder hears recordings of people too, as the shipped one did (models/README.md).
They stand where HuBERT-xlarge and Qwen3-8B stand in a real run: published checkpoints that somebody
trained, in the Hub's format; transformers loads them unchanged. Shape letters: see tinyaudio.py.
"""

import argparse
import itertools
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer
from torch import Tensor, nn

from audio import SAMPLE_RATE
from augment import Augment, AugmentConfig
from checkpoints import (
    load_weights,
    optimizer_tensors,
    read_safetensors,
    restore_optimizer,
)
from configs import plain_errors
from ctc import HubertCTC
from data import Batches, DataConfig, load_source, load_sources, normalise_text
from devices import pick_device
from eval import cer, wer
from synthesis import sentences
from tinyaudio import QWEN3_PROMPT, HubertConfig, Qwen3, Qwen3Config, normalise
from train import TrainConfig, learning_rate

MODELS = Path(__file__).parent / "models"
# Entries of the tokenizer besides the chat tokens: most words of the language are one token. With
# 400, most are spelled in pieces, and configs/tiny.yaml had a dev WER of 9.4 % instead of 7.0 %.
LANGUAGE_TOKENS = 1000
IGNORE = -100  # label of positions without a loss, as F.cross_entropy has it
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")

# The alphabet of facebook/hubert-large-ls960-ft, in its order; <pad> is CTC's blank, | the space.
ALPHABET = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]

HUBERT = HubertConfig(
    hidden_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=1024,
    conv_dim=(64, 128, 256),  # a cheaper stem than (512,) * 7, with the same 320 samples per frame
    conv_kernel=(20, 16, 8),
    conv_stride=(10, 8, 4),
    conv_bias=True,
    feat_extract_norm="layer",  # as large and xlarge
    do_stable_layer_norm=True,
    num_conv_pos_embeddings=64,
    num_conv_pos_embedding_groups=16,
)


def initialise(model: nn.Module) -> None:
    """Normal weights of deviation 0.02, as HuBERT and Qwen3 start; convolutions by He et al."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)


def make_optimizer(model: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01, fused=True)


def set_rate(optimizer, peak: float, step: int, steps: int, warmup: int) -> None:
    """The learning rate rises linearly to the peak, then falls along a cosine to a hundredth."""
    share = learning_rate(step, TrainConfig(steps=steps, warmup=warmup, lr_floor=0.01))
    for settings in optimizer.param_groups:
        settings["lr"] = peak * share


def hubert_ctc(folder: Path | None = None) -> HubertCTC:
    """An encoder with its letters, to be trained: random, or as `save_hubert` wrote it."""
    model = HubertCTC(HUBERT, ALPHABET)
    initialise(model)
    model.masked_spec_embed = nn.Parameter(torch.rand(HUBERT.hidden_size))
    if folder is not None:
        load_weights(model, folder, lambda key: key.removeprefix("hubert."), torch.float32, "cpu")
    return model.requires_grad_(True).train()


SAVE_EVERY = 500  # steps

# A speaker's distance, room and microphone, in place of those that synthesised speech lacks.
AUGMENT = AugmentConfig(
    speed=(0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15), tone=0.7, hiss_share=0.5, snr=(5.0, 40.0)
)


def train_hubert(
    folder: Path,
    sources: tuple[str, ...],
    noise: tuple[str, ...],
    dev: tuple[str, ...],
    steps: int,
    lr: float,
    init: Path | None = None,
    resume: bool = False,
    seed: int = 0,
) -> None:
    """CTC on transcribed speech (Graves et al. 2006), as hubert-large-ls960-ft on LibriSpeech.

    `noise` are sources of recordings to mix in and to write nothing on. From random weights, on
    from those that an earlier call wrote to `init`, or, to `resume`, from where a call that was
    interrupted last saved. Raises FileNotFoundError where there is nothing to resume.
    """
    torch.manual_seed(seed)
    device = pick_device()
    cfg = DataConfig(batch_seconds=32.0, workers=1, wordless=True)
    augment = Augment(replace(AUGMENT, noise=noise), load_sources(noise))
    batches = Batches(load_sources(sources + noise), cfg, seed, augment)
    held_out = {source: load_source(source) for source in dev}
    model = hubert_ctc(init).to(device)
    optimizer = make_optimizer(model)
    step, cursor = load_progress(folder, model, optimizer) if resume else (0, {})
    print(f"hubert: {batches.seconds / 3600:.1f} h of speech, on {device}", flush=True)
    started, losses = time.time(), []
    stream = batches.stream(cursor)
    for cursor, batch, left_out in stream:
        batches.problems.update(left_out)
        if batch is None:
            continue
        torch.manual_seed(seed * steps + step)  # masks: the same after an interruption
        set_rate(optimizer, lr, step, steps, warmup=500)
        batch = batch.to(device)
        targets = [model.encode(text) for text in batch.texts]
        with torch.autocast(device, torch.bfloat16):
            logits, frames = ctc_logits(model, batch.waveforms, batch.lengths)
        loss = F.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1), torch.cat(targets).to(device), frames,
            torch.tensor([len(t) for t in targets], device=device), zero_infinity=True,
        )  # fmt: skip
        loss.backward()
        if nn.utils.clip_grad_norm_(model.parameters(), 1.0).isfinite():
            optimizer.step()
        optimizer.zero_grad()
        step += 1
        losses.append(loss.item())
        if step % 50 == 0:
            mean, seconds = statistics.mean(losses[-50:]), time.time() - started
            print(f"hubert step {step}/{steps}  loss {mean:.3f}  {seconds:.0f} s", flush=True)
        if step % SAVE_EVERY == 0 or step == steps:
            for source, utterances in held_out.items():
                refs = [normalise_text(u.text) for u in utterances]
                hyps = [model.transcribe(u.waveform()) for u in utterances]
                rates = f"WER {wer(refs, hyps):.2%}  CER {cer(refs, hyps):.2%}"
                print(f"hubert on {source}: {rates}", flush=True)
            save_hubert(model, folder)
            save_progress(folder, model, optimizer, step, cursor)
        if step >= steps:
            break
    shutil.rmtree(folder / "progress")
    batches.problems.report("pretraining data")


def save_progress(folder: Path, model: nn.Module, optimizer, step: int, cursor: dict) -> None:
    """What `load_progress` puts back; under another name until it is whole."""
    unfinished = folder / "progress.unfinished"
    unfinished.mkdir(exist_ok=True)
    save_file(model.state_dict(), unfinished / "model.safetensors")
    save_file(optimizer_tensors(optimizer), unfinished / "optimizer.safetensors")
    write_json(unfinished / "progress.json", {"step": step, "cursor": cursor})
    shutil.rmtree(folder / "progress", ignore_errors=True)
    unfinished.rename(folder / "progress")


def load_progress(folder: Path, model: nn.Module, optimizer) -> tuple[int, dict]:
    """(steps done, cursor in the data) of a call that was interrupted. Raises FileNotFoundError."""
    saved = folder / "progress"
    if not saved.is_dir():
        raise FileNotFoundError(f"{saved}: nothing to resume")
    model.load_state_dict(read_safetensors(saved / "model.safetensors"))
    restore_optimizer(optimizer, read_safetensors(saved / "optimizer.safetensors"))
    progress = json.loads((saved / "progress.json").read_text())
    return progress["step"], progress["cursor"]


def ctc_logits(model: HubertCTC, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Waveforms (B, T) -> letter logits (B, F, V), frames (B,); what is hidden must be guessed."""
    x, frames = model.feature_extractor(normalise(waveforms, lengths), lengths)
    x = model.feature_projection(x)
    # Spans of 10 frames, as HuBERT hides them, on average a tenth of all frames.
    starts = (torch.rand(x.shape[:2], device=x.device) < 0.01).float()[:, None]
    spans = F.max_pool1d(F.pad(starts, (9, 0)), 10, stride=1)[:, 0] > 0
    x = torch.where(spans[..., None], model.masked_spec_embed.to(x.dtype), x)
    return model.lm_head(model.encoder(x, frames)), frames


def save_hubert(model: HubertCTC, folder: Path) -> None:
    """Write a HubertForCTC checkpoint in bfloat16, with what transformers' processor needs."""
    state = {k if k.startswith("lm_head.") else f"hubert.{k}": v.to("cpu", torch.bfloat16)
             for k, v in model.state_dict().items()}  # fmt: skip
    # The published files hold the positional convolution weight-normed: w = g v / |v|.
    v = state.pop("hubert.encoder.pos_conv_embed.conv.weight")
    g = v.float().norm(dim=(0, 1), keepdim=True).to(v.dtype)
    state["hubert.encoder.pos_conv_embed.conv.parametrizations.weight.original0"] = g
    state["hubert.encoder.pos_conv_embed.conv.parametrizations.weight.original1"] = v
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.contiguous() for k, v in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config = asdict(HUBERT) | {
        "architectures": ["HubertForCTC"], "dtype": "bfloat16", "hidden_act": "gelu",
        "feat_extract_activation": "gelu", "num_feat_extract_layers": len(HUBERT.conv_dim),
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "ctc_loss_reduction": "mean",
    }  # fmt: skip
    write_json(folder / "config.json", config)
    write_json(folder / "vocab.json", {letter: i for i, letter in enumerate(ALPHABET)})
    write_json(folder / "preprocessor_config.json", {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1,
        "do_normalize": True, "padding_side": "right", "padding_value": 0,
        "return_attention_mask": True,
        "sampling_rate": SAMPLE_RATE,
    })  # fmt: skip
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "bos_token": "<s>",
        "eos_token": "</s>", "unk_token": "<unk>", "word_delimiter_token": "|",
    })  # fmt: skip


QWEN3 = Qwen3Config(
    hidden_size=192,
    num_hidden_layers=4,
    num_attention_heads=6,
    num_key_value_heads=3,
    head_dim=32,
    intermediate_size=576,
    vocab_size=LANGUAGE_TOKENS + len(CHAT_TOKENS),
    rms_norm_eps=1e-6,
    rope_theta=10_000.0,
    tie_word_embeddings=True,
    qk_norm=True,
    qkv_bias=False,
    o_bias=False,
)


def language(split: str, rng: random.Random) -> Iterator[str]:
    """What the decoder may expect to read: two everyday sentences for one of dictation."""
    everyday, dictation = (sentences(split, rng, name) for name in ("everyday", "dictation"))
    while True:
        yield from (next(everyday), next(everyday), next(dictation))


def train_tokenizer(rng: random.Random) -> FastTokenizer:
    """Byte-level BPE with Qwen's chat tokens after the ordinary ones, as Qwen's own."""
    tokenizer = FastTokenizer(models.BPE())
    # Qwen's pattern, less what English letters do not need: a word keeps the space before it.
    split = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(split, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=LANGUAGE_TOKENS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    texts = itertools.islice(language("train", rng), 20_000)
    # Made-up words too: syllables and letter pairs are what an unknown name is written with.
    tokenizer.train_from_iterator((f"{text} {made_up_words(rng)}" for text in texts), trainer)
    chat_tokens = [AddedToken(t, normalized=False, special=True) for t in CHAT_TOKENS]
    tokenizer.add_special_tokens(chat_tokens)
    return tokenizer


def made_up_words(rng: random.Random) -> str:
    """Pronounceable nonsense: nothing but copying predicts it."""
    onsets = "b c d f g h j k l m n p r s t v w y z br ch cl dr fl gr pl qu sh sp st th tr wh x"
    onsets = [*onsets.split(), ""]
    nuclei = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ou", "oo", "y"]
    codas = ["", "", "n", "r", "s", "t", "l", "m", "ck", "ng", "d"]

    def syllable() -> str:
        return rng.choice(onsets) + rng.choice(nuclei) + rng.choice(codas)

    def word() -> str:
        return "".join(syllable() for _ in range(rng.randint(1, 3)))

    return " ".join(word() for _ in range(rng.randint(2, 6)))


class CopyingText:
    """Examples for the language model: plain sentences, and sentences to read out of fragments.

    A recogniser's decoder must read what the encoder heard: about ten tokens a second, each a sound
    or two, some of them silence, some wrong. Large models have the habit of reading such input from
    the misspelt, badly hyphenated, stuttering text of the web; the tiny one gets it here.
    """

    def __init__(self, tokenizer: FastTokenizer, rng: random.Random):
        self.tokenizer, self.rng, self.vocab = tokenizer, rng, tokenizer.get_vocab()
        before, after = QWEN3_PROMPT.split("<audio>")
        self.prefix, self.suffix = self.ids(before), self.ids(after)
        self.end = self.vocab["<|im_end|>"]
        self.sentences = language("train", rng)
        self.words = sorted({w for _ in range(3000) for w in next(self.sentences).split()})
        self.letters = list("abcdefghijklmnopqrstuvwxyz")

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def text(self) -> str:
        """A sentence; or words, made-up words or letters in no order: only copying helps there."""
        kind = self.rng.random()
        if kind < 0.5:
            return next(self.sentences)
        if kind < 0.75:
            return " ".join(self.rng.choices(self.words, k=self.rng.randint(1, 9)))
        if kind < 0.9:
            return made_up_words(self.rng)
        return " ".join(self.rng.choices(self.letters, k=self.rng.randint(2, 10)))

    def fragments(self, text: str) -> list[int]:
        """The text as tokens of one to three characters, stuttering, with gaps and mistakes."""
        out, rng, space = [], self.rng, self.vocab["Ġ"]
        text = text.replace(" ", "Ġ")
        mistakes = rng.choice([0.0, 0.0, 0.02, 0.05])
        out += [space] * rng.randint(0, 4)
        while text:
            size = rng.choice([1, 1, 1, 2, 2, 3])
            while text[:size] not in self.vocab:
                size -= 1
            piece, text = self.vocab[text[:size]], text[size:]
            if rng.random() < mistakes:
                piece = rng.choice([None, rng.randrange(LANGUAGE_TOKENS)])
            if piece is not None:
                out += [piece] * rng.choice([1, 1, 1, 1, 2])
            if text.startswith("Ġ") and rng.random() < 0.2:
                out += [space] * rng.randint(1, 5)
        return out + [space] * rng.randint(0, 4)

    def example(self) -> tuple[list[int], list[int], tuple[int, int]]:
        """(ids, labels, span of the fragments); labels are the next ids where they are text."""
        text = self.text()
        answer = [*self.ids(text), self.end]
        if self.rng.random() < 0.1:  # plain text
            return answer[:-1], answer[1:], (0, 0)
        content = self.fragments(text)
        start, end = len(self.prefix), len(self.prefix) + len(content)
        ids = [*self.prefix, *content, *self.suffix, *answer]
        labels = [IGNORE] * (len(ids) - len(answer) - 1) + answer
        return ids[:-1], labels, (start, end)

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """ids (B, S), labels (B, S), and where fragments stand (B, S)."""
        ids, labels, spans = zip(*(self.example() for _ in range(size)), strict=True)
        pad = nn.utils.rnn.pad_sequence
        ids = pad([torch.tensor(row) for row in ids], True)
        labels = pad([torch.tensor(row) for row in labels], True, IGNORE)
        where = torch.zeros_like(ids, dtype=torch.bool)
        for row, (start, end) in zip(where, spans, strict=True):
            row[start:end] = True
        return ids, labels, where


def blur(x: Tensor, where: Tensor) -> Tensor:
    """Embeddings (B, S, D) of fragments made unclear: mixed with the next one's, and noisy."""
    B, S, _ = x.shape
    share = torch.rand(B, S, 1) ** 3 * torch.rand(B, 1, 1)  # mostly little
    mixed = (1 - share) * x + share * x.roll(-1, dims=1)
    noise = torch.randn_like(x) * x.detach().pow(2).mean().sqrt() * torch.rand(B, 1, 1) * 0.8
    return torch.where(where[..., None], mixed + noise, x)


def train_qwen3(folder: Path, steps: int, seed: int = 0) -> None:
    """Next-token prediction on sentences, and on sentences behind their own fragments."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = train_tokenizer(rng)
    source = CopyingText(tokenizer, rng)
    held_out = CopyingText(tokenizer, random.Random("held out"))
    held_out.sentences = language("dev", held_out.rng)
    held_out = held_out.batch(256)
    model = Qwen3(QWEN3)
    initialise(model)
    optimizer = make_optimizer(model)
    started, losses = time.time(), []

    def loss_of(ids: Tensor, labels: Tensor, where: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model(blur(model.embed(ids), where))
            logits = model.logits(hidden[labels != IGNORE])
        return F.cross_entropy(logits.float(), labels[labels != IGNORE])

    for step in range(1, steps + 1):
        set_rate(optimizer, 2e-3, step - 1, steps, warmup=200)
        loss = loss_of(*source.batch(32))
        loss.backward()
        if nn.utils.clip_grad_norm_(model.parameters(), 1.0).isfinite():
            optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0:
            mean, seconds = sum(losses[-50:]) / 50, time.time() - started
            print(f"qwen3 step {step}/{steps}  loss {mean:.3f}  {seconds:.0f} s", flush=True)
        if step % 500 == 0 or step == steps:
            with torch.no_grad():
                print(f"qwen3 held-out loss {loss_of(*held_out).item():.3f}", flush=True)
            save_qwen3(model, tokenizer, folder)


def save_qwen3(model: Qwen3, tokenizer: FastTokenizer, folder: Path) -> None:
    """Write a Qwen3ForCausalLM checkpoint in bfloat16, and the tokenizer for AutoTokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().to(torch.bfloat16) for k, v in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    eos = tokenizer.token_to_id("<|im_end|>")
    write_json(folder / "config.json", {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "dtype": "bfloat16",
        "hidden_size": QWEN3.hidden_size, "num_hidden_layers": QWEN3.num_hidden_layers,
        "num_attention_heads": QWEN3.num_attention_heads,
        "num_key_value_heads": QWEN3.num_key_value_heads, "head_dim": QWEN3.head_dim,
        "intermediate_size": QWEN3.intermediate_size, "vocab_size": QWEN3.vocab_size,
        "rms_norm_eps": QWEN3.rms_norm_eps, "rope_theta": QWEN3.rope_theta, "hidden_act": "silu",
        "max_position_embeddings": 4096, "attention_bias": False, "tie_word_embeddings": True,
        "bos_token_id": None, "eos_token_id": eos,
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
    })  # fmt: skip
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "model_max_length": 4096,
    })  # fmt: skip


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("hubert", "qwen3"), help="default: both")
    parser.add_argument("--hubert-steps", type=int, default=11_000)
    parser.add_argument("--hubert-lr", type=float, default=2.5e-3)
    parser.add_argument("--hubert-init", type=Path, help="go on from this folder's weights")
    parser.add_argument("--hubert-resume", action="store_true", help="after an interruption")
    parser.add_argument("--qwen3-steps", type=int, default=5000)
    parser.add_argument("--data", nargs="+", default=["espeak:train:40000"], help="hubert's speech")
    parser.add_argument("--noise", nargs="+", default=[], help="recordings for hubert to ignore")
    parser.add_argument("--dev", nargs="+", default=["espeak:dev:200"], help="hubert is scored on")
    parser.add_argument("--seed", type=int, default=0, help="another for each go")
    parser.add_argument("--out", type=Path, default=Path("runs") / "pair")
    args = parser.parse_args()
    if args.part != "qwen3":
        train_hubert(
            args.out / "tiny-hubert", tuple(args.data), tuple(args.noise), tuple(args.dev),
            args.hubert_steps, args.hubert_lr, args.hubert_init, args.hubert_resume, args.seed,
        )  # fmt: skip
    if args.part != "hubert":
        train_qwen3(args.out / "tiny-qwen3", args.qwen3_steps, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
