"""Which frames of an encoder are alike, by the letters that its CTC head finds at them.

Frames are (F, D) or, of many utterances, (n, D); letters are numbers of pretrain.ALPHABET.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib import colormaps
from torch import Tensor

from course.drawing import picture
from pretrain import ALPHABET

BLANK, SPACE = ALPHABET.index("<pad>"), ALPHABET.index("|")  # letters come after the space
FREQUENT = 12  # letters in letters.png
TITLES = ("out of the stem", "out of the last layer")


def first_frames(letters: Tensor, but: Sequence[int]) -> list[int]:
    """The frames at which a letter begins, other than those in `but`."""
    found = letters.tolist()
    return [i for i, k in enumerate(found) if k not in but and (i == 0 or k != found[i - 1])]


def draw_similarity(path: Path, stages: list[Tensor], letters: Tensor) -> None:
    """The cosine similarity of each frame of an utterance with each other, their mean removed."""
    places = first_frames(letters, but=(BLANK, SPACE))
    # Letters can be one frame apart: by turns they stand a little further out.
    names = [(ALPHABET[letters[i]], turn % 3) for turn, i in enumerate(places)]
    with picture(path, 1, 2, size=(10, 5.4), sharey=True) as both:
        for axes, x, title in zip(both, (stages[0], stages[-1]), TITLES, strict=True):
            x = F.normalize(x - x.mean(0))
            shown = axes.imshow(x @ x.T, vmin=-0.6, vmax=0.6, cmap="RdBu_r")
            axes.set_xticks(places, ["\n" * turn + name for name, turn in names], fontsize=7)
            axes.set_yticks(places, [name + "   " * turn for name, turn in names], fontsize=7)
            axes.set(title=title, xlabel="frame, by the letter that begins there")
        axes.figure.colorbar(shown, ax=both, label="cosine similarity", extend="both")


def draw_letters(path: Path, stages: list[Tensor], letters: Tensor) -> None:
    """The first two principal components of frames, drawn as the letters found at them."""
    spoken = letters > SPACE
    frequent = torch.bincount(letters[spoken]).argsort(descending=True)[:FREQUENT].tolist()
    vowels = [k for k in frequent if ALPHABET[k] in "AEIOU"]
    consonants = [k for k in frequent if k not in vowels]
    with picture(path, 1, 2, size=(10, 5)) as both:
        for axes, x, title in zip(both, (stages[0], stages[-1]), TITLES, strict=True):
            x = x - x[spoken].mean(0)
            _, deviations, directions = torch.linalg.svd(x[spoken], full_matrices=False)
            share = deviations.pow(2) / deviations.pow(2).sum()
            for group, colours in ((vowels, "autumn"), (consonants, "winter")):
                for i, k in enumerate(group):
                    points = x[letters == k] @ directions[:2].T
                    axes.scatter(*points.T, marker=f"${ALPHABET[k]}$", s=26, linewidths=0.3,
                                 color=colormaps[colours](i / len(group)))  # fmt: skip
            axes.set(title=title, xticks=[], yticks=[],
                     xlabel=f"component 1, {share[0]:.0%} of the variance",
                     ylabel=f"component 2, {share[1]:.0%}")  # fmt: skip


def separation(frames: Tensor, letters: Tensor, utterances: Tensor) -> float:
    """The share of frames that lie nearest to the mean of their own letter: the means are those of
    every second utterance, the frames those of the others; utterances (n,) numbers them."""
    even = utterances % 2 == 0
    known = [k for k in range(SPACE + 1, len(ALPHABET)) if (even & (letters == k)).any()]
    means = torch.stack([frames[even & (letters == k)].mean(0) for k in known])
    known = torch.tensor(known)
    test = ~even & torch.isin(letters, known)
    nearest = known[torch.cdist(frames[test], means).argmin(-1)]
    return (nearest == letters[test]).float().mean().item()
