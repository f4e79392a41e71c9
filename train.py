"""The training loop, top to bottom: python train.py --config configs/tiny.yaml [key.path=value ...]
On several GPUs: torchrun --nproc-per-node=N train.py --config ...

Trained are the projector and LoRA; the encoder and the decoder stay as they are. A run is a folder:
the best model so far, checkpoints/ to resume from, metrics.jsonl, curve.png, training.json.
"""

import argparse
import importlib.util
import math
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tqdm import tqdm

import configs
import ranks
import report
from augment import Augment, AugmentConfig
from checkpoints import (
    Progress,
    catch_signals,
    checkpoint_folder,
    load_checkpoint,
    open_run,
    release_signals,
    save_checkpoint,
)
from data import Batches, DataConfig, held_out, load_sources, training_batches
from devices import gradient_scaler, pick_device, set_up_layers, training_dtype
from eval import evaluate, write_results
from features import cache_encoder
from plan import PlanConfig, forecast
from tinyaudio import ModelConfig, TinyAudio, saved_config


@dataclass(frozen=True)
class TrainConfig:
    """How a run trains, and how often it looks up."""

    out: str = "runs/default"
    init: str = ""  # folder or Hub id of a saved model whose projector and LoRA to go on from
    steps: int = 1000  # optimizer steps
    accumulate: int = 1  # batches in one step, on each rank
    lr_projector: float = 1e-4  # peak learning rates; 0: the projector stays as it is
    lr_lora: float = 1e-4
    lr_floor: float = 0.05  # the cosine ends at this share of the peak
    warmup: int = 100  # steps to the peak
    weight_decay: float = 0.01
    clip: float = 1.0  # of the gradient's norm; 0: none
    precision: str = "auto"  # fp32, bf16, fp16; auto: bf16 where the device is fast at it
    device: str = "auto"  # cuda, mps, cpu; auto: the fastest there is
    shard: bool = False  # split the frozen layers over the ranks instead of copying them
    encoder_cache: str = ""  # folder that keeps what an encoder without LoRA made of each recording
    compile: bool = False  # torch.compile the layers, on a GPU: minutes at the start, then faster
    recompute: bool = False  # activations are computed again instead of kept: a third more work
    seed: int = 0
    log_every: int = 10
    eval_every: int = 200  # steps; on data.dev
    save_every: int = 100
    beams: int = 1  # of the test after training; during it evaluation is greedy
    patience: int = 0  # stop after so many evaluations without a better WER; 0: never
    max_bad_steps: int = 10  # stop after so many steps in a row with an infinite gradient
    plateau: int = 0  # until about this step a loss that hardly falls is normal; curve.png shows it
    wandb: str = ""  # project at Weights & Biases that gets the metrics too (pip install wandb)

    def __post_init__(self):
        counts = "steps", "accumulate", "log_every", "eval_every", "save_every", "beams"
        configs.at_least(1, "train", self, *counts, "max_bad_steps")
        if self.wandb and importlib.util.find_spec("wandb") is None:
            raise ValueError("train.wandb needs Weights & Biases: pip install wandb")
        if self.shard and (self.encoder_cache or self.compile):
            raise ValueError("train.shard: not with train.encoder_cache, nor with train.compile")


@dataclass(frozen=True)
class Config:
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self):
        if self.train.encoder_cache and self.augment != AugmentConfig():
            raise ValueError("train.encoder_cache: with augmentation no recording is heard twice")


