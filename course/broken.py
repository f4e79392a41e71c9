"""The runs of class 5 that went wrong: trained as they are, or with one key set right.

    python -m course.broken 1 [KEY=VALUE]

The folder is runs/broken/1, or runs/broken/1-repaired where a key is given.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from course.drawing import PICTURES, picture

HERE = Path(__file__).parent
ROOT = HERE.parent
CONFIGS = {path.stem: path for path in sorted((HERE / "broken").glob("*.yaml"))}


def train(config: Path, run: Path, settings: list[str]) -> int:
    """train.py in a process of its own, from the beginning: its exit status."""
    shutil.rmtree(run, ignore_errors=True)
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(config), f"train.out={run}"]
    return subprocess.run([*command, *settings]).returncode


def draw(run: Path, path: Path) -> None:
    """What a run's metrics.jsonl and summary.json hold: losses, dev's WER, and at last test's."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    test = 100 * json.loads((run / "summary.json").read_text())["raw_wer"]

    def points(key: str, factor: float = 1) -> tuple:
        found = [(row["step"], factor * row[key]) for row in rows if key in row]
        return tuple(zip(*found, strict=True))

    with picture(path, 1, 2, size=(9, 3.6)) as (left, right):
        left.plot(*points("loss"), label="training loss")
        left.plot(*points("dev_loss"), "o-", markersize=4, label="dev loss")
        left.set(ylabel="loss per token", yscale="log", ylim=(1e-4, 5))  # one scale for all runs
        left.yaxis.set_major_formatter("{x:g}")
        right.plot(*points("dev_wer", 100), "o-", color="tab:green", label="dev, while training")
        right.axhline(test, color="tab:red", linestyle="--", label="test, the best model, once")
        right.set(ylabel="raw WER, %", ylim=(-2, 118))
        for axes in (left, right):
            axes.set(xlabel="step", xlim=(0, 1.03 * rows[-1]["step"]))
            axes.grid(alpha=0.3)
            # Above: there is no corner that one of the runs does not pass through.
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=2, frameon=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", choices=CONFIGS, help="which of course/broken/*.yaml")
    parser.add_argument("repair", nargs="?", metavar="KEY=VALUE", help="the one key to set right")
    parser.add_argument("--picture", action="store_true", help="draw into course/pictures")
    args = parser.parse_args()
    if args.repair and "=" not in args.repair:
        parser.error(f"{args.repair}: expected KEY=VALUE")
    name = f"{args.number}-repaired" if args.repair else args.number
    run = Path("runs") / "broken" / name
    settings = [args.repair] if args.repair else []
    if status := train(CONFIGS[args.number], run, settings):
        return status
    path = PICTURES / f"broken-{name}.png" if args.picture else run / "curves.png"
    draw(run, path)
    print(f"{path} drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
