"""Adaptation to one voice: WER of each speaker before and after, and of everyone else.

    python benchmarks/my_voice.py --data data/an4/dev.jsonl [--speakers 4]
    python benchmarks/my_voice.py --data data/fsdd/test.jsonl --strings 20

Of each speaker's recordings, at least two, the first 60 % are learned from, as the config says;
the rest are scored. The speakers must be strangers to the model. Single digits are joined into
strings, so many to learn from, of one half of the recordings; 50 of the other half are scored.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from benchmarks.digits import write_strings
from benchmarks.runs import run_training, word_errors
from configs import plain_errors, positive
from data import Utterance, load_source, write_jsonl
from tinyaudio import DEFAULT_MODEL

SHARE = 0.6  # of a speaker's recordings is learned from


def rows_of(utterances: list[Utterance]) -> list[dict]:
    return [asdict(u) | {"audio": str(Path(u.audio).absolute())} for u in utterances]


def manifests(
    utterances: list[Utterance], speaker: str, strings: int | None, folder: Path
) -> list[Path]:
    """What is learned from, what is scored, and what everyone else said."""
    own = [u for u in utterances if u.speaker == speaker]
    others = [u for u in utterances if u.speaker != speaker]
    if strings:
        parts = {"train": (own[::2], strings), "test": (own[1::2], 50), "others": (others, 100)}
        return [write_strings(digits, count, folder / f"{speaker}-{name}")
                for name, (digits, count) in parts.items()]  # fmt: skip
    known = round(len(own) * SHARE)
    parts = {"train": own[:known], "test": own[known:], "others": others}
    return [write_jsonl(folder / f"{speaker}-{name}.jsonl", rows_of(part))
            for name, part in parts.items()]  # fmt: skip


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="data/an4/dev.jsonl", help="JSONL manifest")
    parser.add_argument("--model", default=str(DEFAULT_MODEL))
    parser.add_argument("--adapt", default="configs/my_voice.yaml", help="config of the adaptation")
    parser.add_argument("--strings", type=positive, help="learn from so many strings of the digits")
    parser.add_argument("--speakers", type=positive, help="the first so many only")
    parser.add_argument("--out", type=Path, default=Path("runs") / "my_voice")
    args = parser.parse_args()
    utterances = load_source(args.data)
    counts = Counter(u.speaker for u in utterances)
    speakers = sorted(speaker for speaker, count in counts.items() if count > 1)
    if len(counts) < 2 or not speakers:
        raise ValueError(f"{args.data}: expected two speakers, and one of them with two recordings")
    print("| speaker | recordings | WER before | after | others before | after | minutes |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for speaker in speakers[: args.speakers]:
        train, *tests = manifests(utterances, speaker, args.strings, args.out)
        known = len(load_source(str(train)))
        run, started = args.out / speaker, time.time()
        values = {"data.train": train, "train.init": args.model, "train.out": run}
        run_training(args.adapt, *(f"{key}={value}" for key, value in values.items()))
        minutes = (time.time() - started) / 60
        rates = [word_errors(model, (test,)) for test in tests for model in (args.model, run)]
        rows.append(rates)
        shown = " | ".join(f"{rate:.2%}" for rate in rates)
        print(f"| {speaker} | {known} | {shown} | {minutes:.1f} |", flush=True)
    means = " | ".join(f"{sum(rates) / len(rates):.2%}" for rates in zip(*rows, strict=True))
    print(f"| mean | | {means} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