@configs.plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(
        description="Train a projector and LoRA between a frozen encoder and a frozen decoder.",
        epilog="keys and their defaults:\n" + configs.describe(Config()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="YAML file, see configs/")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    args = parser.parse_intermixed_args()
    cfg = configs.read_config(Config, args.config, args.overrides)
    if cfg.train.init:  # the model is as it was there, but for what this config names
        saved = Config(model=saved_config(checkpoint_folder(cfg.train.init)))
        cfg = configs.read_config(Config, args.config, args.overrides, saved)
    if args.dry_run:
        model = TinyAudio.from_config(cfg.model, weights=False)
        choose_trained(model, cfg.train)
        print(forecast(model, cfg))
        return 0
    return train(cfg, args.resume)


def train(cfg: Config, resume: bool) -> int:
    """The whole run. Returns the process's exit status."""
    run = Path(cfg.train.out)
    torch.manual_seed(cfg.train.seed)
    ranks.join(cfg.train.device)
    device = pick_device(cfg.train.device)
    dtype = training_dtype(cfg.train.precision, device)
    scaler = gradient_scaler(dtype, device)

    # Data
    with ranks.in_turn():
        open_run(run, resume)
        augment = Augment(cfg.augment, load_sources(cfg.augment.noise))
        batches = training_batches(cfg.data, cfg.train.seed, augment, ranks.RANK, ranks.RANKS)
        dev, test = (held_out(cfg.data, name) for name in ("dev", "test"))

    # Model and optimizer
    home = "cpu" if cfg.train.shard else device  # whole, it may be too large for the device
    model = TinyAudio.from_config(cfg.model, home, dtype).train()
    if cfg.train.init:
        model.load_trained(checkpoint_folder(cfg.train.init), partly=True)
    choose_trained(model, cfg.train)
    if cfg.train.encoder_cache:
        cache_encoder(model, Path(cfg.train.encoder_cache))
    set_up_layers(model.layers, cfg.train.compile, cfg.train.recompute)
    if cfg.train.shard:
        ranks.split_frozen(model)
        model.to(device)
    ranks.start_alike([p for p in model.parameters() if p.requires_grad])
    optimizer = make_optimizer(model, cfg.train)
    progress = Progress()
    if resume:
        load_checkpoint(run, model, optimizer, progress)
        if progress.scaler:  # empty where nothing was scaled: the run may have been bf16's
            scaler.load_state_dict(progress.scaler)
    print(report.parameter_table(model))
    hours = f"{batches.seconds / 3600:.1f} h of" if batches.seconds else "streamed"
    print(f"{hours} speech on {device}, frozen weights {dtype}")

    # Loop
    stop = catch_signals()
    log = report.Log(run, cfg, progress.step, silent=ranks.RANK > 0)
    cursor = batches.own_cursor(progress.cursors)
    stream = batches.stream(cursor)
    started = time.monotonic() - progress.wall_seconds
    bar = tqdm(total=cfg.train.steps, initial=progress.step, desc="train", unit="step",
               file=sys.stderr if ranks.RANK == 0 else sys.stdout)  # fmt: skip
    clock, clock_audio = time.monotonic(), progress.audio_seconds
    while progress.step < cfg.train.steps:
        group = []
        while len(group) < cfg.train.accumulate:
            cursor, batch, left_out = next(stream)
            batches.problems.update(left_out)
            if batch is not None:
                group.append(batch.to(device))
        rate = learning_rate(progress.step, cfg.train)
        for settings in optimizer.param_groups:
            settings["lr"] = settings["peak"] * rate
        loss, norm, norms = train_step(model, group, optimizer, scaler, cfg.train.clip)
        progress.step += 1
        seconds, stopped = ranks.total(sum(batch.seconds for batch in group), len(stop))
        progress.audio_seconds += seconds
        progress.wall_seconds = time.monotonic() - started
        finite = math.isfinite(norm)
        progress.skipped += not finite
        progress.bad = 0 if finite else progress.bad + 1
        bar.update()

        if progress.step % cfg.train.log_every == 0 or not finite:
            speed = (progress.audio_seconds - clock_audio) / (time.monotonic() - clock)
            log.write(
                step=progress.step, epoch=cursor["epoch"], loss=loss, grad_norm=norm, **norms,
                lr=max(settings["lr"] for settings in optimizer.param_groups),
                audio_per_second=speed, skipped=progress.skipped,
            )  # fmt: skip
            clock, clock_audio = time.monotonic(), progress.audio_seconds
        if progress.bad >= cfg.train.max_bad_steps:
            raise ValueError(
                f"{progress.bad} steps in a row had a gradient that is not finite; stopped at step "
                f"{progress.step}. Lower train.lr_projector and train.lr_lora, or set "
                "train.precision=fp32; the last checkpoint holds"
            )
        if progress.step % cfg.train.eval_every == 0 or progress.step == cfg.train.steps:
            scores = ranks.gather(evaluate_dev(model, dev, cfg.data))[0]
            log.write(step=progress.step, **scores, **report.lora_sizes(model))
            progress.stale += 1
            if scores["dev_wer"] < progress.best_wer:
                progress.best_wer, progress.stale = scores["dev_wer"], 0
                if ranks.RANK == 0:
                    model.save_pretrained(run)
            if ranks.RANK == 0:
                report.draw_curve(run, cfg.train.plateau)
            clock, clock_audio = time.monotonic(), progress.audio_seconds  # no training time
        exhausted = 0 < cfg.train.patience <= progress.stale
        if progress.step % cfg.train.save_every == 0 or stopped or exhausted:
            progress.cursors, progress.scaler = ranks.gather(cursor), scaler.state_dict()
            if ranks.RANK == 0:
                save_checkpoint(run, model, optimizer, progress)
        if stopped:
            bar.close()
            if ranks.RANK == 0:
                print(f"stopped at step {progress.step}; --resume goes on", file=sys.stderr)
            return 128 + (stop[0] if stop else signal.SIGTERM)
        if exhausted:
            tqdm.write(f"no better dev WER in {progress.stale} evaluations: stopping early")
            break
    bar.close()
    for left_out in ranks.gather(dict(batches.problems))[1:]:
        batches.problems.update(left_out)
    if ranks.RANK == 0:
        batches.problems.report("training data")
    release_signals()
    finish(run, cfg, model, progress, test)
    return 0


def train_step(model, batches, optimizer, scaler, clip: float):
    """One optimizer step over a group of batches: (loss per target token, gradient norm, the same
    for each part).

    The gradient of the loss summed over all target tokens is divided by their number in the whole
    group, on all ranks, so that two batches are exactly one of twice the size. A step whose
    gradient is not finite changes nothing.
    """
    sums = torch.zeros(2, device=next(model.parameters()).device)
    loss_sum, tokens = sums
    for batch in batches:
        torch.manual_seed(batch.seed)  # dropout: the same after a resume, and on any rank
        loss, count = model(batch)
        scaler.scale(loss).backward()
        loss_sum += loss.detach()
        tokens += count
    parameters = [p for p in model.parameters() if p.grad is not None]
    ranks.add_up([sums, *(p.grad for p in parameters)])
    scaler.unscale_(optimizer)
    for p in parameters:
        p.grad /= tokens
    norms = {f"grad_norm_{name}": gradient_norm(part) for name, part in model.named_children()}
    # Only now read numbers: till they are there, the CPU gives the GPU nothing more to do.
    loss, norms = (loss_sum / tokens).item(), {name: x.item() for name, x in norms.items()}
    norm = math.hypot(*norms.values())
    torch.nn.utils.clip_grads_with_norm_(parameters, clip or math.inf, torch.tensor(norm))
    if math.isfinite(norm):
        scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return loss, norm, norms


def gradient_norm(part: torch.nn.Module) -> torch.Tensor:
    """The norm of all gradients in a part of the model; 0 where nothing is trained."""
    return torch.nn.utils.get_total_norm([p.grad for p in part.parameters() if p.grad is not None])


def learning_rate(step: int, cfg: TrainConfig) -> float:
    """The share of the peak: a linear warm-up, then a cosine to the floor."""
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    done = (step - cfg.warmup) / max(1, cfg.steps - cfg.warmup)
    return cfg.lr_floor + (1 - cfg.lr_floor) * (1 + math.cos(math.pi * done)) / 2


def choose_trained(model: TinyAudio, cfg: TrainConfig) -> None:
    """LoRA is trained, and the projector unless its learning rate is 0. Raises ValueError."""
    model.projector.requires_grad_(cfg.lr_projector > 0)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("train.lr_projector=0 and no LoRA: nothing would be trained")


def make_optimizer(model: TinyAudio, cfg: TrainConfig) -> torch.optim.AdamW:
    """AdamW with a peak learning rate for the projector and one for LoRA; norms do not decay."""
    projector = list(model.projector.parameters())
    lora = [p for name, p in model.named_parameters() if ".lora_" in name]
    matrices, scales = [p for p in projector if p.ndim > 1], [p for p in projector if p.ndim == 1]
    groups = [
        {"params": matrices, "peak": cfg.lr_projector},
        {"params": scales, "peak": cfg.lr_projector, "weight_decay": 0.0},
        {"params": lora, "peak": cfg.lr_lora},
    ]
    fused, decay = projector[0].is_cuda, cfg.weight_decay
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=decay, fused=fused)


