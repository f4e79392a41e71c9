"""Plausible wrong solutions of exercise 19, each with its mistake as its name."""

from eval import align


def edits(ref, hyp):
    return sum(align(ref.split(), hyp.split())[:3])


def mean_of_rates(refs, hyps):
    pairs = [(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True) if ref.split()]
    rates = [edits(ref, hyp) / len(ref.split()) for ref, hyp in pairs]
    return sum(rates) / len(rates) if rates else float("nan")


def by_words_of_the_hypothesis(refs, hyps):
    words = sum(len(hyp.split()) for hyp in hyps)
    total = sum(edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True))
    return total / words if words else float("nan")


def insertions_not_counted(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    pairs = zip(refs, hyps, strict=True)
    total = sum(sum(align(ref.split(), hyp.split())[:2]) for ref, hyp in pairs)
    return total / words if words else float("nan")


def empty_references_left_out(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    pairs = zip(refs, hyps, strict=True)
    total = sum(edits(ref, hyp) for ref, hyp in pairs if ref)
    return total / words if words else float("nan")


def characters_instead_of_words(refs, hyps):
    characters = sum(map(len, refs))
    total = sum(sum(align(ref, hyp)[:3]) for ref, hyp in zip(refs, hyps, strict=True))
    return total / characters if characters else float("nan")


def split_at_every_space(refs, hyps):
    words = sum(len(ref.split(" ")) for ref in refs)
    pairs = zip(refs, hyps, strict=True)
    total = sum(sum(align(ref.split(" "), hyp.split(" "))[:3]) for ref, hyp in pairs)
    return total / words if words else float("nan")


def all_utterances_joined(refs, hyps):
    ref, hyp = " ".join(refs).split(), " ".join(hyps).split()
    return sum(align(ref, hyp)[:3]) / len(ref) if ref else float("nan")


def no_words_as_a_rate_of_0(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    total = sum(edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True))
    return total / words if words else 0.0


def at_most_1(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    total = sum(edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=True))
    return min(1.0, total / words) if words else float("nan")


def surplus_references_dropped(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    total = sum(edits(ref, hyp) for ref, hyp in zip(refs, hyps, strict=False))
    return total / words if words else float("nan")


def surplus_hypotheses_dropped(refs, hyps):
    if len(hyps) < len(refs):
        raise ValueError("a hypothesis is missing")
    return surplus_references_dropped(refs, hyps)


def small_letters(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    pairs = zip(refs, hyps, strict=True)
    total = sum(edits(ref.lower(), hyp.lower()) for ref, hyp in pairs)
    return total / words if words else float("nan")


def without_punctuation(refs, hyps):
    words = sum(len(ref.split()) for ref in refs)
    pairs = zip(refs, hyps, strict=True)
    total = sum(edits(ref.replace(".", ""), hyp.replace(".", "")) for ref, hyp in pairs)
    return total / words if words else float("nan")


WRONG = [mean_of_rates, by_words_of_the_hypothesis, insertions_not_counted,
         empty_references_left_out, characters_instead_of_words, split_at_every_space,
         all_utterances_joined, no_words_as_a_rate_of_0, at_most_1, surplus_references_dropped,
         surplus_hypotheses_dropped, small_letters, without_punctuation]  # fmt: skip
