"""Checkpoints: published ones (their files, config.json, weights) and a training run's own.

Beside the path from waveform to text: called when a model is loaded, and when a run saves itself.
"""

import filecmp
import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields
from multiprocessing import resource_tracker
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class HubertConfig:
    """The keys of a HuBERT or wav2vec 2.0 config.json that change the arithmetic."""

    hidden_size: int  # D
    num_hidden_layers: int
    num_attention_heads: int  # H
    intermediate_size: int
    conv_dim: tuple[int, ...]  # channels of the convolutions from samples to frames
    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]  # their product, 320, is the samples per frame
    conv_bias: bool
    feat_extract_norm: str  # "group": after the first convolution only (base); "layer": after each
    do_stable_layer_norm: bool  # True: norm before attention (large, xlarge); False: after (base)
    num_conv_pos_embeddings: int  # kernel of the positional convolution
    num_conv_pos_embedding_groups: int
    layer_norm_eps: float = 1e-5
    feat_proj_layer_norm: bool = True  # HuBERT's configs may say no; wav2vec 2.0 always has it
    vocab_size: int = 32  # of the CTC head, where the checkpoint has one
    model_type: str = "hubert"

    @classmethod
    def from_dict(cls, config: dict, source="config.json") -> "HubertConfig":
        """Raises ValueError for another architecture, or for a variant computed differently."""
        require(config, source, model_type=("hubert", "wav2vec2"), hidden_act=("gelu", None),
                feat_extract_activation=("gelu", None), conv_pos_batch_norm=(False, None),
                add_adapter=(False, None))  # fmt: skip
        require_keys(config, source, *(f.name for f in fields(cls) if f.default is MISSING))
        names = {f.name for f in fields(cls)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return cls(**{k: v for k, v in values.items() if k in names})


@dataclass(frozen=True)
class Qwen3Config:
    """The keys of a Qwen3, Qwen2.5 or Llama config.json that change the arithmetic."""

    hidden_size: int  # D
    num_hidden_layers: int
    num_attention_heads: int  # H, query heads
    num_key_value_heads: int  # K: H / K query heads share a key and a value (grouped-query)
    head_dim: int
    intermediate_size: int
    vocab_size: int  # V
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool  # True: logits through the transposed embedding
    qk_norm: bool  # RMSNorm on each head's q and k: Qwen3
    qkv_bias: bool  # Qwen2.5
    o_bias: bool
    eos_token_ids: tuple[int, ...] = ()
    rope_scaling: dict | None = None  # Llama 3.1's stretching of long wavelengths

    @classmethod
    def from_dict(cls, config: dict, source="config.json") -> "Qwen3Config":
        """Raises ValueError for another architecture, or for a variant computed differently."""
        require(config, source, model_type=("qwen3", "qwen2", "llama"), hidden_act=("silu", None),
                use_sliding_window=(False, None), mlp_bias=(False, None))  # fmt: skip
        require_keys(config, source, "hidden_size", "num_hidden_layers", "num_attention_heads",
                     "intermediate_size", "vocab_size")  # fmt: skip
        kind, heads = config["model_type"], config["num_attention_heads"]
        # transformers 5 writes rope_parameters; older files hold rope_theta and rope_scaling.
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        rope = {"rope_type": rope.get("type", "default")} | rope
        require(rope, source, rope_type=("default", "llama3"))
        eos = config.get("eos_token_id")
        bias = config.get("attention_bias", False)
        return cls(
            hidden_size=config["hidden_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            intermediate_size=config["intermediate_size"],
            vocab_size=config["vocab_size"],
            rms_norm_eps=config.get("rms_norm_eps", 1e-6),
            rope_theta=rope.get("rope_theta", config.get("rope_theta", 10_000.0)),
            tie_word_embeddings=config.get("tie_word_embeddings", False),
            qk_norm=kind == "qwen3",
            qkv_bias=kind == "qwen2" or bias,
            o_bias=kind != "qwen2" and bias,
            eos_token_ids=tuple(eos if isinstance(eos, list) else [] if eos is None else [eos]),
            rope_scaling=rope if rope["rope_type"] == "llama3" else None,
        )


def require(config: dict, source, **allowed: tuple) -> None:
    """Raises ValueError where a key's value is not allowed; None stands for a missing key."""
    for key, values in allowed.items():
        if config.get(key) not in values:
            known = ", ".join(str(v) for v in values if v is not None)
            raise ValueError(f"{source}: {key} is {config.get(key)!r}; supported: {known}")


def require_keys(config: dict, source, *keys: str) -> None:
    """Raises ValueError where some are missing."""
    if missing := [key for key in keys if key not in config]:
        raise ValueError(f"{source}: does not say {', '.join(missing)}")


def checkpoint_folder(id_or_dir: str | Path, weights: bool = True) -> Path:
    """The local folder of a checkpoint: `id_or_dir` itself, or its download from the Hub.

    An id may name a revision, `owner/name@revision`: a commit, a tag, or `refs/pr/1`, where the
    Hub's converter has put safetensors that main lacks. Without `weights`, only the small files.
    Raises FileNotFoundError where there is neither.
    """
    if Path(id_or_dir).is_dir():
        return Path(id_or_dir)
    if str(id_or_dir).startswith((".", "/", "~")):
        raise FileNotFoundError(f"{id_or_dir}: no such folder")
    from huggingface_hub import snapshot_download

    repo, _, revision = str(id_or_dir).partition("@")
    small = ["*.json", "*tokenizer.model"]  # the star: in a folder that came along, too

    def download(*patterns: str) -> Path:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))

    try:
        if not weights:
            return download(*small)
        folder = download(*small, "*.safetensors")
        return folder if any(folder.glob("*.safetensors")) else download(*small, "*.bin")
    except Exception as error:  # OSError, or that of the client huggingface_hub happens to use
        reason = str(error).strip().split("\n")[0] or type(error).__name__  # a timeout says nothing
        raise FileNotFoundError(
            f"{id_or_dir}: no such folder, and not to be had from the Hugging Face Hub ({reason})"
        ) from None