@torch.no_grad()
def evaluate_dev(model: TinyAudio, dev: list, cfg: DataConfig) -> dict:
    """Loss per target token and WER, words as they stand, on the dev utterances."""
    model.eval()
    total = tokens = 0.0
    for batch, _ in Batches(dev, replace(cfg, workers=0), seed=0).loader(epoch=0):
        if batch is not None:
            loss, count = model(batch.to(model.device))
            total, tokens = total + loss.item(), tokens + count.item()
    _, summary = evaluate(model, dev, normalizer="none")
    model.train()
    return {"dev_loss": total / tokens, "dev_wer": summary["raw_wer"]}


def finish(run: Path, cfg: Config, model, progress: Progress, test: list) -> None:
    """Score the best model on data.test, print five transcripts, write training.json."""
    with ranks.in_turn():  # rank 0 has written it
        model.load_trained(run)
    model.eval()
    results, summary = evaluate(model, test, beams=cfg.train.beams)
    if ranks.RANK == 0:
        write_results(run, results, summary | {"model": str(run), "data": list(cfg.data.test)})
        report.record(run, cfg, model, progress, summary)
        print(report.evaluation_report(results, summary, worst=0))
        print(report.five_transcripts(results))
        minutes, best = progress.wall_seconds / 60, progress.best_wer
        print(f"{run}: {progress.step} steps, {minutes:.1f} minutes, dev WER {best:.2%}")


if __name__ == "__main__":
    sys.exit(main())
