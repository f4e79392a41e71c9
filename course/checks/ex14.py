"""Exercise 14: the learning-rate schedule of train.py."""

import torch

import train
from audio import load_audio
from course.checking import equal, generator
from data import Batch
from devices import gradient_scaler
from tinyaudio import DEFAULT_MODEL, TinyAudio

NAME = "learning_rate"
reference = train.learning_rate


def check(solution) -> None:
    g = generator()
    warmup, quarter = torch.randint(5, 20, (2,), generator=g).tolist()
    floor = 0.02 + 0.2 * torch.rand(1, generator=g).item()
    cfg = train.TrainConfig(steps=warmup + 4 * quarter, warmup=warmup, lr_floor=floor)

    def compare(step: int, cfg: train.TrainConfig, case: str, hint: str) -> None:
        where = f"step {step}, {case} (steps={cfg.steps}, warmup={cfg.warmup}, "
        where += f"lr_floor={cfg.lr_floor:.3f})"
        equal(solution(step, cfg), reference(step, cfg), where, hint)

    hint = f"the first of {warmup} steps of the warm-up makes one of {warmup} equal gains"
    compare(0, cfg, "the first", hint)
    hint = "after so many steps of the warm-up, this one counted"
    compare(warmup // 2, cfg, "within the warm-up", hint)
    compare(warmup - 1, cfg, "the last of the warm-up", "the warm-up ends at the peak, which is 1")
    hint = "the cosine starts where the warm-up ends, at an angle of 0, and its value there is 1"
    compare(warmup, cfg, "the first of the cosine", hint)
    hint = "half-way down the share is the mean of 1 and the floor"
    compare(warmup + 2 * quarter, cfg, "in the middle of the cosine", hint)
    hint = "the share falls as the cosine does from 0 to pi, slowly at first: no straight line"
    compare(warmup + quarter, cfg, "after a quarter of the cosine", hint)
    hint = "at the end the angle is pi and the share is the floor"
    compare(cfg.steps, cfg, "the end", hint)
    hint = "how much of the way from the warm-up's end to the last step is done?"
    yours = torch.tensor([solution(step, cfg) for step in range(cfg.steps)])
    expected = torch.tensor([reference(step, cfg) for step in range(cfg.steps)])
    equal(yours, expected, "every step of the run", hint)
    cfg = train.TrainConfig(steps=40, warmup=0, lr_floor=floor)
    compare(0, cfg, "no warm-up", "without a warm-up the first step is already the cosine's")
    cfg = train.TrainConfig(steps=40, warmup=10, lr_floor=0.0)
    compare(33, cfg, "a floor of 0", "the floor may be 0")


def untrained(audio) -> tuple[TinyAudio, Batch]:
    """The tiny model with a new projector and new LoRA, and a recording to teach it with the
    trained model's transcript."""
    trained = TinyAudio.from_pretrained(DEFAULT_MODEL, device="cpu")
    waveform, text = load_audio(audio), trained.transcribe(audio)
    torch.manual_seed(0)
    model = TinyAudio.from_config(trained.cfg).eval()  # no dropout: the same numbers every time
    return model, Batch(waveform[None], torch.tensor([len(waveform)]), [text])


def run(solution, audio) -> str:
    """Eight steps of training on the recording alone."""
    model, batch = untrained(audio)
    cfg = train.TrainConfig(steps=8, warmup=3, lr_projector=2e-3, lr_lora=2e-3)
    optimizer, shown = train.make_optimizer(model, cfg), []
    scaler = gradient_scaler(torch.float32, "cpu")
    for step in range(cfg.steps):
        rate = solution(step, cfg)
        for settings in optimizer.param_groups:
            settings["lr"] = settings["peak"] * rate
        loss, *_ = train.train_step(model, [batch], optimizer, scaler, cfg.clip)
        shown.append(f"{rate:.0%} -> {loss:.2f}")
    return f"{batch.texts[0]} (share of the peak -> loss per token: {', '.join(shown)})"
