"""Connected digits, each speaker left out in turn: WER of a model as it is, and adapted by LoRA.

    python benchmarks/digits.py [--adapt configs/digits.yaml] [--model DIR_OR_REPO]

Single digits of FSDD (`python benchmarks/corpora.py fsdd ...`) are joined into strings of one to
seven with random gaps. With --adapt the model learns, for each speaker, from the five others.
FSDD's licence is share-alike: what is adapted here is measured and not shipped.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from benchmarks.join import write_joined
from benchmarks.runs import run_training, word_errors
from configs import plain_errors, positive
from data import Utterance, load_source
from tinyaudio import DEFAULT_MODEL


def write_strings(digits: list[Utterance], count: int, folder: Path) -> Path:
    """A manifest of `count` strings of one to seven digits, each string of one speaker."""
    return write_joined(digits, count, folder, sizes=(1, 7))


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", default="data/fsdd/test.jsonl", help="manifest of one-digit")
    parser.add_argument("--model", default=str(DEFAULT_MODEL))
    parser.add_argument("--adapt", help="config of the adaptation; it starts from train.init")
    parser.add_argument("--strings", type=positive, default=100, help="test strings a speaker")
    parser.add_argument("--out", type=Path, default=Path("runs") / "digits")
    args = parser.parse_args()
    digits = load_source(args.digits)
    print("| left out | WER as it is | WER adapted | minutes |\n|---|---|---|---|")
    before, after = [], []
    for speaker in sorted({digit.speaker for digit in digits}):
        own = [digit for digit in digits if digit.speaker == speaker]
        others = [digit for digit in digits if digit.speaker != speaker]
        test = write_strings(own, args.strings, args.out / f"{speaker}-test")
        before.append(word_errors(args.model, (test,)))
        adapted, minutes = "", ""
        if args.adapt:
            # No recording is in both: every tenth is dev's.
            kept = [digit for i, digit in enumerate(others) if i % 10]
            train = write_strings(kept, 600, args.out / f"{speaker}-train")
            dev = write_strings(others[::10], 60, args.out / f"{speaker}-dev")
            run, started = args.out / f"{speaker}-adapted", time.time()
            run_training(
                args.adapt, f"data.train={train}", f"data.dev={dev}", f"data.test={test}",
                f"train.init={args.model}", f"train.out={run}",
            )  # fmt: skip
            minutes = f"{(time.time() - started) / 60:.1f}"
            after.append(word_errors(run, (test,)))
            adapted = f"{after[-1]:.2%}"
        print(f"| {speaker} | {before[-1]:.2%} | {adapted} | {minutes} |", flush=True)
    means = [f"{sum(rates) / len(rates):.2%}" if rates else "" for rates in (before, after)]
    print(f"| mean | {means[0]} | {means[1]} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
