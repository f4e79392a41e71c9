"""Beam search over several recordings, one after the other and all at once.

    python benchmarks/beam.py --shapes qwen3-0.6b

A decoder of a published shape with random weights; it writes nonsense, to the limit.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from beam import beam_search
from benchmarks.shapes import SHAPES
from checkpoints import Qwen3Config
from configs import plain_errors, positive
from devices import inference_dtype, pick_device
from tinyaudio import Qwen3


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", choices=SHAPES, default="small")
    parser.add_argument("--prompts", type=positive, default=8)
    parser.add_argument("--beams", type=positive, default=4)
    parser.add_argument("--positions", type=positive, default=60, help="of each prompt")
    parser.add_argument("--tokens", type=positive, default=20, help="written for each")
    parser.add_argument("--turns", type=positive, default=2)
    parser.add_argument("--device", default="auto", help="cuda, mps or cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    device = pick_device(args.device)
    torch.set_default_dtype(inference_dtype(device))
    with torch.device(device), torch.inference_mode():
        decoder = Qwen3(Qwen3Config.from_dict(SHAPES[args.shapes][1])).eval()
        weights = decoder.model["embed_tokens"].weight.normal_(std=0.02)
        embeds = 0.02 * torch.randn(args.prompts, args.positions, weights.shape[1])
        mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
    limits = [args.tokens] * args.prompts

    def search(some: slice) -> list[list[int]]:
        return beam_search(decoder, embeds[some], mask[some], args.beams, limits[some], ())

    best, texts = {}, []
    for size in (1, args.prompts) * args.turns:
        started = time.perf_counter()
        starts = range(0, args.prompts, size)
        texts.append([ids for start in starts for ids in search(slice(start, start + size))])
        best[size] = min(time.perf_counter() - started, best.get(size, math.inf))
    same = sum(one == other for one, other in zip(*texts[:2], strict=True))
    print(f"{args.prompts} prompts, {args.beams} beams, {args.tokens} tokens each, on {device}")
    print(f"  one by one {best[1]:8.2f} s")
    print(f"  together   {best[args.prompts]:8.2f} s, {same} texts the same")
    print(f"  ratio      {best[1] / best[args.prompts]:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
