"""A config trained from several seeds: its word error rate, with mean and spread.

    python benchmarks/seeds.py --config configs/an4.yaml [--seeds 5] [key.path=value ...]

Each run is scored once on the config's data.test, words as they stand: greedily, with beams, and,
with --ctc, with the encoder's letters judging the beams (ctc.py).
What is printed for one changed key against none is what that ingredient gives.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
import configs
from benchmarks.runs import run_training, word_errors
from ctc import HubertCTC, JointTinyAudio
from tinyaudio import TinyAudio
from train import Config


@configs.plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--seeds", type=configs.positive, default=5)
    parser.add_argument("--beams", type=configs.positive, default=10)
    parser.add_argument("--ctc", action="store_true", help="the encoder's letters judge the beam")
    parser.add_argument("--out", type=Path, default=Path("runs") / "seeds")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    args = parser.parse_intermixed_args()
    if args.ctc and args.beams < 2:
        parser.error(f"--ctc chooses among the beams: --beams {args.beams} is too few")
    searches = {"greedy": (1, TinyAudio), f"beam {args.beams}": (args.beams, TinyAudio)}
    if args.ctc:
        searches[f"beam {args.beams} with CTC"] = (args.beams, JointTinyAudio)
    rates: list[list[float]] = []
    cfg = configs.read_config(Config, args.config, args.overrides)
    if args.ctc:
        HubertCTC.from_pretrained(cfg.model.encoder)  # raises now, not after the first run
    print(f"| seed | {' | '.join(searches)} | minutes |")
    print("|---" * (len(searches) + 2) + "|", flush=True)
    for seed in range(args.seeds):
        run, started = args.out / str(seed), time.time()
        run_training(args.config, *args.overrides, f"train.seed={seed}", f"train.out={run}")
        minutes = (time.time() - started) / 60
        found = [word_errors(run, cfg.data.test, *search) for search in searches.values()]
        rates.append(found)
        shown = " | ".join(f"{rate:.2%}" for rate in found)
        print(f"| {seed} | {shown} | {minutes:.1f} |", flush=True)
    for name, figure in (("mean", statistics.mean), ("standard deviation", statistics.stdev)):
        if len(rates) > 1:
            shown = " | ".join(f"{figure(column):.2%}" for column in zip(*rates, strict=True))
            print(f"| {name} | {shown} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
