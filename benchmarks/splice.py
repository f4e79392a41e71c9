"""Recordings with words exchanged: the same voices say what they never said.

    python benchmarks/splice.py data/an4/train.jsonl     # data/an4/train-spliced/manifest.jsonl

In each copy about half of the letters and of the digits give way to others that the same speaker
said in other recordings (aligned data augmentation: Lam et al. 2021). A letter then stands between
neighbours that it never had, and neither encoder nor decoder can learn a spelled name by heart.
Where words end is what the encoder's CTC layer says: an encoder that knows the recordings well.
"""

import argparse
import itertools
import math
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository is not installed
from audio import SAMPLE_RATE
from configs import plain_errors, positive
from ctc import HubertCTC
from data import Problems, load_source, normalise_text, write_jsonl
from pretrain import HUBERT, MODELS

HOP = math.prod(HUBERT.conv_stride)  # samples from one frame of the encoder to the next
FADE = 80  # samples in which one piece gives way to the next: 5 ms
DIGITS = {"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}


@dataclass(frozen=True)
class Word:
    text: str
    sound: Tensor  # (T,)

    @property
    def kind(self) -> str:
        """Letters stand for letters and digits for digits; "" is what nothing may stand for."""
        return "letter" if len(self.text) == 1 else "digit" if self.text in DIGITS else ""


@torch.inference_mode()
def cut_words(model: HubertCTC, waveform: Tensor, text: str) -> list[Word]:
    """The words of a recording (T,); their sounds one after the other are the recording.

    Raises ValueError where its text cannot be aligned.
    """
    from torchaudio.functional import forced_align

    words = text.split()
    if not words or not all(len(model.encode(word)) for word in words):
        raise ValueError("no words, or one without a letter")
    targets, log_probs = model.encode(text), model.log_probs(waveform)
    # CTC needs a frame for each letter, and one more between two that are the same.
    if len(log_probs) < len(targets) + (targets[1:] == targets[:-1]).sum():
        raise ValueError("too short for its text")
    path, _ = forced_align(log_probs[None], targets[None])  # (1, F): a letter, or the blank
    path = path[0].tolist()
    runs = [(k, list(run)) for k, run in itertools.groupby(range(len(path)), path.__getitem__) if k]
    cuts = [0]
    for (_, before), (letter, between), (_, after) in zip(runs, runs[1:], runs[2:], strict=False):
        if model.letters[letter] == "|":  # near it, and between the letters on both sides
            start = max(between[0] - 2, before[-1] + 1)
            end = min(between[-1] + 3, after[0])
            cuts.append(quietest(waveform, start * HOP, end * HOP))
    spans = itertools.pairwise([*cuts, len(waveform)])
    return [Word(word, waveform[a:b]) for word, (a, b) in zip(words, spans, strict=True)]


def quietest(waveform: Tensor, start: int, end: int) -> int:
    """The middle, in samples, of the 20 ms with the least energy from start to end."""
    step = HOP // 8
    energy = waveform[start : end + HOP].square().unfold(0, HOP, step).sum(1)
    return start + int(energy.argmin()) * step + HOP // 2


def join(sounds: list[Tensor]) -> Tensor:
    """One sound after the other, each fading into the next."""
    rising = torch.linspace(0, 1, FADE)
    whole = sounds[0]
    for sound in sounds[1:]:
        fading = whole[-FADE:] * (1 - rising) + sound[:FADE] * rising
        whole = torch.cat((whole[:-FADE], fading, sound[FADE:]))
    return whole


def cut_all(model: HubertCTC, manifest: Path) -> list[tuple[str, list[Word]]]:
    """The speaker and the words of each recording; what cannot be cut is left out, and said.

    Raises ValueError where nothing is left, or a row names no speaker.
    """
    recordings, problems = [], Problems()
    for utterance in load_source(str(manifest)):
        if not utterance.speaker:
            raise ValueError(f"{manifest}: words are exchanged within one voice, and a row names "
                             "no speaker")  # fmt: skip
        try:
            waveform = utterance.waveform()
        except (OSError, ValueError):
            problems["the audio file is missing or cannot be read"] += 1
            continue
        text = normalise_text(utterance.text)
        try:
            recordings.append((utterance.speaker, cut_words(model, waveform, text)))
        except ValueError as error:
            problems[str(error)] += 1
    problems.report(str(manifest))
    if not recordings:
        raise ValueError(f"{manifest}: no recording whose words can be exchanged")
    return recordings


def spliced(
    recordings: list[tuple[str, list[Word]]], rng: random.Random
) -> Iterator[tuple[str, list[Word]]]:
    """Speaker and words of each recording, about half of the letters and digits drawn anew from
    what the speaker said."""
    said = defaultdict(list)
    for speaker, words in recordings:
        for word in words:
            said[speaker, word.kind].append(word)
    for speaker, words in recordings:
        exchanged = [
            rng.choice(said[speaker, word.kind]) if word.kind and rng.random() < 0.5 else word
            for word in words
        ]
        yield speaker, exchanged


@plain_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="recordings whose speakers are named")
    parser.add_argument("--copies", type=positive, default=20, help="of each recording")
    parser.add_argument("--encoder", type=Path, default=MODELS / "tiny-hubert")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = args.manifest.with_name(f"{args.manifest.stem}-spliced")
    rng, rows = random.Random(args.seed), []
    recordings = cut_all(HubertCTC.from_pretrained(args.encoder), args.manifest)
    folder.mkdir(exist_ok=True)
    for speaker, words in spliced(recordings * args.copies, rng):
        sound, name = join([word.sound for word in words]), f"{len(rows)}.flac"
        soundfile.write(folder / name, sound.numpy(), SAMPLE_RATE)
        rows.append({
            "audio": name, "text": " ".join(word.text for word in words),
            "duration": len(sound) / SAMPLE_RATE, "speaker": speaker,
        })  # fmt: skip
    manifest = write_jsonl(folder / "manifest.jsonl", rows)
    hours = sum(row["duration"] for row in rows) / 3600
    print(f"{manifest}: {len(rows)} recordings, {hours:.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
