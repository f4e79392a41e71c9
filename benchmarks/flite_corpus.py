"""The test sentences in the voices of another synthesiser: python benchmarks/flite_corpus.py OUT

Flite (Black & Lenzo 2001) joins units cut from recordings of people, where espeak-ng computes
formants: a model trained on one has never heard anything like the other. Needs the program `flite`
(Debian: apt-get install flite). Then: python eval.py --data OUT/manifest.jsonl
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from synthesis import sentences

VOICES = ("awb", "kal16", "rms", "slt")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    args = parser.parse_args()
    if not shutil.which("flite"):
        print("the program `flite` is missing (Debian: apt-get install flite)", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    texts = sentences("test", random.Random("flite"))
    with (args.out / "manifest.jsonl").open("w") as manifest:
        for i in range(args.count):
            voice, text, path = VOICES[i % len(VOICES)], next(texts), args.out / f"{i:04d}.wav"
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
            row = {"audio": path.name, "text": text, "speaker": f"flite-{voice}",
                   "duration": soundfile.info(path).duration}  # fmt: skip
            manifest.write(json.dumps(row) + "\n")
    print(args.out / "manifest.jsonl")
    return 0


if __name__ == "__main__":
    sys.exit(main())
