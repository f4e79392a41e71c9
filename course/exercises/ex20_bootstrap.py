"""Exercise 20: a confidence interval by the bootstrap. Class 5.

A test set is one draw of utterances among many that might have been: another would give another
WER. How far off it may be is found by drawing anew from the utterances that there are.
"""

from collections.abc import Sequence

RESAMPLES = 2000  # test sets drawn anew: at least a few hundred, for steady ends


def bootstrap(edits: Sequence[int], words: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the WER, (low, high), from each utterance's edits and reference words.

    About 8 lines, 5 with numpy. Each of RESAMPLES test sets has as many utterances as the real
    one, drawn from it with replacement: an utterance may come several times, or not at all. Its WER
    is its edits divided by its words (by 1 where it has none). Between low and high lie the middle
    95 % of these rates. `seed` tells the random numbers: the same seed, the same interval.
    """
    raise NotImplementedError("Exercise 20")
