"""Plausible wrong solutions of exercise 20, each with its mistake as its name."""

import numpy as np

RESAMPLES = 2000


def rates(edits, words, draws):
    edits, words = np.asarray(edits), np.asarray(words)
    return edits[draws].sum(1) / np.maximum(words[draws].sum(1), 1)


def drawn(edits, seed, count=None):
    return np.random.default_rng(seed).integers(len(edits), size=(RESAMPLES, count or len(edits)))


def ends(values, share=0.025):
    return tuple(np.quantile(values, (share, 1 - share)).tolist())


def mean_of_utterance_rates(edits, words, seed=0):
    each = np.asarray(edits) / np.maximum(words, 1)
    return ends(each[drawn(edits, seed)].mean(1))


def words_drawn_instead_of_utterances(edits, words, seed=0):
    total, wrong = max(1, sum(words)), sum(edits)
    return ends(np.random.default_rng(seed).binomial(total, wrong / total, RESAMPLES) / total)


def interval_of_90_percent(edits, words, seed=0):
    return ends(rates(edits, words, drawn(edits, seed)), 0.05)


def without_replacement(edits, words, seed=0):
    rng = np.random.default_rng(seed)
    draws = np.stack([rng.permutation(len(edits)) for _ in range(RESAMPLES)])
    return ends(rates(edits, words, draws))


def half_of_the_utterances(edits, words, seed=0):
    draws = drawn(edits, seed, max(1, len(edits) // 2))
    return ends(rates(edits, words, draws))


def edits_and_words_drawn_apart(edits, words, seed=0):
    edits, words = np.asarray(edits), np.asarray(words)
    totals = np.maximum(words[drawn(words, seed + 1000)].sum(1), 1)
    return ends(edits[drawn(edits, seed)].sum(1) / totals)


def lowest_and_highest(edits, words, seed=0):
    return ends(rates(edits, words, drawn(edits, seed)), 0.0)


def seed_forgotten(edits, words, seed=0):
    return ends(rates(edits, words, drawn(edits, None)))


def always_the_same_seed(edits, words, seed=0):
    return ends(rates(edits, words, drawn(edits, 0)))


def standard_error_of_the_mean(edits, words, seed=0):
    values = rates(edits, words, drawn(edits, seed))
    half = 1.96 * values.std() / len(edits) ** 0.5
    return values.mean() - half, values.mean() + half


def rate_of_0_without_words(edits, words, seed=0):
    draws = drawn(edits, seed)
    return ends(rates(edits, words, draws) * (np.asarray(words)[draws].sum(1) > 0))


WRONG = [mean_of_utterance_rates, words_drawn_instead_of_utterances, interval_of_90_percent,
         without_replacement, half_of_the_utterances, edits_and_words_drawn_apart,
         lowest_and_highest, seed_forgotten, always_the_same_seed, standard_error_of_the_mean,
         rate_of_0_without_words]  # fmt: skip


def never_the_last(edits, words, seed=0):
    size = (RESAMPLES, len(edits))
    draws = np.random.default_rng(seed).integers(max(1, len(edits) - 1), size=size)
    return ends(rates(edits, words, draws))


def an_array(edits, words, seed=0):
    return np.array(ends(rates(edits, words, drawn(edits, seed))))
