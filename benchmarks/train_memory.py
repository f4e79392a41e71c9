"""The memory that --dry-run plans for a training step, against what the step then takes.

    python benchmarks/train_memory.py [--shapes small] [--batch-seconds 60] [--seconds 10]

Weights are drawn at random in published shapes; the batch is of equal utterances. The peak is of
the memory that PyTorch has allocated for tensors.
"""

import argparse
import itertools
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from benchmarks.shapes import SHAPES
from benchmarks.train_step import TOKENS_PER_SECOND, Spoken, build, draw_text
from configs import plain_errors, seconds
from data import DataConfig, pad
from devices import gradient_scaler, pick_device, set_up_layers, training_dtype
from plan import PlanConfig, memory
from train import Config, TrainConfig, make_optimizer, train_step


def peak_on_cpu(run: Callable) -> int:
    """The most bytes of tensors that `run()` had at a time, beyond those that were there before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    events = profile.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    return max(itertools.accumulate(change for _, change in sorted(changes)))


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default="small", choices=SHAPES)
    parser.add_argument("--batch-seconds", type=seconds, default=60.0)
    parser.add_argument("--seconds", type=seconds, default=10.0, help="of each utterance")
    parser.add_argument("--recompute", action="store_true", help="see train.recompute")
    parser.add_argument("--compile", action="store_true", help="see train.compile")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    dtype = training_dtype(args.precision, device)

    model = build(args.shapes, device, dtype)
    set_up_layers(model.layers, args.compile, args.recompute)
    optimizer = make_optimizer(model, TrainConfig())
    rng, rows = random.Random(0), round(args.batch_seconds / args.seconds)
    if not rows:
        parser.error(f"--batch-seconds {args.batch_seconds} holds no utterance of {args.seconds}")
    vocabulary = SHAPES[args.shapes][1]["vocab_size"]
    texts = [draw_text(args.seconds, vocabulary, rng) for _ in range(rows)]
    waveforms = [Spoken(str(i), "", "", seconds=args.seconds).waveform() for i in range(rows)]
    batch = pad(waveforms, texts).to(device)
    step = partial(train_step, model, [batch], optimizer, gradient_scaler(dtype, device), 1.0)
    step()  # the optimizer's moments are there from the second on
    if device == "cpu":
        states = [v for state in optimizer.state.values() for v in state.values()]
        there = sum(t.nbytes for t in (*model.parameters(), *states))
        measured = there + peak_on_cpu(step)
    else:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        step()
        measured = torch.cuda.max_memory_allocated()
    cfg = Config(
        data=DataConfig(batch_seconds=args.batch_seconds, min_seconds=args.seconds,
                        max_seconds=args.seconds),
        train=TrainConfig(recompute=args.recompute, precision=args.precision),
        plan=PlanConfig(device=device, utterance_seconds=args.seconds,
                        tokens_per_second=TOKENS_PER_SECOND),
    )  # fmt: skip
    parts = memory(model, cfg)
    for name, size in parts.items():
        print(f"  {name:16}{size / 1e9:9.3f} GB")
    planned = sum(parts.values())
    print(f"planned {planned / 1e9:.3f} GB, measured {measured / 1e9:.3f} GB: "
          f"{planned / measured:.2f} of it")  # fmt: skip
    if device == "cuda":  # what PyTorch has taken of the card for them, gaps included
        print(f"reserved {torch.cuda.max_memory_reserved() / 1e9:.3f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
