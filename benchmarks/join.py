"""Recordings joined: several of one voice, one after the other, as one recording.

    python benchmarks/join.py espeak:train:8000 --out data/joined/train
    python benchmarks/join.py espeak:test:300 --count 50 --size 4 8 --seconds 60

A model that has learned from one sentence at a time mixes up two that follow each other.
"""

import argparse
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from audio import SAMPLE_RATE
from configs import plain_errors, positive, seconds
from data import Utterance, load_sources, write_jsonl


def write_joined(
    utterances: list[Utterance],
    count: int,
    folder: Path,
    sizes: tuple[int, int],
    seconds: float = float("inf"),
) -> Path:
    """The manifest of `count` recordings, each of sizes[0] to sizes[1] utterances of one voice.

    The gaps are drawn; utterances beyond `seconds`, but for the first, are left off. The same
    folder's name and arguments give the same recordings. An utterance can stand in one twice.
    """
    rng, generator = random.Random(folder.name), torch.Generator().manual_seed(0)
    said_by = defaultdict(list)
    for utterance in utterances:
        said_by[utterance.speaker].append(utterance)
    voices = sorted(said_by)

    def gap(low: float, high: float) -> torch.Tensor:  # faint noise, not digital silence
        size = int(rng.uniform(low, high) * SAMPLE_RATE)
        return 1e-4 * torch.randn(size, generator=generator)

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        voice = voices[i % len(voices)]
        drawn = rng.choices(said_by[voice], k=rng.randint(*sizes))
        parts, texts = [gap(0.1, 0.5)], []
        for utterance in drawn:
            sound = [utterance.waveform(), gap(0.05, 0.4)]
            if texts and sum(map(len, parts + sound)) > seconds * SAMPLE_RATE:
                break
            parts += sound
            texts.append(utterance.text)
        waveform, name = torch.cat(parts), f"{i:04d}.flac"
        soundfile.write(folder / name, waveform.numpy(), SAMPLE_RATE)
        rows.append({
            "audio": name, "text": " ".join(texts), "speaker": voice,
            "duration": len(waveform) / SAMPLE_RATE,
        })  # fmt: skip
    return write_jsonl(folder / "manifest.jsonl", rows)


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="recordings whose speakers are named")
    parser.add_argument("--count", type=positive, default=2000, help="joined recordings")
    parser.add_argument("--size", type=int, nargs=2, default=(2, 4), help="utterances in one")
    parser.add_argument("--seconds", type=seconds, default=8.0, help="the longest recording")
    parser.add_argument("--out", type=Path, default=Path("runs") / "joined")
    args = parser.parse_args()
    if not 1 <= args.size[0] <= args.size[1]:
        parser.error(f"--size {args.size[0]} {args.size[1]}: expected the fewest, then the most")
    utterances = load_sources(tuple(args.sources))
    heard = Counter(utterance.speaker for utterance in utterances)
    utterances = [u for u in utterances if u.speaker and heard[u.speaker] > 1]
    if not utterances:
        raise ValueError("no voice that is named has said two utterances: nothing to join")
    manifest = write_joined(utterances, args.count, args.out, tuple(args.size), args.seconds)
    print(manifest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
