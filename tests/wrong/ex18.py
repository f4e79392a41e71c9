"""Plausible wrong solutions of exercise 18, each with its mistake as its name."""

import difflib
from itertools import zip_longest


def table(ref, hyp, substitution=1, border=1):
    """What it costs to get from the first i words of ref to the first j of hyp."""
    cost = [[border * (i + j) for j in range(len(hyp) + 1)] for i in range(len(ref) + 1)]
    for i, r in enumerate(ref):
        for j, h in enumerate(hyp):
            either = min(cost[i][j + 1], cost[i + 1][j]) + 1
            cost[i + 1][j + 1] = min(either, cost[i][j] + substitution * (r != h))
    return cost


def path(ref, hyp, cost, substitution=1):
    i, j, pairs = len(ref), len(hyp), []
    while i or j:
        differ = substitution * bool(i and j and ref[i - 1] != hyp[j - 1])
        if i and j and cost[i][j] == cost[i - 1][j - 1] + differ:
            i, j = i - 1, j - 1
            pairs.append((ref[i], hyp[j]))
        elif i and (not j or cost[i][j] == cost[i - 1][j] + 1):
            i -= 1
            pairs.append((ref[i], None))
        else:
            j -= 1
            pairs.append((None, hyp[j]))
    return pairs[::-1]


def counted(pairs):
    substitutions = sum(None not in pair and pair[0] != pair[1] for pair in pairs)
    deletions = sum(hyp is None for _, hyp in pairs)
    return substitutions, deletions, sum(ref is None for ref, _ in pairs), pairs


def place_by_place(ref_words, hyp_words):
    return counted(list(zip_longest(ref_words, hyp_words)))


def substitution_costs_two(ref_words, hyp_words):
    return counted(path(ref_words, hyp_words, table(ref_words, hyp_words, 2), 2))


def longest_blocks_of_difflib(ref_words, hyp_words):
    pairs = []
    matcher = difflib.SequenceMatcher(None, ref_words, hyp_words, autojunk=False)
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        pairs += zip_longest(ref_words[i:i_end], hyp_words[j:j_end])
    return counted(pairs)


def border_of_zeros(ref_words, hyp_words):
    return counted(path(ref_words, hyp_words, table(ref_words, hyp_words, border=0)))


def deletions_and_insertions_swapped(ref_words, hyp_words):
    pairs = path(ref_words, hyp_words, table(ref_words, hyp_words))
    substitutions, deletions, insertions, _ = counted(pairs)
    return substitutions, insertions, deletions, pairs


def path_left_from_the_end(ref_words, hyp_words):
    pairs = path(ref_words, hyp_words, table(ref_words, hyp_words))
    return *counted(pairs)[:3], pairs[::-1]


def way_back_ends_at_the_border(ref_words, hyp_words):
    pairs = path(ref_words, hyp_words, table(ref_words, hyp_words))
    while pairs and None in pairs[0]:
        pairs = pairs[1:]
    return counted(pairs)


def pairs_as_a_tuple(ref_words, hyp_words):
    *counts, pairs = counted(path(ref_words, hyp_words, table(ref_words, hyp_words)))
    return *counts, tuple(pairs)


WRONG = [place_by_place, substitution_costs_two, longest_blocks_of_difflib, border_of_zeros,
         deletions_and_insertions_swapped, path_left_from_the_end, way_back_ends_at_the_border,
         pairs_as_a_tuple]  # fmt: skip
