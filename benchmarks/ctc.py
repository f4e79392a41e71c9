"""The encoder by itself: greedy CTC, no decoder, no language model. What TinyAudio starts from.

    python benchmarks/ctc.py DATA ... [--encoder models/tiny-hubert]

DATA is a JSONL manifest or espeak:SPLIT:COUNT. Words and characters are scored as they stand.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from data import load_source
from eval import cer, wer
from pretrain import MODELS, hubert_ctc, transcribe_ctc


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--encoder", type=Path, default=MODELS / "tiny-hubert")
    parser.add_argument("--limit", type=int, help="score the first so many utterances only")
    args = parser.parse_args()
    try:
        try:
            model = hubert_ctc(args.encoder).eval()
        except RuntimeError as error:  # of load_state_dict
            raise ValueError(f"{args.encoder}: not of pretrain.py's size. {error}") from None
        for source in args.data:
            utterances = load_source(source)[: args.limit]
            refs, hyps = [u.text for u in utterances], transcribe_ctc(model, utterances)
            print(f"{source}: {len(refs)} utterances, "
                  f"WER {wer(refs, hyps):.2%}, CER {cer(refs, hyps):.2%}")  # fmt: skip
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
