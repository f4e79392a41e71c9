"""Exercise 19: word error rate over a test set. Class 5.

One number stands for a recogniser in every paper. It is the rate of a whole test set, in which each
word weighs the same; a mean over utterances would let one short one count as much as a long one.
"""

from collections.abc import Sequence


def wer(refs: Sequence[str], hyps: Sequence[str]) -> float:
    """Word error rate of utterances, words as they stand: 0.05 is 5 %.

    About 5 lines. It is the edits of all utterances divided by the reference words of all; align
    (`from eval import align`) finds the edits of one. Words are parted by any number of spaces. An
    empty reference has no words, yet what was written for it are insertions. NaN where there is no
    reference word at all; as many hypotheses as references, or a ValueError (zip's strict=True
    raises it).
    """
    raise NotImplementedError("Exercise 19")
