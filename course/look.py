"""Looks at what an encoder makes of sound: what each frame sees, and which frames are alike.

    python -m course.look [AUDIO]

The sounds are the letters that the encoder's own CTC head finds. Shape letters: see tinyaudio.py.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from audio import SAMPLE_RATE, load_audio
from configs import plain_errors
from course.drawing import draw_spectrogram, frame_edges, picture
from course.letters import BLANK, draw_letters, draw_similarity, first_frames, separation
from ctc import HubertCTC
from data import load_source
from pretrain import ALPHABET, MODELS
from tinyaudio import Hubert, normalise

WINDOWS_FROM = 0.54  # seconds: in samples/1.wav, where the vowel of "bus" becomes its s
COMPONENTS = 16  # principal components of the frames that are drawn


@torch.no_grad()
def hear(model: HubertCTC, waveform: Tensor) -> tuple[list[Tensor], Tensor]:
    """A waveform (T,) -> its frames, [(F, D), ...], out of the stem and out of each layer; and the
    letter at each frame, (F,), a number of pretrain.ALPHABET."""
    lengths, stages = torch.tensor([len(waveform)]), []
    hooks = [part.register_forward_hook(lambda part, given, result: stages.append(result))
             for part in model.encoder.layers]  # fmt: skip
    stem, frames = model.feature_extractor(normalise(waveform[None], lengths), lengths)
    last = model.encoder(model.feature_projection(stem), frames)
    for hook in hooks:
        hook.remove()
    letters = model.lm_head(last)[0].argmax(-1)
    return [stage[0] for stage in (stem, *stages[:-1], last)], letters  # last: after the last norm


def draw_windows(path: Path, waveform: Tensor, hubert: Hubert, start: float) -> None:
    """A tenth of a second of a waveform, and which part of it each of four frames sees."""
    hop, milliseconds = SAMPLE_RATE // 50, 1000 / SAMPLE_RATE
    first = int(start * SAMPLE_RATE) // hop
    shown = waveform[first * hop : (first + 3) * hop + hubert.min_samples]
    with picture(path, 2, size=(8, 4), sharex=True, height_ratios=(3, 1)) as (top, below):
        top.plot(torch.arange(len(shown)) * milliseconds, shown, linewidth=0.8, color="0.2")
        top.set(ylabel="amplitude", xlim=(0, len(shown) * milliseconds))
        for i in range(4):
            sees = {"left": i * hop * milliseconds, "width": hubert.min_samples * milliseconds}
            below.barh(i, **sees, height=0.7, color=f"C{i}")
        below.set(xlabel=f"time after {first / 50:.2f} s, ms")
        below.set_yticks(range(4), [f"frame {first + i}" for i in range(4)])
        below.invert_yaxis()


def draw_frames(
    path: Path, waveform: Tensor, hubert: Hubert, stages: list[Tensor], letters: Tensor
) -> None:
    """A recording's waveform, spectrogram and frames over one time axis, and the letters found."""
    seconds = torch.arange(len(waveform)) / SAMPLE_RATE
    start, end = frame_edges(hubert, len(letters))
    with picture(path, 4, size=(8, 7), sharex=True, height_ratios=(2, 3, 3, 3)) as (top, *rows):
        top.plot(seconds, waveform, linewidth=0.4, color="0.2")
        top.set(ylabel="amplitude", xlim=(0, seconds[-1]))
        for i in first_frames(letters, but=(BLANK,)):
            place = start + (i + 0.5) * (end - start) / len(letters)
            top.text(place, 1.03, ALPHABET[letters[i]], transform=top.get_xaxis_transform(),
                     ha="center", fontsize=8)  # fmt: skip
        draw_spectrogram(rows[0], waveform)
        for axes, x, name in zip(
            rows[1:], (stages[0], stages[-1]), ("stem", "last layer"), strict=True
        ):
            x = x - x.mean(0)
            x = x @ torch.linalg.svd(x, full_matrices=False).Vh[:COMPONENTS].T
            axes.imshow(x.T, aspect="auto", extent=(start, end, COMPONENTS + 0.5, 0.5),
                        vmin=-2 * x.std(), vmax=2 * x.std(), cmap="RdBu_r",
                        interpolation="nearest")  # fmt: skip
            axes.set(ylabel=f"component,\n{name}")
        rows[-1].set(xlabel="time, s")


@plain_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", nargs="?", default="samples/1.wav")
    parser.add_argument("--encoder", type=Path, default=MODELS / "tiny-hubert")
    parser.add_argument("--data", default="espeak:dev:60", help="utterances for letters.png")
    parser.add_argument("--out", type=Path, default=Path("runs/look"), help="the pictures' folder")
    args = parser.parse_args()
    model = HubertCTC.from_pretrained(args.encoder)
    waveform = load_audio(args.audio)
    stages, letters = hear(model, waveform)
    draw_windows(args.out / "windows.png", waveform, model, WINDOWS_FROM)
    draw_frames(args.out / "frames.png", waveform, model, stages, letters)
    draw_similarity(args.out / "similarity.png", stages, letters)
    heard = [hear(model, utterance.waveform()) for utterance in load_source(args.data)]
    numbers = torch.cat([torch.full((len(k),), i) for i, (_, k) in enumerate(heard)])
    letters = torch.cat([k for _, k in heard])
    stages = [torch.cat(frames) for frames in zip(*(s for s, _ in heard), strict=True)]
    draw_letters(args.out / "letters.png", stages, letters)
    print("frames whose letter has the nearest mean:")
    for i, frames in enumerate(stages):
        name = f"layer {i}" if i else "stem"
        print(f"  {name:8}{separation(frames, letters, numbers):6.0%}")


if __name__ == "__main__":
    sys.exit(main())