def read_config(folder: Path) -> dict:
    """The checkpoint's config.json. Raises FileNotFoundError where there is none."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: holds no config.json; is it a checkpoint's folder?")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file. Raises ValueError where it is cut short or damaged."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short or damaged ({error})") from None


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every (key, tensor) of a checkpoint, one at a time: safetensors, shards, or .bin files.

    Raises FileNotFoundError, or ValueError where a file is cut short or holds more than tensors.
    """
    safetensors = sorted(folder.glob("model*.safetensors"))  # others may lie beside the model
    files = safetensors or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise FileNotFoundError(f"{folder}: holds no model*.safetensors and no pytorch_model.bin")
    for file in files:
        try:
            yield from read_shard(file) if safetensors else read_bin(file)
        except (SafetensorError, UnpicklingError, EOFError, RuntimeError) as error:
            reason = str(error).split("\n")[0]
            raise ValueError(f"{file}: cut short, or not only tensors ({reason})") from None


def read_shard(file: Path) -> Iterator[tuple[str, Tensor]]:
    with safe_open(file, "pt") as shard:
        keys = list(shard.keys())
    for key in keys:
        # Opened anew for each key: an open file keeps every page it read in memory.
        with safe_open(file, "pt") as shard:
            yield key, shard.get_tensor(key)


def read_bin(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # written before PyTorch 1.6: not a zip file, cannot be mapped
        state = torch.load(file, map_location="cpu", weights_only=True)
    for key in list(state):
        yield key, state.pop(key)


def load_weights(model: nn.Module, folder: Path, rename: Callable, dtype, device) -> nn.Module:
    """Fill a model built on the meta device, tensor by tensor; returns it, frozen.

    `rename(key)` gives the model's name for a checkpoint's key, None for one it has no use for.
    Raises ValueError that lists every missing, unexpected or mis-shaped key.
    """
    state = {}
    for key, tensor in read_tensors(folder):
        if (name := rename(key)) is not None:
            state[name] = tensor.to(device, dtype, copy=True)  # a copy: it may be replaced
    fuse_weight_norm(state)
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{folder}: the weights do not fit config.json. {error}") from None
    return model.requires_grad_(False).eval()


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file beside the old one, then take its place: there is no half a file.
    Raises OSError where that cannot be done: the disk may be full."""
    unfinished = path.with_suffix(f".unfinished-{os.getpid()}")
    try:
        save_file(tensors, unfinished)
    except SafetensorError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"{path}: cannot be written ({error})") from None
    unfinished.replace(path)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a checkpoint of many GB, but for the files that are there already."""

    def copy(file: str, to: str) -> None:
        if not (os.path.exists(to) and filecmp.cmp(file, to)):
            shutil.copy2(file, to)

    shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)


