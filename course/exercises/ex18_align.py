"""Exercise 18: edit distance with its alignment. Class 5.

Every rate of errors rests on the fewest substitutions, deletions and insertions that turn the
reference into the hypothesis. The alignment says more than the number: which words went wrong.
"""

from collections.abc import Sequence


def align(ref_words: Sequence, hyp_words: Sequence) -> tuple[int, int, int, list[tuple]]:
    """(substitutions, deletions, insertions, pairs), as few edits as there can be.

    A pair is (reference word, hypothesis word), in the order of the words; None stands for the
    hypothesis word of a deletion and for the reference word of an insertion.

    About 26 lines. A table says, for every i and j, how many edits lead from the first i reference
    words to the first j hypothesis words; its last cell is the distance, and the way back from
    there to the first is the alignment. Each edit costs 1. Of alignments that cost the same, any.
    """
    raise NotImplementedError("Exercise 18")
