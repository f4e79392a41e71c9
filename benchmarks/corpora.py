"""Recordings that were downloaded become manifests, divided into train, dev and test:

`python benchmarks/corpora.py an4 ~/downloads/an4` writes data/an4/{train,dev,test}.jsonl, which
name the recordings where they lie. The download is the unpacked archive as its makers publish it:

    an4              huggingface.co/datasets/espnet/an4, an4_sphere.tar.gz
    speechocean762   openslr.org/101
    kathleen         github.com/rhasspy/dataset-voice-kathleen
    fsdd             github.com/Jakobovski/free-spoken-digit-dataset
    noise            github.com/karolpiczak/ESC-50, of it the ten classes of ESC-10

or any folder that holds manifests (*.jsonl) with the same fields. Of noise there are *-pieces.jsonl
too: what is to be silent on noise has to have heard it in every length.
"""

import argparse
import csv
import json
import os
import random
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from data import write_jsonl


def an4(folder: Path) -> Iterator[dict]:
    """Lines `<s> ENTER SIX </s> (an251-fash-b)`, in test without <s>; NIST SPHERE files."""
    for split, recordings in (("train", "an4_clstk"), ("test", "an4test_clstk")):
        for line in (folder / "etc" / f"an4_{split}.transcription").read_text().splitlines():
            words, name = re.fullmatch(r"(?:<s> )?(.*?)(?: </s>)? \((\S+)\)\s*", line).groups()
            speaker = name.split("-")[1]
            path = folder / "wav" / recordings / speaker / f"{name}.sph"
            yield {"audio": path, "text": words.lower(), "speaker": speaker, "split": split}


def speechocean762(folder: Path) -> Iterator[dict]:
    """Kaldi's tables: an id, white space, the value."""
    for split in ("train", "test"):
        tables = {
            name: dict(line.split(maxsplit=1) for line in (folder / split / name).open())
            for name in ("text", "wav.scp", "utt2spk", "spk2age")
        }
        for key, text in tables["text"].items():
            speaker = tables["utt2spk"][key].strip()
            yield {
                "audio": folder / tables["wav.scp"][key].strip(), "text": text.strip().lower(),
                "speaker": speaker, "age": int(tables["spk2age"][speaker]), "split": split,
            }  # fmt: skip


def kathleen(folder: Path) -> Iterator[dict]:
    """A text file beside each recording; the name is prompt and time: arctic_a0366_1592708614."""
    for path in sorted(folder.rglob("arctic_*.wav")):
        text = path.with_suffix(".txt").read_text().strip()
        yield {"audio": path, "text": text, "speaker": "kathleen", "prompt": path.stem[:12]}


def fsdd(folder: Path) -> Iterator[dict]:
    """The digit and the speaker are in the name: 7_jackson_32.wav."""
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for path in sorted((folder / "recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        yield {"audio": path, "text": digits[int(digit)], "speaker": speaker}


def noise(folder: Path) -> Iterator[dict]:
    for row in csv.DictReader((folder / "meta" / "esc50.csv").open()):
        if row["esc10"] == "True":
            path, fold = folder / "audio" / row["filename"], int(row["fold"])
            yield {"audio": path, "text": "", "label": row["category"], "fold": fold}


CORPORA = {reader.__name__: reader for reader in (an4, speechocean762, kathleen, fsdd, noise)}


def manifests(folder: Path) -> Iterator[dict]:
    """The rows of every manifest in a folder, but of those that `pieces` made."""
    for path in sorted(set(folder.glob("*.jsonl")) - set(folder.glob("*-pieces.jsonl"))):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            yield row | {"audio": folder / row["audio"]}


def split_of(corpus: str, row: dict) -> str:
    """train, dev or test: a corpus's own test set stays; a checksum picks dev's, unheard."""

    def one_in(parts: int, name: str) -> bool:
        return zlib.crc32(name.encode()) % parts == 0

    if corpus == "noise":  # the folds of ESC-50: what was cut from one recording is in one fold
        return {4: "dev", 5: "test"}.get(row["fold"], "train")
    if corpus == "kathleen":  # one speaker, so by prompt: no sentence is in two splits
        prompt = row["prompt"]
        return "test" if one_in(10, prompt) else "dev" if one_in(10, "dev " + prompt) else "train"
    if corpus == "fsdd":  # its licence is share-alike: not for training what we ship
        return "test"
    if corpus == "speechocean762" and row["split"] == "test":
        return "test-adults" if row["age"] >= 16 else "test-children"
    return "dev" if row["split"] == "train" and one_in(10, row["speaker"]) else row["split"]


def pieces(rows: list[dict], copies: int = 3, seconds: tuple = (0.5, 4.0)) -> list[dict]:
    """Stretches of each recording, their length and place drawn at random."""
    rng, drawn = random.Random(0), []
    for row in rows * copies:
        length = round(min(rng.uniform(*seconds), row["duration"]), 2)
        offset = round(row.get("offset", 0) + rng.uniform(0, row["duration"] - length), 2)
        drawn.append(row | {"offset": offset, "duration": length})
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", choices=CORPORA)
    parser.add_argument("download", type=Path, help="the folder of the unpacked archive")
    parser.add_argument("--out", type=Path, default=Path("data"))
    args = parser.parse_args()
    read = manifests if any(args.download.glob("*.jsonl")) else CORPORA[args.corpus]
    folder, splits = args.out / args.corpus, {}
    try:
        for row in read(args.download):
            seconds = row.get("duration") or soundfile.info(row["audio"]).duration
            audio = Path(os.path.relpath(row["audio"], folder)).as_posix()
            row |= {"audio": audio, "duration": seconds}
            splits.setdefault(split_of(args.corpus, row), []).append(row)
    except (OSError, ValueError, LookupError, TypeError, AttributeError,
            soundfile.LibsndfileError) as error:  # fmt: skip
        print(f"{args.download}: not laid out as {args.corpus} is published "
              f"({type(error).__name__}: {error})", file=sys.stderr)  # fmt: skip
        return 1
    if not splits:
        print(f"{args.download}: holds no recordings of {args.corpus}", file=sys.stderr)
        return 1
    if args.corpus == "noise":
        splits |= {f"{split}-pieces": pieces(rows) for split, rows in splits.items()}
    for split, rows in splits.items():
        path = write_jsonl(folder / f"{split}.jsonl", rows)
        hours = sum(row["duration"] for row in rows) / 3600
        print(f"{path}: {len(rows)} recordings, {hours:.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
