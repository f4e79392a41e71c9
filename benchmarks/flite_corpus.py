"""The test sentences in the voices of another synthesiser: python benchmarks/flite_corpus.py OUT

Flite (Black & Lenzo 2001) joins units cut from recordings of people, where espeak-ng computes
formants: a model trained on one has never heard anything like the other. Needs the program `flite`
(Debian: apt-get install flite). Then: python eval.py --data OUT/manifest.jsonl
"""

import argparse
import random
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from configs import plain_errors, positive
from data import write_jsonl
from synthesis import sentences

VOICES = ("awb", "kal16", "rms", "slt")


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=positive, default=200)
    args = parser.parse_args()
    if not shutil.which("flite"):
        raise ValueError("the program `flite` is missing (Debian: apt-get install flite)")
    args.out.mkdir(parents=True, exist_ok=True)
    texts, rows = sentences("test", random.Random("flite")), []
    for i in range(args.count):
        voice, text, path = VOICES[i % len(VOICES)], next(texts), args.out / f"{i:04d}.wav"
        command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not path.is_file():
            raise ValueError(f"{path}: flite, voice {voice}, failed: {done.stderr.strip()}")
        rows.append({"audio": path.name, "text": text, "speaker": f"flite-{voice}",
                     "duration": soundfile.info(path).duration})  # fmt: skip
    print(write_jsonl(args.out / "manifest.jsonl", rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
