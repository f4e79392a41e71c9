"""WER against the level of the noise, for one model or several: a table, and a picture of it.

    python benchmarks/noise.py --noise NOISE.jsonl [--data MANIFEST] [--model DIR_OR_REPO ...]

Every recording is mixed with one of the noises, the same from the same place on for every level and
every model. Clean means as recorded.
"""

import argparse
import os
import random
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from augment import Augment, AugmentConfig
from configs import plain_errors, positive
from data import Utterance, load_source
from eval import TEST_SET, evaluate
from tinyaudio import DEFAULT_MODEL, TinyAudio

CLEAN = float("inf")


@dataclass(frozen=True)
class NoisyUtterance(Utterance):
    """An utterance whose recording is mixed with noise as it is read."""

    noises: tuple[Utterance, ...] = ()
    snr: float = CLEAN  # dB

    def waveform(self) -> Tensor:
        if self.snr == CLEAN:
            return super().waveform()
        cfg = AugmentConfig(noise=("noise",), noise_share=1.0, snr=(self.snr, self.snr))
        return Augment(cfg, self.noises)(super().waveform(), random.Random(self.id))


def with_noise(utterance: Utterance, noises: list[Utterance], snr: float) -> NoisyUtterance:
    values = {field.name: getattr(utterance, field.name) for field in fields(Utterance)}
    return NoisyUtterance(**values, noises=tuple(noises), snr=snr)


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", required=True, help="JSONL manifest of recordings of noise")
    parser.add_argument("--data", default=TEST_SET, help="JSONL manifest or espeak:SPLIT:COUNT")
    parser.add_argument("--model", nargs="+", default=[os.path.relpath(DEFAULT_MODEL)])
    parser.add_argument("--snr", nargs="+", type=float, default=[20, 10, 5, 0], help="dB")
    parser.add_argument("--limit", type=positive, help="score the first so many utterances only")
    parser.add_argument("--beams", type=positive, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs") / "noise")
    args = parser.parse_args()
    levels = [CLEAN, *sorted(args.snr, reverse=True)]
    names = ["clean" if snr == CLEAN else f"{snr:g} dB" for snr in levels]
    utterances, noises = load_source(args.data)[: args.limit], load_source(args.noise)
    rates: dict[str, list[float]] = {}
    for name in args.model:
        model, rates[name] = TinyAudio.from_pretrained(name), []
        for snr in levels:
            noisy = [with_noise(utterance, noises, snr) for utterance in utterances]
            rates[name].append(evaluate(model, noisy, "none", args.beams)[1]["raw_wer"])
    data = f"the first {args.limit} of {args.data}" if args.limit else args.data
    table = [f"| raw WER on {data} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    table += [f"| {m} | {' | '.join(f'{r:.1%}' for r in row)} |" for m, row in rates.items()]
    print("\n".join(table))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "noise.md").write_text("\n".join(table) + "\n")
    draw(args.out / "noise.png", names, rates)
    print(f"{args.out / 'noise.png'} and noise.md written")
    return 0


def draw(path: Path, names: list[str], rates: dict[str, list[float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for model, row in rates.items():
        axes.plot(names, [100 * rate for rate in row], "o-", label=model)
    axes.set(xlabel="speech over noise", ylabel="raw WER, %", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