def fuse_weight_norm(state: dict[str, Tensor], prefix: str = "") -> None:
    """Replace g and v of HuBERT's positional convolution by the weight w = g v / |v|.

    The norm runs over all but the kernel axis (weight_norm with dim=2). Old files call the pair
    weight_g and weight_v, newer ones parametrizations.weight.original0 and original1.
    """
    conv = f"{prefix}encoder.pos_conv_embed.conv."
    new = "parametrizations.weight.original"
    for name_g, name_v in (("weight_g", "weight_v"), (new + "0", new + "1")):
        if conv + name_g in state and conv + name_v in state:
            g, v = state.pop(conv + name_g).float(), state.pop(conv + name_v)
            weight = v.float() * (g / v.float().norm(dim=(0, 1), keepdim=True))
            state[conv + "weight"] = weight.to(v.dtype)


def open_run(run: Path, resume: bool) -> None:
    """Make a run's folder.

    Raises ValueError where an unfinished run is in the way, FileNotFoundError where there is none
    to resume.
    """
    if resume and not run.is_dir():
        raise FileNotFoundError(f"{run}: no run to resume")
    run.mkdir(parents=True, exist_ok=True)
    if not resume and (run / "checkpoints").exists() and not (run / "training.json").exists():
        raise ValueError(f"{run}: holds an unfinished run; add --resume, or remove the folder")


def clear_run(run: Path) -> None:
    """A new run begins without the checkpoints of a finished one, and what is said of it."""
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    (run / "training.json").unlink(missing_ok=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state under flat names, "0.exp_avg", as a safetensors file can hold it."""
    return {
        f"{number}.{key}": value.cpu()
        for number, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


ENDING = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


def catch_signals() -> list[int]:
    """Ctrl-C and SIGTERM end the run after the step at hand: a list that then holds the signal."""
    caught: list[int] = []

    def handle(number, _frame):
        if caught:
            raise KeyboardInterrupt  # asked twice: at once
        caught.append(number)

    for number in ENDING:
        signal.signal(number, handle)
    return caught


def release_signals() -> None:
    """Ctrl-C and SIGTERM end the process at once again."""
    for number, usual in ENDING.items():
        signal.signal(number, usual)


@contextmanager
def signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait, here and in the processes that are started meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    if multiprocessing.get_start_method() != "fork":  # Python's own helper, which lets them go
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def spare(_worker: int) -> None:
    """For a data worker: what ends the whole group, Ctrl-C or torchrun, the run itself answers.
    From its first moment on it has held these signals; now it leaves the group."""
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()
        while signal.sigpending() & ENDING.keys():  # sent to the group while the worker was in it
            signal.sigwait(ENDING)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@dataclass
class Progress:
    """Where a run is: what a checkpoint must know besides weights and optimizer."""

    step: int = 0
    cursors: list = field(default_factory=list)  # of each rank in the data: the next batch
    best_wer: float = math.inf
    stale: int = 0  # evaluations since the best
    skipped: int = 0  # steps with an infinite gradient
    bad: int = 0  # of these, in a row
    scaler: dict = field(default_factory=dict)  # fp16's scale of the loss
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0


def save_checkpoint(run: Path, model, optimizer, progress: Progress) -> None:
    """checkpoints/step-N: everything needed to go on as if nothing had happened.

    Written under another name and renamed when complete; then the one before is removed.
    """
    folder = run / "checkpoints" / f"step-{progress.step:07}"
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_trained(unfinished)
    save_tensors(optimizer_tensors(optimizer), unfinished / "optimizer.safetensors")
    (unfinished / "progress.json").write_text(json.dumps(asdict(progress)))
    for file in unfinished.rglob("*.*"):  # on the disk, before the last one goes
        with file.open("rb") as written:
            os.fsync(written.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    for other in folder.parent.glob("step-*"):
        if other != folder:
            shutil.rmtree(other)


def saved_checkpoints(run: Path) -> list[Path]:
    """The complete ones, the last one last."""
    return sorted(f for f in (run / "checkpoints").glob("step-*") if not f.suffix)


def load_checkpoint(run: Path, model, optimizer, progress: Progress) -> None:
    """Put back what `save_checkpoint` wrote, if there is any: a run may die before its first.

    Raises ValueError where it does not fit.
    """
    if not (saved := saved_checkpoints(run)):
        print(f"{run}: no checkpoint yet; from the beginning", file=sys.stderr)
        return
    last = saved[-1]
    values = json.loads((last / "progress.json").read_text())
    if values.keys() != asdict(progress).keys():
        raise ValueError(f"{last}: was written by another version; start the run anew")
    for key, value in values.items():
        setattr(progress, key, value)
    model.load_trained(last)
    restore_optimizer(optimizer, read_safetensors(last / "optimizer.safetensors"))
