"""The gap between sound and text: where audio tokens lie among a decoder's embeddings.

    python -m course.gap

Measured before training and after it: the tokens' size, and their cosine with the nearest embedding
of letters or words, and with the mean of these. Shape letters: see tinyaudio.py.
"""

import argparse
import re
import sys
import textwrap
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from configs import plain_errors
from course.drawing import picture
from data import load_source, normalise_text, pad
from tinyaudio import DEFAULT_MODEL, TinyAudio

COLOURS = ("tab:gray", "tab:orange", "tab:green", "tab:blue")  # of the groups, in order


def text_embeddings(model: TinyAudio) -> dict[str, Tensor]:
    """The embeddings (D,) of letters and words; _ is a space. Bytes that no text holds were never
    trained, and are left out."""
    table = model.decoder.model["embed_tokens"].weight
    texts = {model.tokenizer.decode([i]): row for i, row in enumerate(table)}
    known = (text for text in texts if text and re.fullmatch(" ?[a-z']*", text))
    return {text.replace(" ", "_"): texts[text] for text in known}


def cosines(x: Tensor, embeddings: Tensor) -> Tensor:
    """Of each token (n, D) with each embedding (V, D): (n, V); of an embedding with itself: -1."""
    found = F.normalize(x, dim=1) @ F.normalize(embeddings, dim=1).T
    return found.masked_fill(found > 1 - 1e-5, -1)


def table(groups: dict[str, Tensor]) -> str:
    text = groups["text: letters and words"]
    lines = [f"{'':26}{'tokens':>6}{'RMS':>8}{'nearest':>9}{'mean':>8}"]
    for name, x in groups.items():
        rms, nearest = x.pow(2).mean().sqrt(), cosines(x, text).amax(1).mean()
        mean = F.cosine_similarity(x, text.mean(0), dim=-1).mean()
        lines.append(f"{name:26}{len(x):6}{rms:8.3f}{nearest:9.2f}{mean:8.2f}")
    return "\n".join(lines)


def spell(tokens: Tensor, embeddings: dict[str, Tensor]) -> str:
    """The text token whose embedding is nearest to each audio token (N, D)."""
    names = list(embeddings)
    nearest = cosines(tokens, torch.stack([*embeddings.values()])).argmax(1).tolist()
    return textwrap.fill(" ".join(names[i] for i in nearest), 100)


def draw(groups: dict[str, Tensor], letters: dict[str, Tensor], path: Path) -> None:
    """Left: how near the nearest embedding is. Right: the plane of most variance, with letters."""
    text = groups["text: letters and words"]
    everything = torch.cat([x for name, x in groups.items() if "random" not in name])
    centre = everything.mean(0)
    plane = torch.linalg.svd(everything - centre, full_matrices=False).Vh[:2].T  # (D, 2)
    bins = [i / 40 for i in range(41)]
    with picture(path, 1, 2, size=(11, 4.8)) as (left, right):
        for (name, x), colour in zip(groups.items(), COLOURS, strict=True):
            nearest, share = cosines(x, text).amax(1).tolist(), [100 / len(x)] * len(x)
            style = {"fc": colour, "ec": colour, "fill": "audio" in name, "alpha": 0.6, "lw": 1.5}
            left.hist(nearest, bins, weights=share, histtype="stepfilled", label=name, **style)
            if "random" not in name:
                places = ((x - centre) @ plane).T.tolist()
                right.scatter(*places, s=10, color=colour, alpha=0.35, linewidths=0)
        for name, row in letters.items():
            place = ((row - centre) @ plane).tolist()
            right.annotate(name, place, ha="center", va="center", fontsize=8)
        left.set(xlabel="cosine with the nearest text embedding", ylabel="tokens, %", xlim=(0, 1))
        left.legend(loc="upper right", fontsize="small")
        right.set(xlabel="first principal component", ylabel="second principal component")


@torch.no_grad()
@plain_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder or Hub id of a saved model")
    parser.add_argument("--data", default="samples/manifest.jsonl", help="recordings")
    parser.add_argument("--picture", type=Path, default=Path("runs") / "gap.png")
    args = parser.parse_args()
    utterances = load_source(args.data)
    batch = pad([u.waveform() for u in utterances], [normalise_text(u.text) for u in utterances])
    trained = TinyAudio.from_pretrained(args.model, device="cpu")
    torch.manual_seed(0)
    fresh = TinyAudio.from_config(trained.cfg).eval()
    embeddings = text_embeddings(trained)
    letters = {name: x for name, x in embeddings.items() if len(name.strip("_")) < 2}
    rms = trained.decoder.model["embed_tokens"].weight.pow(2).mean().sqrt()
    before, after = (m.encode(batch.waveforms, batch.lengths) for m in (fresh, trained))
    groups = {
        "random directions": rms * torch.randn(1000, trained.decoder.cfg.hidden_size),
        "audio before training": torch.cat(before),
        "audio after training": torch.cat(after),
        "text: letters and words": torch.stack([*embeddings.values()]),
    }
    unscaled = groups["audio before training"] / fresh.projector.norm_out.weight
    print(f"RMS of the embedding table: {rms:.3f}")
    print(f"RMS of audio before training, were it not scaled: {unscaled.pow(2).mean().sqrt():.3f}")
    print(table(groups | {"of these: single letters": torch.stack([*letters.values()])}))
    print(f"The text tokens nearest to the audio tokens of: {batch.texts[0]}")
    for name, tokens in (("before", before), ("after", after)):
        print(f"{name} training\n{spell(tokens[0], embeddings)}")
    draw(groups, letters, args.picture)


if __name__ == "__main__":
    sys.exit(main())
