"""The encoder by itself: greedy CTC, no decoder, no language model. What TinyAudio starts from.

    python benchmarks/ctc.py DATA ... [--encoder models/tiny-hubert]

DATA is a JSONL manifest or espeak:SPLIT:COUNT. Words and characters are scored as they stand.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from configs import plain_errors, positive
from ctc import HubertCTC
from data import load_source, normalise_text
from eval import cer, wer


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--encoder", default="models/tiny-hubert", help="folder or Hub id")
    parser.add_argument("--limit", type=positive, help="score the first so many utterances only")
    args = parser.parse_args()
    model = HubertCTC.from_pretrained(args.encoder)
    for source in args.data:
        utterances = load_source(source)[: args.limit]
        refs = [normalise_text(u.text) for u in utterances]
        hyps = [model.transcribe(u.waveform()) for u in utterances]
        print(f"{source}: {len(refs)} utterances, "
              f"WER {wer(refs, hyps):.2%}, CER {cer(refs, hyps):.2%}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
