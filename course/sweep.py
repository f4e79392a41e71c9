"""One key of a config, varied by short runs: what each value gives, as a table and a picture.

    python -m course.sweep train.lr_lora 2e-4 2e-3 2e-2 --config configs/tiny.yaml train.steps=150

A word with "=" is a setting that all runs share; the first of the others is the key, then come its
values. Seed and data are the same in every run. Test is not touched, dev stands in its place: what
has been chosen by a set's WER is no longer measured by it.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from matplotlib import colormaps
from matplotlib.ticker import LogLocator, NullFormatter

import configs
from benchmarks.runs import run_training
from course.drawing import picture
from train import Config


def run_value(config: str, settings: list[str], run: Path) -> tuple[str, list[dict]]:
    """Train into the folder `run`: (the figures of the table's row, what metrics.jsonl holds).

    A run that fails has no figures: the row gives the reason.
    """
    if (run / "metrics.jsonl").is_file():  # an earlier sweep's; anything else stays
        shutil.rmtree(run)
    started = time.monotonic()
    try:
        run_training(config, *settings, f"train.out={run}")
    except ValueError as error:
        return f"stopped: {str(error).rsplit(': ', 1)[-1]} | | | | ", []
    minutes = (time.monotonic() - started) / 60
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = next(row for row in reversed(rows) if "dev_wer" in row)
    trained = json.loads((run / "training.json").read_text())["parameters_trained"]
    moved = last.get("lora_decoder", 0.0)
    scores = f"{last['dev_wer']:.1%} | {last['dev_loss']:.3f} | {moved:.1%}"
    return f"{scores} | {trained:,} | {minutes:.1f}", rows


def draw(key: str, curves: dict[str, list[dict]], path: Path) -> None:
    """The training loss and dev's WER over the steps, a line for each value."""
    with picture(path, 1, 2, size=(10, 4.2)) as (left, right):
        for number, (value, rows) in enumerate(curves.items()):
            colour = colormaps["plasma"](0.85 * number / max(1, len(curves) - 1))
            losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
            rates = [(row["step"], 100 * row["dev_wer"]) for row in rows if "dev_wer" in row]
            left.plot(*zip(*losses, strict=True), color=colour)
            right.plot(*zip(*rates, strict=True), "o-", color=colour, label=value)
        left.set(xlabel="step", ylabel="training loss per token", xlim=(0, None), yscale="log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter("{x:g}")
        left.yaxis.set_minor_formatter(NullFormatter())
        right.set(xlabel="step", ylabel="dev WER, %", xlim=(0, None), ylim=(0, None))
        right.figure.legend(title=key, loc="outside right center")


@configs.plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs") / "sweep")
    parser.add_argument("--picture", type=Path, help="default: curves.png in the folder --out")
    parser.add_argument("words", nargs="+", metavar="key value ... [key.path=value ...]")
    args = parser.parse_intermixed_args()
    shared = [word for word in args.words if "=" in word]
    varied = [word for word in args.words if "=" not in word]
    if len(varied) < 2:
        parser.error("expected a key and its values, such as train.lr_lora 2e-4 2e-3")
    key, *values = varied
    curves = {}
    # A value that is wrong is told before the first run, not after it.
    cfgs = [configs.read_config(Config, args.config, [*shared, f"{key}={v}"]) for v in values]
    shared += [f"data.test={json.dumps(cfgs[0].data.dev)}", "train.beams=1"]
    print(f"| {key} | dev WER | dev loss | decoder moved | trained | minutes |")
    print("|---|---|---|---|---|---|", flush=True)
    for number, value in enumerate(values):
        settings = [*shared, f"{key}={value}"]
        figures, rows = run_value(args.config, settings, args.out / str(number))
        print(f"| {value} | {figures} |", flush=True)
        curves |= {value: rows} if rows else {}
    if curves:
        draw(key, curves, args.picture or args.out / "curves.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
